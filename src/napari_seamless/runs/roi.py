"""Where a run makes pixels: shapes or a mask over the image, as chunks of the result.

A chunk that a shape touches is made whole, with the very pixels that it would have in a run over everything; the others
are left for another day. Unlike leaving out what is no tissue, this is not a part of what the result *is*: the next
run on the same output may name other shapes, and adds to it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_seamless.errors import BadRequest, InputNotFound, InputUnreadable, NowhereToRun
from napari_seamless.geometry import Grid, Interval, Region
from napari_seamless.runs.chunk_mask import touched
from napari_seamless.runs.option_groups import AnyRoi
from napari_seamless.runs.prepared import Prepared
from napari_seamless.store import Store
from napari_seamless.store.zarr_arrays import disk_errors

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

SHAPES, MASK = "roi.geojson", "roi.npy"
HOW = "roi is 'tissue', a GeoJSON file, a list of polygons (each (n, 2) of level-0 (y, x)), a Region or a mask (y, x)"


@dataclass(frozen=True)
class Roi:
    """A part of an image: a `mask`, (y, x) over the whole image at any resolution, or shapes.

    `shapes` is a shapely geometry in level-0 pixels, x first, along the edges of pixels: pixel i covers [i, i + 1).
    """

    mask: NDArray[np.bool_] | None = None
    shapes: BaseGeometry | None = None

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
            moved = _shapely().transform(moved, lambda corners: corners - np.array(wanted.start[-2:][::-1]))
            if not _touched_by(moved, plane).any():
                rows = Interval(0, 0)
        box = wanted.intersect(Region((*wanted.intervals[:-2], rows, columns)))
        if box.is_empty:
            raise NowhereToRun(
                f"where to run must lie over what is asked for, {wanted!r} of the output; nothing of it does; draw "
                "shapes over the image, in level-0 pixels"
            )
        return box

    def keep(self, store: Store) -> None:
        """Put it beside a result on disk, instead of the last one. Raises OutputUnwritable."""
        folder = store.side_folder
        if folder is None:
            return
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for name in (SHAPES, MASK):
                (folder / name).unlink(missing_ok=True)
            if self.mask is not None:
                np.save(folder / MASK, self.mask)
            else:
                (folder / SHAPES).write_text(_shapely().to_geojson(self.shapes))


def _span(mask: NDArray[np.bool_], axis: int, size: int) -> Interval:
    """From the first to the last of `size` pixels along an axis over which anything of a mask lies."""
    hit = np.flatnonzero(mask.any(axis=-1 if axis == -2 else -2))
    return Interval(int(hit[0]) * size // mask.shape[axis], -(-(int(hit[-1]) + 1) * size // mask.shape[axis]))


def output_region(prepared: Prepared, region: Region | None) -> Region:
    """A region of level-0 pixels (None: all of the image) as output pixels. Raises BadRequest where it holds none."""
    levels = prepared.source.info.levels
    if region is None:
        return Region.from_shape(prepared.output_shape)
    if region.ndim != levels.ndim:
        raise BadRequest(f"a region needs one interval for each of the image's {levels.ndim} axes; got {region!r}")
    whole = Region.from_shape(levels.shape(0))
    if region.is_empty or not whole.contains(region):
        raise BadRequest(f"a region must lie inside the image and hold a pixel; the image is {whole!r}, got {region!r}")
    wanted = prepared.to_output(levels.to_level(region, prepared.level))
    if wanted.is_empty:
        raise BadRequest(
            f"a region must hold at least one pixel of the output; {region!r} holds none; use a larger one"
        )
    return wanted


def roi_of(given: AnyRoi | Roi) -> Roi:
    """What is meant by a file, polygons, a region or a mask. Raises BadRequest, InputNotFound, InputUnreadable."""
    match given:
        case Roi():
            return given
        case str() | Path():
            return Roi(shapes=_checked(_read(Path(given))))
        case Region():
            (top, bottom), (left, right) = ((i.lo, i.hi) for i in given.intervals[-2:])
            return Roi(shapes=_checked(_shapely().box(left, top, right, bottom)))
        case np.ndarray() if given.dtype == np.bool_:
            if given.ndim != 2 or not given.any():
                raise BadRequest(
                    f"{HOW}, over the whole image at any resolution, with some pixel set; got shape {given.shape} with "
                    f"{int(np.count_nonzero(given))} pixels set"
                )
            return Roi(mask=given)
    shapely = _shapely()
    return Roi(shapes=_checked(shapely.union_all([shapely.make_valid(_polygon(points)) for points in given])))


def _polygon(points: ArrayLike) -> BaseGeometry:
    corners = np.asarray(points, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        raise BadRequest(f"{HOW}; got a polygon of shape {corners.shape}; each has three corners or more, all finite")
    polygon: BaseGeometry = _shapely().Polygon(corners[:, ::-1])
    return polygon


def _read(path: Path) -> BaseGeometry:
    if not path.exists():
        raise InputNotFound(f"where to run must be an existing GeoJSON file; there is none at {path}; check the path")
    shapely = _shapely()
    try:
        found: BaseGeometry = shapely.from_geojson(path.read_text(encoding="utf-8"))
        return shapely.union_all(shapely.make_valid(shapely.get_parts(found)))
    except (shapely.GEOSException, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputUnreadable(f"where to run must be GeoJSON; {path} is not: {error}; export it anew") from error


def _checked(shapes: BaseGeometry) -> BaseGeometry:
    if shapes.is_empty:
        raise NowhereToRun(f"{HOW}; got none that holds anything; draw at least one")
    return shapes


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

    moved: BaseGeometry = _shapely().transform(shapes, mapped)
    return moved


def _touched_by(shapes: BaseGeometry, grid: Grid) -> NDArray[np.bool_]:
    """The cells of a grid's plane, (rows, columns), that have more in common with shapes than an edge."""
    shapely = _shapely()
    (height, width), (rows, columns) = grid.shape[-2:], grid.counts[-2:]
    top = np.arange(rows)[:, None] * grid.cell[-2]
    left = np.arange(columns)[None, :] * grid.cell[-1]
    boxes = shapely.box(left, top, np.minimum(left + grid.cell[-1], width), np.minimum(top + grid.cell[-2], height))
    shapely.prepare(shapes)
    found: NDArray[np.bool_] = shapely.intersects(shapes, boxes) & ~shapely.touches(shapes, boxes)
    return found


def _shapely() -> Any:
    if find_spec("shapely") is None:
        raise BadRequest(
            'shapes to run in need shapely, which is not installed; pip install "napari-seamless[geojson]", or give a '
            "mask"
        )
    import shapely

    return shapely
