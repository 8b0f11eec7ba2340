"""Where a run makes pixels: shapes or a mask over the image, as chunks of the result.

A chunk that a shape touches is made whole, with the very pixels that it would have in a run over everything; the others
are left for another day. Unlike leaving out what is no tissue, this is not a part of what the result *is*: the next
run on the same output may name other shapes, and adds to it. What was asked for is kept with the result (asked_roi.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from napari_seamless.errors import BadRequest, NowhereToRun
from napari_seamless.geometry import Grid, Interval, Region
from napari_seamless.runs.annotations import Annotation, annotations_of, is_geojson, read_annotations
from napari_seamless.runs.asked_roi import Asked, Place, box_of
from napari_seamless.runs.chunk_mask import touched
from napari_seamless.runs.option_groups import AnyRoi
from napari_seamless.runs.option_text import TISSUE
from napari_seamless.runs.prepared import Prepared
from napari_seamless.runs.provenance import to_slide

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

HOW = "roi is 'tissue', a GeoJSON file, a list of polygons (each (n, 2) of level-0 (y, x)), a Region or a mask (y, x)"


@dataclass(frozen=True)
class Roi:
    """A part of an image: a `mask`, (y, x) over the whole image at any resolution, or shapes.

    `shapes` is a shapely geometry in level-0 pixels, x first, along the edges of pixels: pixel i covers [i, i + 1).
    `drawn` are the same as outlines of their own, with names and classes.
    """

    mask: NDArray[np.bool_] | None = None
    shapes: BaseGeometry | None = None
    drawn: tuple[Annotation, ...] = ()

    def chunks(self, prepared: Prepared, grid: Grid) -> NDArray[np.bool_]:
        """The chunks of a result that have a pixel of this roi, one bool for each, shape `grid.counts`."""
        if self.mask is not None:
            return touched(grid, self.mask)
        return np.broadcast_to(_touched_by(_on_output(self.shapes, prepared), grid), grid.counts)

    def box(self, prepared: Prepared, wanted: Region) -> Region:
        """The smallest box of wanted output pixels that has all of this roi in it. Raises BadRequest where none is."""
        plane = Grid(wanted.shape[-2:], wanted.shape[-2:])
        if self.mask is not None:
            rows, columns = (_span(self.mask, axis, prepared.output_shape[axis]) for axis in (-2, -1))
        else:
            moved = _on_output(self.shapes, prepared)
            left, top, right, bottom = moved.bounds
            rows, columns = Interval(floor(top), ceil(bottom)), Interval(floor(left), ceil(right))
            moved = shapely.transform(moved, lambda corners: corners - np.array(wanted.start[-2:][::-1]))
            if not _touched_by(moved, plane).any():
                rows = Interval(0, 0)
        box = wanted.intersect(Region((*wanted.intervals[:-2], rows, columns)))
        if box.is_empty:
            raise NowhereToRun(
                f"where to run must lie over what is asked for, {wanted!r} of the output; nothing of it does; draw "
                "shapes over the image, in level-0 pixels"
            )
        return box

    def asked(self, box: tuple[tuple[float, float], ...], prepared: Prepared) -> tuple[Asked, ...]:
        """What is asked for by it within a box on the slide, an outline each."""
        if self.mask is not None:
            return (mask_asked(self.mask, box, prepared),)
        return tuple(Asked(box, drawn, name=drawn.name, classification=drawn.classification) for drawn in self.drawn)


def asked_by(
    prepared: Prepared, region: Region, roi: Roi | None, only: NDArray[np.bool_] | None, place: Place | None = None
) -> tuple[Asked, ...]:
    """What a run asks for: a region of output pixels, or of pixels at a `place`, and in it a roi, or `only` the tissue.
    To be kept with it."""
    own = to_slide(prepared)
    box = box_of(region, place or (tuple(own["scale"]), tuple(own["offset"])))
    if only is not None:
        return (mask_asked(only, box, prepared, TISSUE),)
    return (Asked(box),) if roi is None else roi.asked(box, prepared)


def mask_asked(
    mask: NDArray[np.bool_], box: tuple[tuple[float, float], ...], prepared: Prepared, name: str = ""
) -> Asked:
    height, width = prepared.source.info.levels.shape(0)[-2:]
    return Asked(box, mask=mask, extent=(float(height), float(width)), name=name)


def _span(mask: NDArray[np.bool_], axis: int, size: int) -> Interval:
    """From the first to the last of `size` pixels along an axis over which anything of a mask lies."""
    hit = np.flatnonzero(mask.any(axis=-1 if axis == -2 else -2))
    return Interval(int(hit[0]) * size // mask.shape[axis], -(-(int(hit[-1]) + 1) * size // mask.shape[axis]))


def output_region(prepared: Prepared, region: Region | None) -> Region:
    """A region of level-0 pixels (None: all of the image) as output pixels. Raises BadRequest where it holds none."""
    if region is None:
        return Region.from_shape(prepared.output_shape)
    check_region(prepared, region)
    wanted = prepared.to_output(prepared.source.info.levels.to_level(region, prepared.level))
    if wanted.is_empty:
        raise BadRequest(
            f"a region must hold at least one pixel of the output; {region!r} holds none; use a larger one"
        )
    return wanted


def check_region(prepared: Prepared, region: Region) -> None:
    """Raise BadRequest for a region of level-0 pixels that does not lie in the image, or is empty."""
    levels = prepared.source.info.levels
    if region.ndim != levels.ndim:
        raise BadRequest(f"a region needs one interval for each of the image's {levels.ndim} axes; got {region!r}")
    whole = Region.from_shape(levels.shape(0))
    if region.is_empty or not whole.contains(region):
        raise BadRequest(f"a region must lie inside the image and hold a pixel; the image is {whole!r}, got {region!r}")


def roi_of(given: AnyRoi | Roi) -> Roi:
    """What is meant by a file, polygons, a region or a mask. Raises BadRequest, InputNotFound, InputUnreadable."""
    match given:
        case Roi():
            return given
        case str() | Path():
            return _of_annotations(read_annotations(Path(given)))
        case Region():
            (top, bottom), (left, right) = ((float(i.lo), float(i.hi)) for i in given.intervals[-2:])
            corners = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
            return _of_annotations((Annotation(((corners,),)),))
        case np.ndarray() if given.dtype == np.bool_:
            if given.ndim != 2 or not given.any():
                raise BadRequest(
                    f"{HOW}, over the whole image at any resolution, with some pixel set; got shape {given.shape} with "
                    f"{int(np.count_nonzero(given))} pixels set"
                )
            return Roi(mask=given)
    if is_geojson(given):
        return _of_annotations(annotations_of(given))
    return _of_annotations(tuple(Annotation(((_ring(points),),)) for points in given))


def _of_annotations(drawn: tuple[Annotation, ...]) -> Roi:
    polygons = [rings for one in drawn for rings in one.polygons]
    for ring in (ring for rings in polygons for ring in rings):
        _check_ring(ring)
    made = [
        shapely.make_valid(shapely.Polygon(outer[:, ::-1], [h[:, ::-1] for h in holes])) for outer, *holes in polygons
    ]
    shapes = shapely.union_all(made)
    if shapes.is_empty:
        raise NowhereToRun(f"{HOW}; got none that holds anything; draw at least one")
    return Roi(shapes=shapes, drawn=drawn)


def _ring(points: ArrayLike) -> NDArray[np.float64]:
    corners = np.asarray(points, dtype=np.float64)
    _check_ring(corners)
    return corners


def _check_ring(corners: NDArray[np.float64]) -> None:
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        raise BadRequest(f"{HOW}; got a polygon of shape {corners.shape}; each has three corners or more, all finite")


def _on_output(shapes: BaseGeometry | None, prepared: Prepared) -> BaseGeometry:
    """Level-0 pixels as output pixels; both count along the edges of pixels."""
    levels = prepared.source.info.levels
    down, right = (
        (float(level), float(edge), scale, offset)
        for level, edge, scale, offset in zip(
            levels.scale(prepared.level)[-2:],
            levels.edge(prepared.level)[-2:],
            prepared.scale[-2:],
            prepared.offset[-2:],
            strict=True,
        )
    )

    def mapped(corners: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = (
            ((column - edge) / level - 0.5 - offset) / scale + 0.5
            for column, (level, edge, scale, offset) in zip(corners.T, (right, down), strict=True)
        )
        return np.stack(list(columns), axis=1)

    moved: BaseGeometry = shapely.transform(shapes, mapped)
    return moved


def _touched_by(shapes: BaseGeometry, grid: Grid) -> NDArray[np.bool_]:
    """The cells of a grid's plane, (rows, columns), that have more in common with shapes than an edge."""
    (height, width), (rows, columns) = grid.shape[-2:], grid.counts[-2:]
    top = np.arange(rows)[:, None] * grid.cell[-2]
    left = np.arange(columns)[None, :] * grid.cell[-1]
    boxes = shapely.box(left, top, np.minimum(left + grid.cell[-1], width), np.minimum(top + grid.cell[-2], height))
    shapely.prepare(shapes)
    found: NDArray[np.bool_] = shapely.intersects(shapes, boxes) & ~shapely.touches(shapes, boxes)
    return found
