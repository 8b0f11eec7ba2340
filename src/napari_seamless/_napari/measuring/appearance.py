"""How labels look: colours, names and what of them is shown. GUI thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless._napari.layers import FACTS, RESULT, TRANSPARENT
from napari_seamless._napari.measuring.state import ClassRow
from napari_seamless._napari.wording import size
from napari_seamless._napari.writing import SavedLayer, layer_classes
from napari_seamless.seams import LabelClass

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

RIM_NAME = "boundary"


def is_preview(layer: Layer) -> bool:
    """Whether a layer shows estimated pixels, which are not worth measuring."""
    return bool(layer.metadata.get(FACTS, {}).get("preview"))


def result_of(layer: Layer) -> Any | None:
    """The result behind a layer, if its classes can be named anew."""
    result = layer.metadata.get(RESULT)
    return result if hasattr(result, "set_classes") else None


def readable(layer: Image | Labels) -> Any:
    """What other threads may read of a layer: its result, or its pixels as they are now."""
    result = result_of(layer)
    if result is not None:
        return result
    scale = tuple(float(s) for s in layer.scale)
    rgb = getattr(layer, "rgb", None)
    return SavedLayer(layer.data, layer.name, bool(layer.multiscale), scale, tuple(layer.units), rgb)


def about_labels(layer: Labels) -> str:
    """One line on labels: their size, type, size of a pixel, and how much of a result is finished."""
    result = result_of(layer)
    shape = layer.level_shapes[0][: layer.ndim] if result is None else result.info.levels.shape(0)
    parts = [size(tuple(int(n) for n in shape)), str(layer.dtype)]
    if str(layer.units[-1]) != "pixel":
        unit = {"micrometer": "µm"}.get(str(layer.units[-1]), str(layer.units[-1]))
        parts.append(f"{float(layer.scale[-1]):.3g}\u00a0{unit}/px")
    if result is not None and not result.finished.all():
        parts.append(f"{result.finished.mean():.0%} finished")
    return " · ".join(parts)


def rows_of(layer: Labels) -> tuple[ClassRow, ...]:
    """The classes of a layer: those of its result, or those that its colours name. All but the background and the
    boundary are counted."""
    result = result_of(layer)
    classes = tuple(result.classes) if result is not None else ()
    if not classes:
        classes = layer_classes({"colormap": layer.colormap, "features": layer.features}, "labels")
    return tuple(row_for(c) for c in classes)


def rows_for(layer: Labels, values: Sequence[int], known: Sequence[ClassRow]) -> tuple[ClassRow, ...]:
    """The rows that are known, and one in the layer's own colour for each further label."""
    missing = sorted(set(values) - {row.value for row in known} - {0})
    fresh = [row_for(LabelClass(v, f"label {v}", _hex(layer.get_color(v)))) for v in missing]
    return tuple(sorted((*known, *fresh), key=lambda row: row.value))


def row_for(label: LabelClass) -> ClassRow:
    is_counted = label.value != 0 and label.name.lower() != RIM_NAME
    return ClassRow(label.value, label.name, label.colour, is_counted=is_counted)


def show_classes(layer: Labels, rows: Sequence[ClassRow]) -> None:
    """Put colours and names on a layer; a class that is not shown, and the background, are transparent."""
    from napari.utils.colormaps import DirectLabelColormap

    colours: dict[Any, Any] = {None: TRANSPARENT, 0: TRANSPARENT}
    colours |= {row.value: row.colour if row.is_shown else TRANSPARENT for row in rows if row.value}
    layer.colormap = DirectLabelColormap(color_dict=colours)
    layer.features = {"index": [row.value for row in rows], "class": [row.name for row in rows]}


def _hex(colour: Any) -> str:
    red, green, blue = (round(float(c) * 255) for c in np.asarray(colour)[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
