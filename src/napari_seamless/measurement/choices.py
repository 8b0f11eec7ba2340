"""What somebody asks to count, said as labels and pixels: classes by name or number, a boundary, a smallest area."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil, prod

import numpy as np

from napari_seamless.errors import BadRequest
from napari_seamless.measurement.label_image import LabelImage
from napari_seamless.postprocess.components import Components
from napari_seamless.runs.component_labels import boundary_label

Name = str | int
Names = Sequence[Name] | Name | None
AUTO = "auto"


def components_to_count(
    labels: LabelImage, classes: Names, boundary: Name | None, reach: float, connectivity: int
) -> Components | None:
    """Which objects are counted; None: none. Raises BadRequest."""
    chosen = class_labels(labels, classes)
    around = _boundary(labels, boundary, chosen or frozenset())
    return None if chosen is not None and not chosen else Components(chosen, connectivity, around, reach)


def class_labels(labels: LabelImage, classes: Names) -> frozenset[int] | None:
    """The labels of classes by name or number; None for all. Raises BadRequest."""
    return None if classes is None else frozenset(_label(labels, name) for name in _listed(classes))


def smallest_area(min_area: float | str, labels: LabelImage) -> int:
    """Pixels of the smallest object that counts. Raises BadRequest."""
    ndim = len(labels.shape)
    unit = "um2" if ndim == 2 else "um3"
    matched = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(px|um2|µm2|µm²|um3|µm3|µm³)?\s*", str(min_area))
    if matched is None:
        raise BadRequest(f"a smallest area is a number of pixels, or such as 20{unit}; got {min_area!r}")
    number, said = float(matched[1]), (matched[2] or "px").replace("µ", "u").replace("²", "2").replace("³", "3")
    if said == "px":
        return ceil(number)
    if said != unit:
        raise BadRequest(f"objects of an image with {ndim} axes have a size in px or {unit}; got {min_area!r}")
    if labels.pixel_size is None:
        raise BadRequest(
            f"a smallest area in {unit} needs the size of a pixel, which is not known; got {min_area!r}; "
            "give it in pixels, or say that with pixel_size=0.25 (--pixel-size 0.25), in um per pixel"
        )
    return ceil(number / prod(labels.pixel_size) - 1e-9)


def _boundary(labels: LabelImage, boundary: Name | None, classes: frozenset[int]) -> int | None:
    if boundary is None or boundary == "":
        return None
    if boundary != AUTO:
        return _label(labels, boundary)
    named = boundary_label(labels.classes)
    return None if named in classes else named


def _label(labels: LabelImage, name: Name) -> int:
    """The label of a class. Raises BadRequest."""
    if isinstance(name, int | np.integer) and not isinstance(name, bool):
        return int(name)
    text = str(name).strip()
    for known in labels.classes:
        if known.name.lower() == text.lower():
            return known.value
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    listed = ", ".join(f"{c.value} {c.name}" for c in labels.classes)
    raise BadRequest(
        f"a class is one of {listed}; got {text!r}; name one of them"
        if listed
        else f"these labels have no names, only numbers; got {text!r}; give a number"
    )


def _listed(classes: Sequence[Name] | Name) -> Sequence[Name]:
    return (classes,) if isinstance(classes, str | int) else classes
