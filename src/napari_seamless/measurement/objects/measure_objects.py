"""Every object of a result, or of any label image: found, measured and saved, a band of rows after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.interfaces import LabelClass
from napari_seamless.io.writers.object_formats import object_format
from napari_seamless.io.writers.object_rows import ObjectFile, ObjectRows
from napari_seamless.measurement.choices import AUTO, Name, Names, class_labels, components_to_count, smallest_area
from napari_seamless.measurement.intensity_image import image_under, intensity_image_over
from napari_seamless.measurement.label_image import LabelImage, open_label_image
from napari_seamless.measurement.objects.density import CELL, DensityMap, density_map
from napari_seamless.measurement.objects.intensities import stains_of
from napari_seamless.measurement.objects.positive import PositiveShares, Threshold, shares_of
from napari_seamless.measurement.objects.rows import ObjectSource, rows_of
from napari_seamless.measurement.objects.search import search
from napari_seamless.measurement.roi import RoiMargins, parts_of
from napari_seamless.runs.roi_parts import RoiPart, any_holds

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class ObjectMeasurements:
    """Objects of a plane, and what is measured of each when it is asked for. One thread at a time.

    `len()` says how many they are. A row has `id` (the object's label), `class` and its number `label`; `pixels`,
    `area_um2`; the centroid `y`, `x` in level-0 pixels of the labels (centres at whole numbers), `y_um`, `x_um` from
    the slide's origin, `slide_y`, `slide_x` where the labels have another resolution than the slide; the bounding box
    `y_min`, `x_min`, `y_max`, `x_max` (half-open); `at_edge`; `score` where the network gives one; `perimeter`,
    `solidity`, `major_axis`, `minor_axis` and `orientation` as skimage.measure.regionprops defines them; `mean_`,
    `sd_`, `min_` and `max_` of each channel of the image and of each stain's optical density; `neighbour_distance`
    between centroids, to the nearest other row (NaN where there is none); `roi`, of several outlines. Lengths are in
    pixels, and again in micrometres (`..._um`) where their size is known. All is of the pixels that the object has in
    the labels: what another object covers is not its own.

    Rows come by bands of 1024 rows of the image, there by id, and are the same, bit for bit, for any tiles.
    """

    source: ObjectSource
    small: int = 0
    """How many were left out because they are smaller than what was asked for."""

    def __len__(self) -> int:
        return len(self.source.objects)

    @property
    def name(self) -> str:
        return self.source.labels.name

    def rows(
        self,
        *,
        outlines: bool = False,
        on_progress: OnProgress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[ObjectRows]:
        """The stream itself, with `outlines` where these are wanted. Memory: a band of rows, and 16 bytes an object.

        Raises RunCancelled, and what reading raises.
        """
        return rows_of(self.source, outlines=outlines, on_progress=on_progress, cancelled=cancelled)

    def table(self) -> dict[str, NDArray[Any]]:
        """All columns, in memory: about 400 bytes an object."""
        found = [rows.columns for rows in self.rows()]
        return {name: np.concatenate([columns[name] for columns in found]) for name in found[0]}

    def density_map(self, cell: float = CELL) -> DensityMap:
        """Objects on a square millimetre, in cells of so many micrometres. Raises BadRequest."""
        return density_map(self.source.labels, self.source.objects.centroid, cell)

    def save(
        self,
        *paths: str | Path,
        positive: str | None = None,
        overwrite: bool = False,
        on_progress: OnProgress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> PositiveShares | None:
        """Save all rows at each path: .csv, .geojson for QuPath, .parquet (GeoParquet), .h5ad (AnnData), .zarr
        (SpatialData), in one go through the image. `positive`, such as "mean_DAB>0.2", adds a column of that name, and
        gives how many objects it holds of, in all and for each outline of the roi.

        Raises BadRequest for another suffix, a column that there is not, or a package that is not installed;
        OutputExists, OutputUnwritable, RunCancelled, and what reading raises.
        """
        threshold = None if positive is None else Threshold.of(positive)
        formats = [object_format(Path(path)) for path in paths]
        labels, values, order = self.source.labels, [], []
        size = labels.pixel_size and tuple(p / s for p, s in zip(labels.pixel_size, labels.scale, strict=True))
        file = ObjectFile(labels.name, labels.source.info.identity, labels.classes, labels.facts, size)
        with ExitStack() as stack:
            writers = [
                stack.enter_context(one.open(Path(path), file, overwrite=overwrite))
                for path, one in zip(paths, formats, strict=True)
            ]
            outlines = any(one.has_outlines for one in formats)
            for rows in self.rows(outlines=outlines, on_progress=on_progress, cancelled=cancelled):
                if threshold is not None:
                    column = threshold.column_of(rows.columns)
                    values.append(column)
                    order.append(rows.columns["id"])
                    rows = replace(rows, columns={**rows.columns, "positive": threshold.holds(column)})
                for write in writers:
                    write(rows)
        if threshold is None:
            return None
        at = np.searchsorted(self.source.objects.id, np.concatenate(order))
        return shares_of(threshold, np.concatenate(values), self.source.objects.centroid[at], self.source.parts)


def measure_objects(
    what: Any,
    image: Any = None,
    *,
    region: Region | None = None,
    roi: Any = None,
    classes: Names = None,
    boundary: Name | None = AUTO,
    reach: float = 4.0,
    connectivity: int = 1,
    min_area: float | str = 0,
    stains: str | None = "auto",
    pixel_size: float | Sequence[float] | None = None,
    names: Sequence[LabelClass] = (),
    output_image: str | None = None,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> ObjectMeasurements:
    """Find the objects of a result, or of any label image of a plane, of any size; measure each when rows are asked
    for.

    The options are those of `measure`. `stains` names the matrix (of scikit-image) by which optical densities are
    separated where `image` is a picture in red, green and blue: "hed" (haematoxylin, eosin, DAB), "hdx" (haematoxylin,
    DAB), None for none. `on_progress` gets (pixels done, in all) of the search.

    Memory: 150 bytes an object, and what is read at once. Raises BadRequest, InputNotFound, InputUnreadable,
    InputMismatch, RunCancelled.
    """
    labels = open_label_image(what, tuple(names), pixel_size, output_image)
    return measured_objects(
        labels,
        parts_of(labels, region, roi),
        image,
        classes=classes,
        boundary=boundary,
        reach=reach,
        connectivity=connectivity,
        min_area=min_area,
        stains=stains,
        on_progress=on_progress,
        cancelled=cancelled,
    )


def measured_objects(
    labels: LabelImage,
    parts: tuple[RoiPart, ...],
    image: Any = None,
    *,
    classes: Names = None,
    boundary: Name | None = AUTO,
    reach: float = 4.0,
    connectivity: int = 1,
    min_area: float | str = 0,
    stains: str | None = "auto",
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> ObjectMeasurements:
    """As `measure_objects`, of labels that are open, and those parts of them."""
    if len(labels.shape) != 2:
        raise BadRequest(
            f"single objects are measured in planes (y, x); got {len(labels.shape)} axes; measure a plane of it, or "
            "its areas"
        )
    components = None
    if labels.objects is None:
        components = components_to_count(labels, classes, boundary, reach, connectivity)
    sought = class_labels(labels, classes)
    if components is None and (labels.objects is None or sought == frozenset()):
        raise BadRequest("a table of objects needs objects; none were sought; name classes")
    smallest = smallest_area(min_area, labels)
    under = None if image is None else intensity_image_over(image_under(image, labels), labels)
    separation = None if under is None else stains_of(under.source.info, stains)
    around = RoiMargins(parts, labels.shape, 0 if components is None else components.halo) if parts else None
    while True:
        source = search(labels, components, around, on_progress, cancelled)
        if around is None or not around.cuts(source.objects):
            break
        around.grow(4 * around.margin)
    objects = source.objects
    if sought is not None:
        objects = objects.take(np.isin(objects.label, list(sought)))
    if parts:
        objects = objects.take(any_holds(parts, objects.centroid))
    large = objects.take(objects.area >= smallest)
    return ObjectMeasurements(
        replace(source, objects=large, image=under, separation=separation, parts=parts), len(objects) - len(large)
    )
