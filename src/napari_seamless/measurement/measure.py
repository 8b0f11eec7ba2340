"""Measuring a result, or any label image: areas of classes, and objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from napari_seamless.geometry import Region
from napari_seamless.interfaces import LabelClass
from napari_seamless.measurement.choices import AUTO, Name, Names, class_labels, components_to_count, smallest_area
from napari_seamless.measurement.intensity_image import image_under, intensity_image_over
from napari_seamless.measurement.label_counts import count_labels, tile_shape_over
from napari_seamless.measurement.label_image import open_label_image
from napari_seamless.measurement.measurements import Measurements
from napari_seamless.measurement.objects.measure_objects import measured_objects
from napari_seamless.measurement.objects.report import measurements_of_objects
from napari_seamless.measurement.report import measurements_of
from napari_seamless.measurement.roi import RoiMargins, mask_of, parts_of
from napari_seamless.runs.polygons import Polygons


def measure(
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
    pixel_size: float | Sequence[float] | None = None,
    names: Sequence[LabelClass] = (),
    output_image: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Measurements:
    """Count the pixels of each class of a label image, and find its objects, of any size, with little memory.

    `what` is a Result, the path of one, or any label image that `open_image` takes. Of a result that is not finished
    only what is finished is measured, and by default only what was asked of its runs so far, not all of the chunks
    that they made; roi="computed" measures these. `region`, in its level-0 pixels, and `roi` say where else: a GeoJSON
    file (as QuPath saves it) or its content, or a list of outlines, each (n, 2) corners y, x; all in level-0 pixels of
    the slide, along the edges of pixels, where pixel i covers [i, i + 1); or what `label_outlines` made. A pixel lies
    within an outline if its centre does; what several outlines cover counts once, and in each of them
    (`Measurements.parts`). An object counts where its centroid lies inside, and then it is measured whole.

    `classes`, names or numbers, are those whose objects are counted; None: every value that occurs, whether it has a
    name or not ("class 3" then), but the background and the boundary; an empty list: none. Objects are connected
    pixels of one class, by faces (`connectivity` 1) or also by corners.
    `boundary` is a class that separates objects and belongs to them: its pixels go to the nearest object (Euclidean,
    between pixel centres) within `reach` pixels; "auto" takes a class that is called boundary. Objects smaller than
    `min_area`, a number of pixels or a text such as "20um2", are left out; `Measurements.objects` has the rest, with
    the mean of the channels of `image` under each, where one is given: an image of the labels' shape, or the slide
    that the result was made of; of a stack or a series, the plane and time point that it was made of are taken.

    `output_image` names one of the outputs of a network that lie in one result, by default the first of labels.
    `pixel_size` in micrometres goes before the image's own; `names` are classes of a label image that names none.
    `on_progress` gets (pixels done, in all); `cancelled` is asked between pieces. Both are called in this thread.

    Raises BadRequest, InputNotFound, InputUnreadable, InputMismatch, RunCancelled.
    """
    labels = open_label_image(what, tuple(names), pixel_size, output_image)
    parts = parts_of(labels, region, roi)
    is_asked = bool(parts) and roi is None and region is None
    if labels.objects is not None:
        objects = None
        if classes is None or class_labels(labels, classes):
            progress: dict[str, Any] = {"on_progress": on_progress, "cancelled": cancelled}
            objects = measured_objects(labels, parts, image, classes=classes, min_area=min_area, **progress)
        return measurements_of_objects(labels, parts, objects, is_asked, cancelled)
    components = components_to_count(labels, classes, boundary, reach, connectivity)
    smallest = smallest_area(min_area, labels)
    under = None if image is None or components is None else intensity_image_over(image_under(image, labels), labels)
    around = RoiMargins(parts, labels.shape, 0 if components is None else components.halo) if parts else None
    while True:
        found = count_labels(
            lambda at: labels.source.read(at)[0],
            labels.shape,
            region=None if around is None else around.region,
            tile=tile_shape_over(labels.shape if around is None else around.region.shape, labels.chunk),
            mask=mask_of(labels, around),
            parts=parts,
            components=components,
            image=None if under is None else under.read,
            on_progress=on_progress,
            cancelled=cancelled,
        )
        if around is None or not around.cuts(found.objects):
            break
        around.grow(4 * around.margin)
    channels = () if under is None else under.names
    return measurements_of(labels, found, components, smallest, channels, parts, is_asked=is_asked)


def label_outlines(rings: Sequence[ArrayLike]) -> Polygons:
    """Outlines for `measure`'s `roi`, each (n, 2) corners y, x in pixels of the labels themselves, whose centres lie at
    whole numbers. Raises BadRequest."""
    return Polygons.of([[ring] for ring in rings])
