"""Small honest implementations of the Protocols, for tests without files, networks or devices.

They compute real pixels, so that a test can ask whether the result is right, not whether somebody was called.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Condition, Lock, current_thread
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from napari_seamless.errors import BadRequest, InputDamaged, RegionUnreadable, RunCancelled
from napari_seamless.geometry import Levels, Region, Tile
from napari_seamless.interfaces import Engine, ImageInfo, Pixels, Source, StopFlag


class GradientSource:
    """An image of any size whose pixels follow from their coordinates; picklable, nothing is held.

    Pixel (c, [z,] y, x) of level l is ``(7 c + 3 l + 2 x + 3 y + 5 z + (x y) % 11) % 256``, so that neighbours,
    channels and levels differ and a swapped axis shows.
    """

    def __init__(
        self,
        *shapes: Sequence[int],
        channels: int = 1,
        dtype: DTypeLike = np.uint8,
        name: str = "gradient",
    ) -> None:
        levels = Levels(tuple(tuple(shape) for shape in shapes))
        identity = f"{name}:{levels.shapes}:{channels}:{np.dtype(dtype)}"
        self.info = ImageInfo(name, levels, channels, np.dtype(dtype), identity, rgb=channels == 3)

    def read(self, region: Region, level: int = 0) -> Pixels:
        if not Region.from_shape(self.info.levels.shape(level)).contains(region):
            raise BadRequest(f"a source reads only inside its level; got {region!r}; cut it to the image first")
        axes = np.ogrid[tuple(slice(i.lo, i.hi) for i in region.intervals)]
        *depth, y, x = axes
        plane = 2 * x + 3 * y + sum(5 * z for z in depth) + (x * y) % 11 + 3 * level
        planes = [np.broadcast_to(plane + 7 * channel, region.shape) for channel in range(self.info.channels)]
        return (np.stack(planes) % 256).astype(self.info.dtype)

    def close(self) -> None:
        """Nothing is open."""


class DamagedSource:
    """Another source that cannot be read where `damaged` is (level 0): so many `times`, or always."""

    def __init__(self, inner: Source, damaged: Region, times: int | None = None) -> None:
        self.info = inner.info
        self._inner = inner
        self._damaged = damaged
        self._left = times

    def read(self, region: Region, level: int = 0) -> Pixels:
        if region.overlaps(self._damaged) and self._left != 0:
            self._left = None if self._left is None else self._left - 1
            raise InputDamaged(f"pixels must be there to be read; some of {region!r} are not; copy the file again")
        return self._inner.read(region, level)

    def close(self) -> None:
        self._inner.close()


class BoxBlurEngine:
    """The mean over a box of (2 radius + 1) pixels an axis, with zeros beyond the image; float32 out.

    Sums are integers, so every way of cutting the image gives the same bits. Raises `failure` at the tile that
    covers `fails_at` (a pixel), if given.
    """

    def __init__(
        self,
        shape: Sequence[int],
        radius: int = 3,
        *,
        fails_at: tuple[int, ...] | None = None,
        failure: BaseException | None = None,
    ) -> None:
        self._domain = Region.from_shape(shape)
        self._radius = radius
        self._fails_at = fails_at
        self._failure = failure
        self.tiles: list[Region] = []

    def tile(self, write: Region) -> Tile:
        return Tile(write, write.grow((self._radius,) * write.ndim).intersect(self._domain))

    def compute(self, tile: Tile, read: Callable[[Region], Pixels], stop: StopFlag) -> Any:
        if stop():
            raise RunCancelled(f"the run was stopped before {tile.write!r} was computed; start it again to go on")
        self.tiles.append(tile.write)
        if self._fails_at is not None and tile.write.contains(Region.of(*((p, p + 1) for p in self._fails_at))):
            raise self._failure or ArithmeticError(f"told to fail at {self._fails_at}")
        wide = tile.write.grow((self._radius,) * tile.write.ndim)
        return _box_mean(_framed(read(tile.read), tile.read, wide), self._radius)


class StepEngine:
    """Wraps an engine so that a test decides when each tile is computed; no time is involved.

    Every `compute` uses up one of the `allow`ed turns, and waits for one where there is none. One that is stopped
    gives its turn back.
    """

    def __init__(self, inner: Engine) -> None:
        self._inner = inner
        self._turns = 0
        self.waiting: list[Region] = []
        self._computed = 0
        self._changed = Condition()

    def allow(self, tiles: int = 1) -> None:
        """Let this many tiles more be computed."""
        with self._changed:
            self._turns += tiles
            self._changed.notify_all()

    def wait_for(self, tiles: int, timeout: float) -> bool:
        """Block until so many tiles were computed in all, and the next one waits for its turn; False on time-out."""
        with self._changed:
            return self._changed.wait_for(lambda: self._computed >= tiles and bool(self.waiting), timeout)

    def tile(self, write: Region) -> Tile:
        return self._inner.tile(write)

    def compute(self, tile: Tile, read: Callable[[Region], Pixels], stop: StopFlag) -> Any:
        with self._changed:
            self.waiting.append(tile.write)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._turns > 0)
            self._turns -= 1
            self.waiting.remove(tile.write)
        try:
            pixels = self._inner.compute(tile, read, stop)
        except RunCancelled:
            self.allow()
            raise
        with self._changed:
            self._computed += 1
            self._changed.notify_all()
        return pixels


class FatalEngine:
    """Ends the process, without a word, at the tile that covers a pixel; for clusters of processes only.

    With a path, `once`, only the first process to come by, which leaves a file there.
    """

    def __init__(self, inner: Engine, dies_at: tuple[int, ...], once: Path | None = None) -> None:
        self._inner = inner
        self._once = once
        self._dies_at = Region.of(*((p, p + 1) for p in dies_at))

    def tile(self, write: Region) -> Tile:
        return self._inner.tile(write)

    def compute(self, tile: Tile, read: Callable[[Region], Pixels], stop: StopFlag) -> Any:
        if tile.write.contains(self._dies_at) and (self._once is None or not self._once.exists()):
            if self._once is not None:
                self._once.touch()
            os._exit(1)
        return self._inner.compute(tile, read, stop)


class FatalSource:
    """Another source that ends the first process which reads a pixel (level 0), without a word; it leaves a file."""

    def __init__(self, inner: Source, dies_at: tuple[int, ...], once: Path) -> None:
        self.info = inner.info
        self._inner = inner
        self._once = once
        self._dies_at = Region.of(*((p, p + 1) for p in dies_at))

    def read(self, region: Region, level: int = 0) -> Pixels:
        if region.contains(self._dies_at) and not self._once.exists():
            self._once.touch()
            os._exit(1)
        return self._inner.read(region, level)

    def close(self) -> None:
        self._inner.close()


class RecordingSink:
    """Keeps what is written in memory, with who wrote it and how often each pixel was written."""

    def __init__(self, shape: Sequence[int], channels: int = 1, dtype: DTypeLike = np.float32) -> None:
        self.pixels = np.zeros((channels, *shape), dtype)
        self.times = np.zeros(shape, np.int32)
        self.written: list[Region] = []
        self.commits: list[tuple[Region, str]] = []
        self._lock = Lock()

    def write(self, region: Region, pixels: Pixels) -> None:
        with self._lock:
            self.pixels[(slice(None), *region.slices())] = pixels
            self.times[region.slices()] += 1
            self.written.append(region)

    def commit(self, region: Region) -> None:
        """Remembers the region with the name of the thread that said so."""
        self.commits.append((region, current_thread().name))


class FileSink:
    """Keeps what is written in a .npy file, so that several processes can write to it; picklable."""

    def __init__(self, path: Path, shape: Sequence[int], channels: int = 1, dtype: DTypeLike = np.float32) -> None:
        self._path = path
        self.commits: list[Region] = []
        np.lib.format.open_memmap(path, "w+", np.dtype(dtype), (channels, *shape)).flush()

    @property
    def pixels(self) -> Pixels:
        """The file's present content, (c, [z,] y, x)."""
        return np.array(np.load(self._path, mmap_mode="r"))

    def write(self, region: Region, pixels: Pixels) -> None:
        whole = np.load(self._path, mmap_mode="r+")
        whole[(slice(None), *region.slices())] = pixels
        whole.flush()

    def commit(self, region: Region) -> None:
        self.commits.append(region)


class ListQueue:
    """The plainest queue: the given regions, in their order; what is given back comes again at the end."""

    def __init__(self, writes: Iterable[Region]) -> None:
        self.left = list(writes)
        self.taken: list[Region] = []
        self.finished: list[Region] = []
        self.failed: list[Region] = []
        self.revision = 0
        self._lock = Lock()

    def take(self) -> Region | None:
        with self._lock:
            if not self.left:
                return None
            self.taken.append(self.left.pop(0))
            return self.taken[-1]

    def done(self, write: Region) -> None:
        with self._lock:
            self.taken.remove(write)
            self.finished.append(write)

    def give_back(self, write: Region) -> None:
        with self._lock:
            self.taken.remove(write)
            self.left.append(write)

    def fail(self, write: Region, error: RegionUnreadable) -> None:  # noqa: ARG002 - nobody is told
        with self._lock:
            self.taken.remove(write)
            self.failed.append(write)

    def is_preempted(self, write: Region) -> bool:  # noqa: ARG002 - nothing is on screen
        return False


def _framed(pixels: Pixels, have: Region, want: Region) -> Pixels:
    """`pixels` of the region `have` in a frame of zeros up to `want`."""
    sides = [(h.lo - w.lo, w.hi - h.hi) for h, w in zip(have.intervals, want.intervals, strict=True)]
    return np.pad(pixels, [(0, 0), *sides])


def _box_mean(pixels: Pixels, radius: int) -> Pixels:
    """Mean of every full box of 2 radius + 1 pixels an axis: (c, *n) -> (c, *(n - 2 radius))."""
    width = 2 * radius + 1
    total = pixels.astype(np.int64)
    for axis in range(1, pixels.ndim):
        windows = np.lib.stride_tricks.sliding_window_view(total, width, axis=axis)
        total = windows.sum(axis=-1)
    return np.asarray(total / width ** (pixels.ndim - 1), np.float32)
