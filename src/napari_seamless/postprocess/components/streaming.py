"""Counting classes and finding objects piece by piece, with memory for one piece and the table of objects.

Objects are connected parts of one label. Each piece labels its own pixels; parts that touch across pieces are joined
at the end. The result does not depend on the pieces: objects come in the order, and with the pixels, that
scipy.ndimage.label would give on the whole array (where pixels that are not measured are 0).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seamless.errors import BadRequest, RunCancelled
from napari_seamless.geometry import Cell, Grid, Interval, Region
from napari_seamless.postprocess.components.parts import (
    Ground,
    Ints,
    Parts,
    check_connectivity,
    joined,
    numbered,
    pixels_at,
    tally,
)
from napari_seamless.postprocess.components.rims import given_to_nearest
from napari_seamless.postprocess.components.touching import Frontier

Array = NDArray[np.generic]
Mask = NDArray[np.bool_]
Read = Callable[[Region], Array]

PIECE_PIXELS = 1 << 20
LARGEST_REACH = 64.0


@dataclass(frozen=True)
class Sought:
    """Which labels are objects: `values` (None: every one but 0 and the rim's), by which `connectivity` (1: faces).

    `rim` is a label whose pixels belong to the nearest object within `reach` pixels (rims.py). Raises BadRequest.
    """

    values: frozenset[int] | None = None
    connectivity: int = 1
    rim: int | None = None
    reach: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < self.reach <= LARGEST_REACH:
            raise BadRequest(f"a rim reaches more than 0 and at most {LARGEST_REACH:g} pixels; got {self.reach:g}")
        if self.values is not None and 0 in self.values:
            raise BadRequest("label 0 is background, which is no object; leave it out")
        if self.rim == 0 or (self.values is not None and self.rim in self.values):
            raise BadRequest(f"a rim has a label of its own; got {self.rim}, which is an object's or the background's")

    @property
    def halo(self) -> int:
        """Pixels around a piece that must be known: a rim pixel as far out as the core that it may belong to."""
        return 1 if self.rim is None else 2 * ceil(self.reach)


@dataclass(frozen=True)
class Found:
    """Pixels of each label that was met (0 among them), and the objects; none where none were sought.

    `rimless` counts rim pixels without an object near them.
    """

    counts: Mapping[int, int]
    objects: Parts
    rimless: int = 0


@dataclass(frozen=True)
class Seen:
    """What a piece sees around `write`: labels and what is measured, over `box`, 0 and False outside."""

    write: Region
    box: Region
    labels: Array
    inside: Mask

    @property
    def core(self) -> tuple[slice, ...]:
        """Slices of the arrays that are the piece itself."""
        return self.write.slices(self.box.start)


def stream(
    read: Read,
    shape: Sequence[int],
    *,
    region: Region | None = None,
    piece: Sequence[int] | None = None,
    inside: Callable[[Region], Mask] | None = None,
    sought: Sought | None = None,
    light: Read | None = None,
    channels: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Found:
    """Count the labels of an image of this `shape`, ([z,] y, x), and find the objects that are `sought`.

    `read` gives the integer labels of a region, `light` (`channels`, *region.shape) of an image over it. Only pixels
    of `region` are measured, and of these only what `inside` (bool, *region.shape) says. `piece` is the shape that is
    read at once. `on_progress` gets (pixels done, pixels in all); both callbacks are called in this thread.

    Raises BadRequest, RunCancelled and what the readers raise.
    """
    whole = Region.from_shape(shape)
    region = whole if region is None else region
    if sought is not None:
        check_connectivity(sought.connectivity, len(shape))
    grid = Grid(region.shape, tuple(piece or pieces_over(region.shape)))
    halo = 0 if sought is None else sought.halo
    counts: Counter[int] = Counter()
    frontier = Frontier(grid, 1 if sought is None else sought.connectivity)
    tables, pairs, parts, done, rims_taken = [Parts.none(len(shape), channels)], [_no_pairs()], 0, 0, 0
    for cell in _widest_last(grid):
        if cancelled is not None and cancelled():
            raise RunCancelled("measuring was stopped; nothing of it is kept")
        write = grid.region(cell).shift(region.start)
        seen = _look(read, write, halo, region, inside)
        _count(counts, seen)
        if sought is not None:
            table, numbers, taken = _measure(seen, sought, shape, light, channels)
            numbers[numbers > 0] += parts
            pairs.append(frontier.add(cell, numbers) - 1)
            tables.append(table)
            parts, rims_taken = parts + len(table), rims_taken + taken
        done += write.size
        if on_progress is not None:
            on_progress(done, region.size)
    if sought is None:
        return Found(dict(counts), tables[0])
    rimless = 0 if sought.rim is None else counts.get(sought.rim, 0) - rims_taken
    return Found(dict(counts), joined(tables, np.concatenate(pairs)), rimless)


def pieces_over(shape: Sequence[int], chunk: Sequence[int] | None = None) -> tuple[int, ...]:
    """A piece of about a million pixels (labelling one holds Python up for some ms), made of whole chunks."""
    unit = list(chunk) if chunk is not None else [1 for _ in shape]
    size = [min(u, n) for u, n in zip(unit, shape, strict=True)]
    while True:
        grown = [min(2 * s, n) if s < n else s for s, n in zip(size, shape, strict=True)]
        axis = min(range(len(size)), key=lambda k: (size[k] >= shape[k], size[k]))
        if grown[axis] == size[axis] or _product(size) // size[axis] * grown[axis] > PIECE_PIXELS:
            return tuple(size)
        size[axis] = grown[axis]


def _product(numbers: Sequence[int]) -> int:
    total = 1
    for number in numbers:
        total *= number
    return total


def _no_pairs() -> NDArray[np.int64]:
    return np.zeros((0, 2), np.int64)


def _widest_last(grid: Grid) -> Iterator[Cell]:
    """All cells, along the shorter axes first: the front between what is done and what is not stays small."""
    axes = sorted(range(len(grid.shape)), key=lambda axis: -grid.shape[axis])
    for steps in product(*(range(grid.counts[axis]) for axis in axes)):
        by_axis = dict(zip(axes, steps, strict=True))
        yield tuple(by_axis[axis] for axis in range(len(axes)))


def _look(read: Read, write: Region, halo: int, region: Region, inside: Callable[[Region], Mask] | None) -> Seen:
    """Read a piece with its surroundings."""
    box = write.grow([halo] * write.ndim)
    known = box.intersect(region)
    here, there = known.slices(box.start), np.zeros(box.shape, bool)
    there[here] = True if inside is None else inside(known)
    if not there[write.slices(box.start)].any():
        return Seen(write, box, np.zeros(box.shape, np.uint8), np.zeros(box.shape, bool))
    pixels = read(known)
    if pixels.dtype.kind not in "iub":
        raise BadRequest(f"labels are whole numbers; got {pixels.dtype}; choose a label image")
    if pixels.dtype.kind == "b" or pixels.dtype == np.uint64:
        pixels = _narrowed(pixels)
    labels = np.zeros(box.shape, pixels.dtype)
    labels[here] = pixels if inside is None else np.where(there[here], pixels, pixels.dtype.type(0))
    return Seen(write, box, labels, there)


def _narrowed(pixels: Array) -> Array:
    """Labels of a type that the libraries below take."""
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8)
    if pixels.size and int(pixels.max()) > np.iinfo(np.int64).max:
        raise BadRequest(f"a label is less than 2 to the power of 63; got {pixels.max()}; number the labels anew")
    return pixels.astype(np.int64)


def _count(counts: Counter[int], seen: Seen) -> None:
    inside = seen.inside[seen.core]
    labels = seen.labels[seen.core][inside] if not inside.all() else seen.labels[seen.core].ravel()
    if not labels.size:
        return
    if labels.dtype.itemsize == 1 and labels.dtype.kind == "u":
        found = np.bincount(labels)
        values = np.flatnonzero(found)
        found = found[values]
    else:
        values, found = np.unique(labels, return_counts=True)
    counts.update(dict(zip(values.tolist(), found.tolist(), strict=True)))


def _measure(
    seen: Seen, sought: Sought, shape: Sequence[int], light: Read | None, channels: int
) -> tuple[Parts, Ints, int]:
    """The parts of a piece, their numbers over its own pixels, and how many rim pixels belong to them."""
    labels = seen.labels
    if sought.values is None and sought.rim is not None:
        labels = np.where(labels == sought.rim, labels.dtype.type(0), labels)
    mine = labels[seen.core]
    numbers = numbered(mine, sought.values, sought.connectivity).astype(np.int64)
    flat = np.flatnonzero(numbers)
    if not len(flat):
        return Parts.none(len(shape), channels), numbers, 0
    part = numbers.ravel()[flat]
    at = tuple(a + o for a, o in zip(np.unravel_index(flat, numbers.shape), seen.write.start, strict=True))
    values = np.zeros(int(part.max()), np.int64)
    values[part - 1] = mine.ravel()[flat]
    rim_at, rim_part = _rims(seen, labels, numbers, sought)
    ground = _ground(seen, [*(np.concatenate(pair) for pair in zip(at, rim_at, strict=True))], light)
    cores = pixels_at(at, part, ground)
    rims = pixels_at(rim_at, rim_part, ground)
    return tally(cores, rims, values, shape), numbers, len(rim_part)


def _rims(seen: Seen, labels: Array, numbers: Ints, sought: Sought) -> tuple[tuple[Ints, ...], Ints]:
    """Rim pixels whose nearest core lies in this piece: where they are, and the part that they belong to."""
    ndim = numbers.ndim
    if sought.rim is None:
        return (np.zeros(0, np.int64),) * ndim, np.zeros(0, np.int64)
    is_core = labels != 0 if sought.values is None else np.isin(labels, list(sought.values))
    owners = -is_core.astype(np.int64)
    owners[seen.core] = numbers
    near = seen.write.grow([ceil(sought.reach)] * ndim)
    found = np.nonzero(seen.labels[near.slices(seen.box.start)] == sought.rim)
    rim = tuple(f + o for f, o in zip(found, near.start, strict=True))
    which, owner = given_to_nearest(rim, owners, seen.box.start, sought.reach)
    which, owner = which[owner > 0], owner[owner > 0]
    return tuple(r[which] for r in rim), owner


def _ground(seen: Seen, at: Sequence[Ints], light: Read | None) -> Ground:
    """What is known under pixels at these places."""
    edge = None
    if not seen.inside.all():
        edge = seen.inside & ~ndimage.binary_erosion(seen.inside, border_value=1)
    if light is None:
        return Ground(seen.box.start, edge)
    under = Region(tuple(Interval(int(a.min()), int(a.max()) + 1) for a in at))
    return Ground(seen.box.start, edge, light(under), under)
