"""A level as napari, dask and numpy want it: an array-like that reads from memory or disk."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Interval, Region
from napari_seamless.store.pyramid import Pyramid

Array = NDArray[Any]

LARGEST_READ = 500_000_000
"""Bytes. napari's "resolution" box would otherwise ask for all of level 0 of a slide."""


class LevelArray:
    """One level of a live result: ([c,] [z,] y, x), 0 where nothing is written. Read from any thread.

    Takes what numpy takes as an index; only the bounding region is read. A single read of more than 0.5 GB raises
    MemoryError. There is deliberately no attribute `chunks`: napari would replace or over-read a layer that has it.
    """

    def __init__(self, pyramid: Pyramid, level: int) -> None:
        self._pyramid = pyramid
        self._level = level
        spec = pyramid.spec
        self.shape: tuple[int, ...] = spec.stored_shape(level)
        self.dtype: np.dtype[Any] = spec.dtype
        self._has_channels = spec.channels is not None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The folder of the result; none for one in memory."""
        return self._pyramid.paths

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("a live level is read anew every time, so it cannot become an array without a copy")
        pixels = self[...]
        return pixels if dtype is None else pixels.astype(dtype, copy=False)

    def __getitem__(self, index: Any) -> Array:
        keys = _per_axis(index, self.ndim)
        if keys is None:
            whole: Array = self._read([range(n) for n in self.shape])[index]
            return whole
        axes = [_selected(key, n, axis) for axis, (key, n) in enumerate(zip(keys, self.shape, strict=True))]
        bounds = [range(min(a), max(a) + 1) if len(a) else range(0) for a in axes]
        pixels = self._read(bounds)
        part: Array = pixels[tuple(_within(key, a, b) for key, a, b in zip(keys, axes, bounds, strict=True))]
        return part

    def _read(self, bounds: list[range]) -> Array:
        wanted = prod(map(len, bounds)) * self.dtype.itemsize
        if wanted > LARGEST_READ:
            raise MemoryError(
                f"a single read of a result may take at most {LARGEST_READ / 1e9:.1f} GB; "
                f"got {wanted / 1e9:.1f} GB; read a smaller region or a coarser level"
            )
        spatial = bounds[1:] if self._has_channels else bounds
        region = Region(tuple(Interval(b.start, b.stop) for b in spatial))
        if not self._has_channels:
            plane: Array = self._pyramid.read(self._level, region)[0]
            return plane
        return self._pyramid.read(self._level, region, slice(bounds[0].start, bounds[0].stop))


def _per_axis(index: Any, ndim: int) -> list[int | slice] | None:
    """One integer or slice an axis; None where the index is of another sort (a list, an array, a new axis)."""
    items = list(index) if isinstance(index, tuple) else [index]
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if not all(item is Ellipsis or _is_plain(item) for item in items):
        return None
    at = dots[0] if dots else len(items)
    missing = ndim - len(items) + len(dots[:1])
    if len(dots) > 1 or missing < 0:
        raise IndexError(f"a level with {ndim} axes takes at most {ndim} indices and one ellipsis; got {index!r}")
    return items[:at] + [slice(None)] * missing + items[at + 1 :]


def _is_plain(item: Any) -> bool:
    return isinstance(item, (int, np.integer, slice)) and not isinstance(item, bool)


def _selected(key: int | slice, length: int, axis: int) -> range:
    """The positions on one axis that a key selects."""
    if isinstance(key, slice):
        return range(*key.indices(length))
    position = int(key)
    if not -length <= position < length:
        raise IndexError(f"index {position} is outside axis {axis} of {length} pixels")
    return range(position % length, position % length + 1)


def _within(key: int | slice, selected: range, bounds: range) -> int | slice:
    """The same selection, counted from the start of what was read."""
    if not isinstance(key, slice):
        return 0
    if not len(selected):
        return slice(0, 0)
    step = selected.step
    start = selected[0] - bounds.start
    stop = selected[-1] - bounds.start + (1 if step > 0 else -1)
    return slice(start, stop if stop >= 0 else None, step)
