"""How labels look: colours, names and what of them is shown. GUI thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless._napari.layers.live_layers import FACTS, TRANSPARENT
from napari_seamless._napari.layers.readable import result_of
from napari_seamless._napari.measure.state import ClassRow
from napari_seamless._napari.widgets.wording import size
from napari_seamless._napari.writer import layer_classes
from napari_seamless.interfaces import LabelClass
from napari_seamless.units import symbol_of

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

RIM_NAME = "boundary"
BACKGROUND, WITHOUT_ROW = "#000000", "#808080"


def is_preview(layer: Layer) -> bool:
    """Whether a layer shows estimated pixels, which are not worth measuring."""
    return bool(layer.metadata.get(FACTS, {}).get("preview"))


def about_labels(layer: Labels) -> str:
    """One line on labels: their size, type, size of a pixel, and how much of a result is finished."""
    result = result_of(layer)
    shape = layer.level_shapes[0][: layer.ndim] if result is None else result.info.levels.shape(0)
    parts = [size(tuple(int(n) for n in shape)), str(layer.dtype)]
    if str(layer.units[-1]) != "pixel":
        parts.append(f"{float(layer.scale[-1]):.3g}\u00a0{symbol_of(str(layer.units[-1]))}/px")
    if result is not None and not result.finished.all():
        parts.append(f"{result.finished.mean():.0%} finished")
    return " · ".join(parts)


def rows_of(layer: Labels) -> tuple[ClassRow, ...]:
    """The classes of a layer: those of its result, or those that its colours name. All but the background and the
    boundary are counted. Empty where nothing but the background has a name: nobody has looked which labels occur."""
    result = result_of(layer)
    classes = tuple(result.classes) if result is not None else ()
    if not any(c.value for c in classes):
        classes = layer_classes({"colormap": layer.colormap, "features": layer.features}, "labels")
    return tuple(row_for(c) for c in classes) if any(c.value for c in classes) else ()


def rows_for(
    layer: Labels, values: Sequence[int], known: Sequence[ClassRow], counted: Sequence[str]
) -> tuple[ClassRow, ...]:
    """The rows that are known, and one in napari's own colour for each further label that occurs."""
    from napari.utils.colormaps import CyclicLabelColormap, label_colormap

    colormap = layer.colormap if isinstance(layer.colormap, CyclicLabelColormap) else label_colormap()
    missing = sorted(set(values) - {row.value for row in known})
    fresh = [LabelClass(v, LabelClass.default_name(v), _hex(colormap.map(v)) if v else BACKGROUND) for v in missing]
    rows = (ClassRow(c.value, c.name, c.colour, is_counted=c.name in counted) for c in fresh)
    return tuple(sorted((*known, *rows), key=lambda row: row.value))


def is_named(layer: Labels) -> bool:
    """Whether each label has a colour that somebody chose, and not one of napari's own."""
    return hasattr(layer.colormap, "color_dict")


def row_for(label: LabelClass) -> ClassRow:
    is_counted = label.value != 0 and label.name.lower() != RIM_NAME
    return ClassRow(label.value, label.name, label.colour, is_counted=is_counted)


def show_classes(layer: Labels, rows: Sequence[ClassRow]) -> None:
    """Put colours and names on a layer; a class that is not shown, and the background, are transparent.

    Labels without a row stay as they are, but for those of napari's own colours, which become grey.
    """
    from napari.utils.colormaps import DirectLabelColormap

    others = getattr(layer.colormap, "color_dict", {None: WITHOUT_ROW})[None]
    colours: dict[Any, Any] = {None: others, 0: TRANSPARENT}
    colours |= {row.value: row.colour if row.is_shown else TRANSPARENT for row in rows if row.value}
    layer.colormap = DirectLabelColormap(color_dict=colours)
    layer.features = {"index": [row.value for row in rows], "class": [row.name for row in rows]}


def _hex(colour: Any) -> str:
    red, green, blue = (round(float(c) * 255) for c in np.asarray(colour)[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
