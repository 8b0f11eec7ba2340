"""What a tile knows of the components in it: pure, in any thread or process."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label as label_values

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Interval, Region, hull_of
from napari_seamless.postprocess.components.boundary import nearest_cores
from napari_seamless.postprocess.components.settings import ComponentSettings
from napari_seamless.postprocess.components.sums import ComponentSums, PixelList, sums_of
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.step import TileOutput

Array = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class TileComponents:
    """The components of a tile.

    `numbers` (*tile.shape) says which, from 1, has each core pixel; `boundary_at` (one array an axis) are pixels of the
    boundary class, also around the tile, whose nearest core lies in it, and `boundary_owner` the component of each.
    """

    numbers: NDArray[np.integer]
    boundary_at: tuple[Ints, ...]
    boundary_owner: Ints


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Labels (0 where nothing is) and which pixels count, over `box`, which holds the tile `write` and what is around
    it, also beyond the domain."""

    write: Region
    box: Region
    labels: Array
    mask: NDArray[np.bool_]

    @property
    def tile(self) -> tuple[slice, ...]:
        """Slices of the arrays that are the tile itself."""
        return self.write.slices(self.box.start)


def surroundings(given: TileOutput, halo: int) -> Surroundings:
    """A tile and what is around it. Raises BadRequest where the output is no class map."""
    write, read = given.tile.write, given.tile.read
    box = write.grow([halo] * write.ndim)
    there, mask = read.slices(box.start), np.zeros(box.shape, bool)
    mask[there] = True if given.mask is None else given.mask
    pixels = whole_numbers(given.pixels[0])
    labels = np.zeros(box.shape, pixels.dtype)
    labels[there] = pixels if given.mask is None else np.where(given.mask, pixels, pixels.dtype.type(0))
    return Surroundings(write, box, labels, mask)


def whole_numbers(pixels: Array) -> Array:
    """Labels of a type that the libraries below take. Raises BadRequest where they are no whole numbers."""
    if pixels.dtype.kind not in "iub":
        raise BadRequest(f"labels are whole numbers; got {pixels.dtype}; choose a label image")
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8)
    if pixels.dtype != np.uint64:
        return pixels
    if pixels.size and int(pixels.max()) > np.iinfo(np.int64).max:
        raise BadRequest(f"a label is less than 2 to the power of 63; got {pixels.max()}; number the labels anew")
    return pixels.astype(np.int64)


def components_of(around: Surroundings, settings: ComponentSettings) -> TileComponents:
    """Which component has each pixel of a tile, and the boundary pixels that belong to them."""
    labels = around.labels
    if settings.classes is None and settings.boundary is not None:
        labels = np.where(labels == settings.boundary, labels.dtype.type(0), labels)
    numbers = _numbered(labels[around.tile], settings)
    if settings.boundary is None or not numbers.any():
        return TileComponents(numbers, (np.zeros(0, np.int64),) * numbers.ndim, np.zeros(0, np.int64))
    return TileComponents(numbers, *_boundary_pixels(around, labels, numbers, settings))


def _numbered(labels: Array, settings: ComponentSettings) -> NDArray[np.integer]:
    """Connected pixels of equal label, counted from 1; 0 for label 0 and for classes that are not looked for."""
    classes, connectivity = settings.classes, settings.connectivity
    if classes is None:
        return np.asarray(label_values(labels, background=0, connectivity=connectivity))
    if len(classes) > 4:
        kept = np.where(np.isin(labels, list(classes)), labels, labels.dtype.type(0))
        return np.asarray(label_values(kept, background=0, connectivity=connectivity))
    structure = ndimage.generate_binary_structure(labels.ndim, connectivity)
    first, *others = sorted(classes)
    numbers, count = ndimage.label(labels == first, structure)
    for value in others:
        mask = labels == value
        found, more = ndimage.label(mask, structure)
        numbers[mask] = found[mask] + count
        count += more
    return np.asarray(numbers)


def _boundary_pixels(
    around: Surroundings, labels: Array, numbers: NDArray[np.integer], settings: ComponentSettings
) -> tuple[tuple[Ints, ...], Ints]:
    is_core = labels != 0 if settings.classes is None else np.isin(labels, list(settings.classes))
    owners = -is_core.astype(np.int64)
    owners[around.tile] = numbers
    near = around.write.grow([settings.reach_pixels] * numbers.ndim)
    found = np.nonzero(around.labels[near.slices(around.box.start)] == settings.boundary)
    at = tuple(f + o for f, o in zip(found, near.start, strict=True))
    which, owner = nearest_cores(at, owners, around.box.start, settings.reach)
    which, owner = which[owner > 0], owner[owner > 0]
    return tuple(a[which] for a in at), owner


def component_sums(given: TileOutput, around: Surroundings, tile: TileComponents) -> ComponentSums:
    """What the components of a tile add up to."""
    flat = np.flatnonzero(tile.numbers)
    if not len(flat):
        return ComponentSums.empty(tile.numbers.ndim)
    component = tile.numbers.ravel()[flat].astype(np.int64)
    start = around.write.start
    at = tuple(a + o for a, o in zip(np.unravel_index(flat, tile.numbers.shape), start, strict=True))
    labels = np.zeros(int(component.max()), np.int64)
    labels[component - 1] = around.labels[around.tile].ravel()[flat]
    pixels_at = _PixelReader(given, around, (at, tile.boundary_at))
    cores, boundary = pixels_at(component, at), pixels_at(tile.boundary_owner, tile.boundary_at)
    return sums_of(cores, boundary, labels, given.domain.shape)


class _PixelReader:
    """Looks up what lies under pixels: whether they are at the edge, and the image (read once, for all `places`)."""

    def __init__(self, given: TileOutput, around: Surroundings, places: Sequence[tuple[Ints, ...]]) -> None:
        self._corner, self._domain = around.box.start, given.domain.region
        self._is_at_border = not self._domain.contains(around.box)
        self._edge = None
        if given.mask is not None and not around.mask.all():
            self._edge = around.mask & ~ndimage.binary_erosion(around.mask, border_value=1)
        self._region, self._image = around.write, None
        if given.image is not None:
            self._region = hull_of(_box_of(at) for at in places if len(at[0]))
            self._image = given.image(self._region)

    def __call__(self, component: Ints, at: tuple[Ints, ...]) -> PixelList:
        intensity = np.zeros((len(component), 0))
        if self._image is not None:
            there = tuple(a - c for a, c in zip(at, self._region.start, strict=True))
            intensity = np.stack([channel[there] for channel in self._image], 1).astype(np.float64)
        return PixelList(component, at, self._at_edge(at), intensity)

    def _at_edge(self, at: tuple[Ints, ...]) -> NDArray[np.bool_]:
        if self._edge is not None:
            return np.asarray(self._edge[tuple(a - c for a, c in zip(at, self._corner, strict=True))])
        at_edge = np.zeros(len(at[0]), bool)
        if self._is_at_border:
            for places, span in zip(at, self._domain.intervals, strict=True):
                at_edge |= (places == span.lo) | (places == span.hi - 1)
        return at_edge


def _box_of(at: tuple[Ints, ...]) -> Region:
    return Region(tuple(Interval(int(a.min()), int(a.max()) + 1) for a in at))
