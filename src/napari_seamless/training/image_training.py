"""Training on whatever can be opened: slides, stores, lazy arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from napari_seamless.geometry import Region
from napari_seamless.interfaces import Source
from napari_seamless.io.readers import open_image
from napari_seamless.program.trace import TIME_LIMIT
from napari_seamless.runs.tiling import parse_budget
from napari_seamless.runtime.engine.torch_engine import as_tensor
from napari_seamless.training import StreamedGradient as Streamed
from napari_seamless.training.streaming.image_reads import Image


@dataclass(frozen=True)
class SourceImage:
    """One level of a source, as an image to be trained on."""

    source: Source
    level: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        info = self.source.info
        return (info.channels, *info.levels.shape(self.level))

    def read(self, region: Region) -> Tensor:
        return as_tensor(self.source.read(region, self.level))


@dataclass(frozen=True)
class SourceTarget:
    """One level of a source as a target, (1, c, [z,] y, x), or (1, [z,] y, x) where it has one channel, as labels."""

    image: SourceImage

    @property
    def shape(self) -> tuple[int, ...]:
        channels, *positions = self.image.shape
        return (1, *positions) if channels == 1 else (1, channels, *positions)

    def __getitem__(self, where: tuple[Any, ...]) -> Any:
        pixels = self.image.read(Region.of(*((s.start, s.stop) for s in where if isinstance(s, slice)))).numpy()
        return pixels if len(pixels) == 1 else pixels[None]


class StreamedGradient(Streamed):
    __doc__ = f"""{Streamed.__doc__}
    Images may also be whatever `open_image` opens (paths of slides and stores, sources), of which `level` is taken;
    `budget` and `keep` may be texts such as "2GB". So may targets; of one channel they are labels, (1, [z,] y, x).
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        budget: int | str | None = None,
        tile: int | None = None,
        keep: int | str = 0,
        device: str = "auto",
        seed: int = 0,
        level: int = 0,
        stop: Callable[[], bool] = lambda: False,
        progress: Callable[[int, int], None] | None = None,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        super().__init__(
            module,
            budget=parse_budget(budget) if isinstance(budget, str) else budget,
            tile=tile,
            keep=parse_budget(keep) if isinstance(keep, str) else keep,
            device=device,
            seed=seed,
            stop=stop,
            progress=progress,
            time_limit=time_limit,
        )
        self.level = level

    def opened(self, image: Any) -> Image:
        """A tensor or an Image as it is; anything else by `open_image`, whose errors are raised."""
        if isinstance(image, Source):
            return SourceImage(image, self.level)
        if isinstance(image, Tensor | Image) and not isinstance(image, str | Path):
            return super().opened(image)
        return SourceImage(open_image(image), self.level)

    def aimed(self, target: Any) -> Any:
        """Paths and sources as arrays; all else as it is."""
        if isinstance(target, str | Path):
            target = open_image(target)
        return SourceTarget(SourceImage(target, self.level)) if isinstance(target, Source) else target
