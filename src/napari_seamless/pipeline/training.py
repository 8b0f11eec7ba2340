"""Training on whatever can be opened: slides, stores, lazy arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from napari_seamless.engine.torch_engine import as_tensor
from napari_seamless.geometry import Region
from napari_seamless.pipeline.cutting import parse_budget
from napari_seamless.program.trace import TIME_LIMIT
from napari_seamless.seams import Source
from napari_seamless.sources import open_image
from napari_seamless.training import StreamedGradient as Streamed
from napari_seamless.training.images import Image


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


class StreamedGradient(Streamed):
    __doc__ = f"""{Streamed.__doc__}
    Images may also be whatever `open_image` opens (paths of slides and stores, sources), of which `level` is taken;
    `budget` may be a text such as "2GB".
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        budget: int | str | None = None,
        tile: int | None = None,
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
