"""A tensor of a program: its true shape, and which of its dimensions are spatial."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch

from napari_seamless.program.spans import Dims, Span


@dataclass(frozen=True)
class Value:
    """A tensor of the program that depends on the image.

    `shape` is its true shape and `dims` says which of its dimensions are spatial. `domain` is its size along each
    spatial axis of the program (None where it lacks the axis): the grid on which its regions are counted.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    dims: Dims
    domain: tuple[int | None, ...]

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one position over all channel-like dimensions."""
        count = self.dtype.itemsize
        for size, axes in zip(self.shape, self.dims, strict=True):
            count *= 1 if axes else size
        return count

    @property
    def nbytes(self) -> int:
        """Bytes of the whole."""
        return prod(self.shape) * self.dtype.itemsize

    def bytes_of(self, spans: tuple[Span | None, ...]) -> int:
        """Bytes of one region of this value."""
        count = self.pixel_bytes
        for span in spans:
            count *= 1 if span is None else span[1] - span[0]
        return count
