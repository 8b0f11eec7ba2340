"""Counting classes and finding objects tile by tile, with memory for one tile and the table of objects.

The result does not depend on the tiles: objects come in the order, and with the pixels, that scipy.ndimage.label would
give on the whole array (where pixels that are not measured are 0).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import RunCancelled
from napari_seamless.geometry import Cell, Grid, Region
from napari_seamless.postprocess.components import Components, whole_numbers
from napari_seamless.postprocess.object_table import ObjectTable, in_order
from napari_seamless.postprocess.step import Domain, TileOutput
from napari_seamless.runs.roi_parts import RoiPart

Array = NDArray[np.generic]
Mask = NDArray[np.bool_]
Read = Callable[[Region], Array]

TILE_PIXELS = 1 << 20


@dataclass(frozen=True)
class LabelCounts:
    """Pixels of each label that was met (0 among them), and the objects by rising id; none where none were sought.

    `unassigned` counts pixels of the boundary class without an object near them; None where only a roi was counted.
    `parts` are the pixels of each label in each part of a roi, `missing` how many of its pixels the mask left out.
    """

    counts: Mapping[int, int]
    objects: ObjectTable
    unassigned: int | None = 0
    parts: tuple[Mapping[int, int], ...] = ()
    missing: int = 0


def count_labels(
    read: Read,
    shape: Sequence[int],
    *,
    region: Region | None = None,
    tile: Sequence[int] | None = None,
    mask: Callable[[Region], Mask] | None = None,
    parts: Sequence[RoiPart] = (),
    components: Components | None = None,
    image: Read | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> LabelCounts:
    """Count the labels of an image of this `shape`, ([z,] y, x), and find the objects that are `components`.

    `read` gives the integer labels of a region, `image` (c, *region.shape) an image over it. Only pixels of `region`
    are measured, and of these only what `mask` (bool, *region.shape) says. With `parts` only pixels in any of these
    are counted, and objects are found in all of the region. `tile` is the shape that is read at once.
    `on_progress` gets (pixels done, pixels in all); both callbacks are called in this thread.

    Raises BadRequest, RunCancelled and what the readers raise.
    """
    domain = Domain(tuple(shape), Region.from_shape(shape) if region is None else region)
    settler = None if components is None else components.begin(domain)
    grid = Grid(domain.region.shape, tuple(tile or tile_shape_over(domain.region.shape)))
    counts: Counter[int] = Counter()
    by_part: tuple[Counter[int], ...] = tuple(Counter() for _ in parts)
    tables, done, missing = [ObjectTable.empty(len(shape))], 0, 0
    for cell in _along_shorter_axes(grid):
        if cancelled is not None and cancelled():
            raise RunCancelled("measuring was stopped; nothing of it is kept")
        write = grid.region(cell).shift(domain.region.start)
        given = read_tile(read, domain, write, 0 if components is None else components.halo, mask, image)
        if parts:
            missing += _count_parts(counts, by_part, parts, given)
        else:
            _count(counts, *_own(given))
        if components is not None and settler is not None:
            tables.append(settler.settle(components.propose(given)).objects)
        done += write.size
        if on_progress is not None:
            on_progress(done, domain.region.size)
    if components is None or settler is None:
        return LabelCounts(dict(counts), tables[0], None if parts else 0, by_part, missing)
    objects = in_order([settler.flush().objects, *tables], len(shape))
    unassigned = None if parts else _unassigned(counts, objects, components)
    return LabelCounts(dict(counts), objects, unassigned, by_part, missing)


def tile_shape_over(shape: Sequence[int], chunk: Sequence[int] | None = None) -> tuple[int, ...]:
    """A tile of about a million pixels (labelling one holds Python up for some ms), made of whole chunks."""
    unit = list(chunk) if chunk is not None else [1 for _ in shape]
    size = [min(u, n) for u, n in zip(unit, shape, strict=True)]
    while True:
        grown = [min(2 * s, n) if s < n else s for s, n in zip(size, shape, strict=True)]
        axis = min(range(len(size)), key=lambda k: (size[k] >= shape[k], size[k]))
        if grown[axis] == size[axis] or prod(size) // size[axis] * grown[axis] > TILE_PIXELS:
            return tuple(size)
        size[axis] = grown[axis]


def _along_shorter_axes(grid: Grid) -> Iterator[Cell]:
    """All cells, along the shorter axes first: the front between what is read and what is not stays small."""
    axes = sorted(range(len(grid.shape)), key=lambda axis: -grid.shape[axis])
    for steps in product(*(range(grid.counts[axis]) for axis in axes)):
        by_axis = dict(zip(axes, steps, strict=True))
        yield tuple(by_axis[axis] for axis in range(len(axes)))


def read_tile(
    read: Read, domain: Domain, write: Region, halo: int, mask: Callable[[Region], Mask] | None, image: Read | None
) -> TileOutput:
    """Labels of a tile and around it; nothing is read where the mask leaves nothing of it."""
    tile = domain.tile(write, halo)
    known = None if mask is None else mask(tile.read)
    if known is not None and not known[write.slices(tile.read.start)].any():
        return TileOutput(domain, tile, np.zeros((1, *tile.read.shape), np.uint8), mask=np.zeros_like(known))
    pixels = whole_numbers(read(tile.read))
    return TileOutput(domain, tile, pixels[None], mask=known, image=image)


def _own(given: TileOutput) -> tuple[Array, Mask | None]:
    """The labels of a tile without what is read around it, and which of them count."""
    own = given.tile.write.slices(given.tile.read.start)
    return given.pixels[0][own], None if given.mask is None else given.mask[own]


def _count_parts(
    counts: Counter[int], by_part: Sequence[Counter[int]], parts: Sequence[RoiPart], given: TileOutput
) -> int:
    """Each part by itself, and what lies in any of them once; how many of its pixels the mask leaves out."""
    write = given.tile.write
    labels, known = _own(given)
    inside = np.zeros(write.shape, bool)
    for part, counted in zip(parts, by_part, strict=True):
        common = write.intersect(part.region)
        if common.is_empty:
            continue
        at = common.slices(write.start)
        within = part.mask(common)
        inside[at] |= within
        _count(counted, labels[at], within if known is None else within & known[at])
    measured = inside if known is None else inside & known
    _count(counts, labels, measured)
    return int(np.count_nonzero(inside)) - int(np.count_nonzero(measured))


def _count(counts: Counter[int], pixels: Array, within: Mask | None) -> None:
    labels = pixels.ravel() if within is None else pixels[within]
    if not labels.size:
        return
    if labels.dtype.itemsize == 1 and labels.dtype.kind == "u":
        found = np.bincount(labels)
        values = np.flatnonzero(found)
        found = found[values]
    else:
        values, found = np.unique(labels, return_counts=True)
    counts.update(dict(zip(values.tolist(), found.tolist(), strict=True)))


def _unassigned(counts: Mapping[int, int], objects: ObjectTable, components: Components) -> int:
    if components.boundary is None:
        return 0
    assigned = objects.area - objects.extra["core_area"]
    return counts.get(components.boundary, 0) - int(assigned.sum())
