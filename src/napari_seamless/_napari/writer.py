"""File > Save Selected Layers: layers as OME-Zarr, pyramidal OME-TIFF or, labels, as GeoJSON for QuPath."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari.utils import progress
from napari.utils.notifications import show_info

from napari_seamless._napari.layers.following import is_moved
from napari_seamless._napari.layers.live_layers import RESULT
from napari_seamless._napari.layers.readable import LayerPixels
from napari_seamless._napari.layers.source_layer import is_where_said, source_behind
from napari_seamless.interfaces import LabelClass
from napari_seamless.io.writers.formats import Kind

MOVED = (
    "'{name}' is saved with the place and the pixel size that its image had when it was opened or run, so that it lies "
    "over that again; its layer was moved or scaled since"
)


def write_image(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Save an image layer. GUI thread; raises what `ns.export` raises."""
    return _write(path, data, meta, "image")


def write_labels(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Save a labels layer, with names and colours of its classes where it is a result. As `write_image`."""
    return _write(path, data, meta, "labels")


def _write(path: str, data: Any, meta: Mapping[str, Any], kind: Kind) -> list[str]:
    import napari_seamless as ns

    with progress(desc=f"Saving {meta['name']}") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        what = _saved(data, meta, kind)
        # napari has asked already whether what is there may be replaced
        ns.export(what, path, overwrite=True, on_progress=show, kind=kind, classes=layer_classes(meta, kind))
    if _is_elsewhere(what, meta) and Path(path).suffix != ".geojson":  # which is in pixels of the image
        show_info(MOVED.format(name=meta["name"]))
    return [path]


def _is_elsewhere(what: Any, meta: Mapping[str, Any]) -> bool:
    """Whether what is saved has another place, or another size of pixels, than its layer on screen."""
    if isinstance(what, LayerPixels):
        return False
    behind = meta.get("metadata", {})
    return is_moved(behind) if behind.get(RESULT) is what else not is_where_said(what.info, meta)


def _saved(data: Any, meta: Mapping[str, Any], kind: Kind) -> Any:
    """The result or the slide behind a layer, else the layer's own pixels.

    A result of many channels is several layers, each of which is saved by itself.
    """
    behind = meta.get("metadata", {})
    result = behind.get(RESULT)
    if result is not None and (kind == "labels" or meta.get("rgb") or result.info.channels == 1):
        return result
    if (source := source_behind(behind, data)) is not None:
        return source
    multiscale = bool(meta.get("multiscale", isinstance(data, list | tuple)))
    scale = tuple(float(s) for s in meta["scale"])
    translate = tuple(float(t) for t in meta.get("translate", (0.0,) * len(scale)))
    return LayerPixels(data, meta["name"], multiscale, scale, translate, tuple(meta.get("units", ())), meta.get("rgb"))


def layer_classes(meta: Mapping[str, Any], kind: Kind) -> tuple[LabelClass, ...]:
    """Names from a column `class` of the features, colours from a colormap that names each label."""
    if kind == "image":
        return ()
    colours = getattr(meta.get("colormap"), "color_dict", None) or {}
    features = meta.get("features")
    names = {}
    if features is not None and {"index", "class"} <= set(features):
        names = dict(zip(features["index"], features["class"], strict=True))
    found = []
    for value in sorted(int(v) for v in colours if v is not None):
        red, green, blue = (round(float(part) * 255) for part in colours[value][:3])
        found.append(
            LabelClass(value, str(names.get(value, LabelClass.default_name(value))), f"#{red:02x}{green:02x}{blue:02x}")
        )
    return tuple(found)
