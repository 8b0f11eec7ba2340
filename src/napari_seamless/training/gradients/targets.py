"""Targets: what the output of a network is compared with, read tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_seamless.errors import InputMismatch
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Source
from napari_seamless.io.readers import open_image
from napari_seamless.runtime.engine.torch_engine import as_tensor
from napari_seamless.training.gradients.images import LevelImage


def open_target(target: Any, level: int) -> Any:
    """Paths and sources as arrays of a level; all else as it is. Raises what `open_image` raises."""
    if isinstance(target, str | Path):
        target = open_image(target)
    return LevelTarget(LevelImage(target, level)) if isinstance(target, Source) else target


@dataclass(frozen=True)
class LevelTarget:
    """One level of a source as a target, (1, c, [z,] y, x), or (1, [z,] y, x) where it has one channel, as labels."""

    image: LevelImage

    @property
    def shape(self) -> tuple[int, ...]:
        channels, *positions = self.image.shape
        return (1, *positions) if channels == 1 else (1, channels, *positions)

    def __getitem__(self, where: tuple[Any, ...]) -> Any:
        pixels = self.image.read(Region.of(*((s.start, s.stop) for s in where if isinstance(s, slice)))).numpy()
        return pixels if len(pixels) == 1 else pixels[None]


@dataclass(frozen=True)
class TiledTarget:
    """What the output is compared with: a tensor or array whose last dimensions are the output's positions."""

    data: Any
    device: torch.device

    @classmethod
    def of(cls, data: Any, shape: Sequence[int], device: torch.device) -> TiledTarget:
        """Raises InputMismatch where it does not lie on the output's grid of `shape` ((z,) y, x)."""
        found = tuple(int(n) for n in getattr(data, "shape", ()))
        if found[-len(shape) :] != tuple(shape):
            size, own = (" x ".join(str(n) for n in sizes) for sizes in (shape, found[-len(shape) :]))
            raise InputMismatch(
                f"a target must have the size of the network's output, {size} here; got {own or type(data).__name__}; "
                "cut or resize it (labels by nearest neighbour)"
            )
        return cls(data, device)

    def part(self, region: Region) -> Tensor:
        """The target of a region of the output, all of its leading dimensions with it."""
        piece = self.data[(..., *region.slices())]
        tensor = piece if isinstance(piece, Tensor) else as_tensor_or_labels(np.asarray(piece))
        return tensor.to(self.device)


def as_tensor_or_labels(array: np.ndarray[Any, Any]) -> Tensor:
    """numpy to torch; integers become int64, which torch's losses want for labels."""
    return torch.from_numpy(array.astype(np.int64)) if array.dtype.kind in "uib" else as_tensor(array)
