"""Labels of real nuclei as objects to be measured: in any tiles, with polygons or without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.interfaces import LabelClass
from napari_seamless.measurement.intensity_image import image_under, intensity_image_over
from napari_seamless.measurement.label_image import open_label_image
from napari_seamless.measurement.objects.found import find_objects
from napari_seamless.measurement.objects.intensities import stains_of
from napari_seamless.measurement.objects.rows import ObjectSource, rows_of
from napari_seamless.postprocess.object_table import ObjectTable
from napari_seamless.postprocess.polygons.from_labels import perfect_output
from napari_seamless.postprocess.polygons.step import StarPolygons
from napari_seamless.runs.roi_parts import RoiPart
from napari_seamless.testing.step_run import run_step, square_tiles

Labels = NDArray[Any]
Columns = dict[str, NDArray[Any]]
NUCLEUS = LabelClass(1, "nucleus", "#1fd160")
FOLDER = Path(__file__).parents[1] / "postprocess" / "labels"


def nuclei(name: str = "stained") -> Labels:
    """Labels (y, x) of nuclei that somebody drew."""
    return np.asarray(imageio.imread(FOLDER / f"{name}.png")).astype(np.int64)


def ragged(labels: Labels, seed: int = 0) -> Labels:
    """The same with holes, single pixels and objects in several parts."""
    gone = np.random.default_rng(seed).random(labels.shape) < 0.08
    return np.where(gone, 0, labels)


def picture(shape: tuple[int, ...], seed: int = 1) -> NDArray[np.uint8]:
    """Red, green and blue (y, x, 3) without black, whose density skimage would make up."""
    return np.random.default_rng(seed).integers(1, 256, (*shape, 3)).astype(np.uint8)


def polygons(labels: Labels) -> tuple[Labels, ObjectTable]:
    """Painted ids and the table of polygons that a perfect network would give."""
    step = StarPolygons(grid=2, largest_radius=64, probability=0.6)
    found = run_step(
        step, perfect_output(labels, 32, 2), labels.shape, square_tiles(Region.from_shape(labels.shape), 128)
    )
    return np.append(0, found.objects.id)[found.labels], found.objects


def source_of(
    labels: Labels,
    tile: int = 128,
    table: ObjectTable | None = None,
    image: Any = None,
    pixel_size: float | None = 0.5,
    parts: tuple[RoiPart, ...] = (),
) -> ObjectSource:
    """What is measured, searched in tiles of this size."""
    opened = open_label_image(labels.astype(np.int32), (NUCLEUS,), pixel_size)
    whole = Grid(labels.shape, (tile, tile))
    tiles = [whole.region(cell) for cell in cells_of(Region.from_shape(whole.counts))]
    found = find_objects(lambda at: labels[at.slices()], tiles[::-1], table)
    under = None if image is None else intensity_image_over(image_under(image, opened), opened)
    stains = None if under is None else stains_of(under.source.info, "auto")
    return ObjectSource(opened, lambda at: labels[at.slices()].copy(), found, under, stains, parts)


def columns_of(source: ObjectSource, cell: int = 1024) -> Columns:
    rows = [one.columns for one in rows_of(source, cell=cell)]
    return {name: np.concatenate([one[name] for one in rows]) for name in rows[0]}


def outlines_of(source: ObjectSource, cell: int = 1024) -> NDArray[np.object_]:
    drawn = [one.outlines for one in rows_of(source, outlines=True, cell=cell)]
    return np.concatenate([one for one in drawn if one is not None])
