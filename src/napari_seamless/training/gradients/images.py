"""Images to learn from: a tensor, a level of whatever `open_image` opens, or anything that reads its own regions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from napari_seamless.errors import InputMismatch
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Source
from napari_seamless.io.readers import open_image
from napari_seamless.runtime.engine.torch_engine import as_tensor


@runtime_checkable
class TrainingImage(Protocol):
    """One image: `shape` is (c, [z,] y, x). Reading is asked for in the thread that trains."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def read(self, region: Region) -> Tensor:
        """The pixels of a region, (c, *region.shape), of any type and on any device."""


@dataclass(frozen=True)
class TensorImage:
    """A tensor as a network takes it, (1, c, [z,] y, x)."""

    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape[1:])

    def read(self, region: Region) -> Tensor:
        return self.tensor.detach()[0][(slice(None), *region.slices())]


@dataclass(frozen=True)
class LevelImage:
    """One level of a source, (c, [z,] y, x)."""

    source: Source
    level: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        info = self.source.info
        return (info.channels, *info.levels.shape(self.level))

    def read(self, region: Region) -> Tensor:
        return as_tensor(self.source.read(region, self.level))


def open_training_image(image: Any, level: int) -> TrainingImage:
    """The image meant by a tensor (1, c, [z,] y, x), a TrainingImage, or whatever `open_image` opens.

    Raises InputMismatch, and what `open_image` raises.
    """
    if isinstance(image, Source):
        return LevelImage(image, level)
    if isinstance(image, Tensor):
        if image.dim() not in (4, 5) or image.shape[0] != 1:
            raise InputMismatch(
                "an image is streamed alone, as a tensor (1, channels, [z,] y, x); got shape "
                f"{tuple(image.shape)}; call it for each image and add the losses up"
            )
        return TensorImage(image)
    if isinstance(image, TrainingImage) and not isinstance(image, str | Path):
        return image
    return LevelImage(open_image(image), level)
