"""The oracle: the whole image in plain torch, and the same image tile by tile through the engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from napari_seamless.engine import TorchEngine
from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.program.graph import Program
from napari_seamless.program.trace import Padded, trace


def whole(network: nn.Module, image: Tensor, divisor: int = 1) -> Tensor:
    """The network on the whole image, in plain torch. Padding to a divisor is the only thing of ours in it."""
    with torch.no_grad():
        return (network if divisor == 1 else Padded(network, divisor))(image)


@dataclass
class Tiled:
    """A network traced for one image, to be computed in any tiles."""

    program: Program
    image: Tensor
    fast: bool = True

    def __post_init__(self) -> None:
        self.engine = TorchEngine(self.program, "cpu", fast=self.fast)

    @classmethod
    def of(cls, network: nn.Module, image: Tensor, *, fast: bool = True) -> Tiled:
        return cls(trace(network, tuple(image.shape), dtype=image.dtype), image, fast)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.program.values[self.program.output].shape[-self.program.ndim :]

    def region(self, write: Region) -> np.ndarray:
        return self.engine.compute(self.engine.tile(write), self.read, lambda: False)

    def read(self, region: Region) -> np.ndarray:
        return self.image[0][(slice(None), *region.slices())].numpy()

    def in_tiles(self, *edges: int) -> np.ndarray:
        """All tiles, put together: (c, *shape)."""
        cell = edges * len(self.shape) if len(edges) == 1 else edges
        grid = Grid(self.shape, cell)
        parts = [(grid.region(i), self.region(grid.region(i))) for i in cells_of(Region.from_shape(grid.counts))]
        full = np.empty((parts[0][1].shape[0], *self.shape), parts[0][1].dtype)
        for write, pixels in parts:
            full[(slice(None), *write.slices())] = pixels
        return full


def relative_error(found: np.ndarray, expected: Tensor) -> float:
    """Largest difference as a share of the largest value."""
    reference = expected.numpy().reshape(found.shape).astype(np.float64)
    return float(np.abs(found.astype(np.float64) - reference).max() / max(np.abs(reference).max(), 1e-12))
