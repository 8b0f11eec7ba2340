"""Array-likes that napari can show: a level of a source with its colours last, and parts of a live level.

None of them holds an image: `__getitem__` reads what is asked for. A read of more than half a gigabyte is refused
(napari would otherwise take all of level 0 when its resolution is locked). `chunks` makes napari load a little more
than the canvas, up to whole chunks, so that it need not read again at every step of a pan; it has nothing to do with
the chunks of a file. Layers of such arrays must carry `OWN_LOADER` in their metadata, lest napari's own progressive
loader take them over and cache pixels that go on changing.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.layers.axes import Axes, align
from napari_seamless.geometry import Levels, Region
from napari_seamless.interfaces import LiveImage, Pixels, Source
from napari_seamless.io.readers.files_behind import files_behind

LARGEST_READ = 500_000_000
STRIP = 100_000_000
CHUNK = 512
OWN_LOADER = {"progressive_loader": "napari-seamless"}
Key = tuple[slice, ...]


class ArrayLike(Protocol):
    """What a level of a LiveImage answers."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, key: Any) -> Any: ...


class LazyLevel:
    """The base of all of them: turns any basic index into plain slices, and refuses what is too large."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    colours_last = False
    below: object = None
    """What it reads from."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Files and folders that it reads from."""
        return files_behind(self.below)

    @property
    def chunks(self) -> tuple[int, ...]:
        """What napari reads at once: 512 x 512 pixels of one plane."""
        if self.colours_last:
            return (*(min(CHUNK, n) for n in self.shape[:-1]), self.shape[-1])
        return (*(1 for _ in self.shape[:-2]), *(min(CHUNK, n) for n in self.shape[-2:]))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __getitem__(self, key: Any) -> Pixels:
        starts, after = plain_slices(key, self.shape)
        needed = prod(s.stop - s.start for s in starts) * self.dtype.itemsize
        if needed > LARGEST_READ:
            raise MemoryError(
                f"one view of an image may hold at most {LARGEST_READ / 1e9:.1f} GB; "
                f"got {needed / 1e9:.1f} GB; show a coarser level or zoom in"
            )
        read: Pixels = self._read(starts)[after]
        return read

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)

    def _read(self, key: Key) -> Pixels:
        raise NotImplementedError


class SourceLevel(LazyLevel):
    """One level of a source as (y, x, 3) when it is RGB, (y, x) with one channel, else (c, [z,] y, x)."""

    def __init__(self, source: Source, level: int) -> None:
        self.source, self.level = source, level
        self.below = source
        info = source.info
        spatial = without_filling(info.levels, level)
        self.colours_last, self._single = info.rgb, info.channels == 1 and not info.rgb
        if self.colours_last:
            self.shape = (*spatial, info.channels)
        else:
            self.shape = spatial if self._single else (info.channels, *spatial)
        self.dtype = info.dtype

    def _read(self, key: Key) -> Pixels:
        spatial = key[:-1] if self.colours_last else key if self._single else key[1:]
        pixels = self.source.read(Region.of(*((s.start, s.stop) for s in spatial)), self.level)
        if self.colours_last:
            return np.stack(list(pixels[key[-1]]), -1)  # three times as quick as a copy with moved axes
        channels: Pixels = pixels[0] if self._single else pixels[key[0]]
        return channels


def without_filling(levels: Levels, level: int) -> tuple[int, ...]:
    """The shape of a level without what only fills it up (to whole chunks): napari finds scales from the shapes."""
    sides = zip(levels.shape(level), levels.shapes[0], levels.scale(level), levels.edge(level), strict=True)
    return tuple(max(1, min(n, ceil((whole - edge) / scale))) for n, whole, scale, edge in sides)


def overview(level: LazyLevel, edge: int = 1024) -> Pixels:
    """Every n-th pixel of a level in y and x, so that neither is longer than `edge`; read a strip at a time."""
    y = 0 if level.colours_last else level.ndim - 2
    height, width = level.shape[y : y + 2]
    step = -(-max(height, width) // edge)
    rows = max(1, STRIP * height // max(level.nbytes, 1) // step) * step
    front, thin = (slice(None),) * y, slice(None, None, step)
    strips = [level[(*front, slice(top, top + rows))][(*front, thin, thin)] for top in range(0, height, rows)]
    return np.concatenate(strips, axis=y)


class LiveLevel(LazyLevel):
    """A live level as it is."""

    def __init__(self, level: ArrayLike) -> None:
        self._level = self.below = level
        self.shape, self.dtype = tuple(level.shape), np.dtype(level.dtype)

    def _read(self, key: Key) -> Pixels:
        return np.asarray(self._level[key])


class ChannelLevel(LazyLevel):
    """One channel of a live level of shape (c, [z,] y, x)."""

    def __init__(self, level: ArrayLike, channel: int) -> None:
        self._level, self._channel = level, channel
        self.below = level
        self.shape, self.dtype = tuple(level.shape[1:]), np.dtype(level.dtype)

    def _read(self, key: Key) -> Pixels:
        return np.asarray(self._level[(self._channel, *key)])


class ColourLevel(LazyLevel):
    """A level of a live image of shape (3, y, x) as (y, x, 4), transparent where nothing is written."""

    colours_last = True

    def __init__(self, image: LiveImage, number: int) -> None:
        self._image, self._number = image, number
        level: Any = image.levels[number]
        self._level: ArrayLike = level
        self.below = level
        self.shape, self.dtype = (*level.shape[1:], 4), np.dtype(level.dtype)

    def _read(self, key: Key) -> Pixels:
        region = Region.of(*((s.start, s.stop) for s in key[:-1]))
        opaque = written(self._image, self._number, region)
        return rgba(np.asarray(self._level[(slice(0, 3), *key[:-1])]), opaque)[..., key[-1]]


class AlignedLevel(LazyLevel):
    """A level along the axes of a layer."""

    def __init__(self, level: LazyLevel, axes: Axes) -> None:
        self._level, self._axes = level, axes
        self.below = level
        self.colours_last, self.dtype = level.colours_last, level.dtype
        self._ndim = level.ndim - level.colours_last
        self.shape = (*_lengths(level.shape, axes), *level.shape[self._ndim :])

    @property
    def chunks(self) -> tuple[int, ...]:
        own = self._level.chunks
        return (*(1 if axis.own is None else own[axis.own] for axis in self._axes), *own[self._ndim :])

    def _read(self, key: Key) -> Pixels:
        own = {axis.own: part for axis, part in zip(self._axes, key, strict=False)}
        pixels = self._level[(*(own[axis] for axis in range(self._ndim)), *key[len(self._axes) :])]
        return align(pixels, self._axes, [part.stop - part.start for part in key[: len(self._axes)]])


def aligned_level(level: Any, axes: Axes) -> Any:
    """A level, lazy or an array, along the axes of a layer. An array is not copied: what changes in it shows."""
    if isinstance(level, LazyLevel):
        return AlignedLevel(level, axes)
    array = np.asarray(level)
    return align(array, axes, _lengths(array.shape, axes))


def _lengths(shape: Sequence[int], axes: Axes) -> tuple[int, ...]:
    return tuple(axis.length if axis.own is None else shape[axis.own] for axis in axes)


def rgba(pixels: Pixels, opaque: NDArray[np.bool_] | bool = True) -> Pixels:
    """(3, y, x) as (y, x, 4), transparent where it is not `opaque`, (y, x)."""
    full = np.iinfo(str(pixels.dtype)).max if pixels.dtype.kind in "iu" else 1
    alpha: Pixels = np.asarray(opaque).astype(pixels.dtype) * full
    return np.stack([*pixels, np.broadcast_to(alpha, pixels.shape[1:])], -1)


def written(image: LiveImage, level: int, region: Region) -> NDArray[np.bool_]:
    """Which pixels of a region of a level lie over a finished chunk, and are shown; of the region's shape."""
    ndim, mask = region.ndim, np.asarray(image.finished)
    if region.is_empty:
        return np.zeros(region.shape, bool)
    for axis, (span, size, chunk) in enumerate(zip(region.intervals, image.grid.shape, image.grid.cell, strict=True)):
        step = 2**level if axis >= ndim - 2 else 1
        pixel = np.arange(span.lo, span.hi)
        last = (np.minimum((pixel + 1) * step, size) - 1) // chunk
        first = np.minimum(pixel * step // chunk, last)
        under = range(int((last - first).max()) + 1)
        mask = np.logical_or.reduce([mask.take(np.minimum(first + k, last), axis) for k in under])
    return mask & image.shown(level, region) if hasattr(image, "shown") else mask


def plain_slices(key: Any, shape: Sequence[int]) -> tuple[Key, tuple[Any, ...]]:
    """An index as (slices with a start and a stop for every axis, what is left to do to the array they give)."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (len(shape) - len(keys) + 1)
    keys += [slice(None)] * (len(shape) - len(keys))
    pairs = [_plain(k, n) for k, n in zip(keys, shape, strict=True)]
    return tuple(first for first, _ in pairs), tuple(then for _, then in pairs)


def _plain(key: Any, size: int) -> tuple[slice, Any]:
    if isinstance(key, slice):
        start, stop, step = key.indices(size)
        if step < 1:
            raise IndexError(f"a step must be positive; got {step}")
        return slice(start, max(stop, start)), slice(None, None, step)
    index = int(key) + (size if key < 0 else 0)
    if not 0 <= index < size:
        raise IndexError(f"index {key} is outside an axis of {size}")
    return slice(index, index + 1), 0
