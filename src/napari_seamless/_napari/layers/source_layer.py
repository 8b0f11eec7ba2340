"""A source as an image layer, and the source behind a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless._napari.layers.growing_image import growing_levels
from napari_seamless._napari.layers.on_screen import OnScreen
from napari_seamless._napari.layers.pixels import OWN_LOADER, SourceLevel, overview
from napari_seamless._napari.widgets.wording import size
from napari_seamless.interfaces import ImageInfo, Source
from napari_seamless.units import symbol_of

if TYPE_CHECKING:
    from napari.layers import Image

LayerTuple = tuple[Any, dict[str, Any], str]
SOURCE = "napari-seamless source"
LARGEST_COARSEST = 128_000_000


def source_layer(source: Source) -> LayerTuple:
    """A source as the data, settings and type of an image layer. Reads the coarsest level; any thread.

    Where even that one is large (a scan without a pyramid), a small one is made of every n-th pixel. Of a pyramid it is
    read-only: a run reads the file, and would not see what was painted into a level of it.
    """
    info = source.info
    lazy = [SourceLevel(source, level) for level in range(len(info.levels))]
    is_small = lazy[-1].nbytes <= LARGEST_COARSEST
    levels: list[Any] = growing_levels(source)
    if not levels:
        levels = [*lazy[:-1], lazy[-1][...]] if is_small else [*lazy, overview(lazy[-1])]
    if len(levels) == 1 and isinstance(levels[0], np.ndarray):
        source = OnScreen(source, levels[0])
    if len(levels) > 1 and isinstance(levels[-1], np.ndarray):
        levels[-1] = levels[-1].view()
        levels[-1].flags.writeable = False
    axes = "zyx"[-info.ndim :] if info.rgb or info.channels == 1 else "czyx"[:1] + "zyx"[-info.ndim :]
    settings: dict[str, Any] = {
        "name": info.title,
        "rgb": info.rgb,
        "multiscale": len(levels) > 1,
        "metadata": {**OWN_LOADER, SOURCE: source},
        "axis_labels": tuple(axes),
    }
    pad = len(axes) - info.ndim
    settings |= {name: (0.0 if name == "translate" else 1.0,) * pad + own for name, own in placed_as_said(info).items()}
    if info.pixel_size is not None:
        settings["units"] = ("pixel",) * pad + (info.unit,) * info.ndim
    return (levels if len(levels) > 1 else levels[0]), settings, "image"


def placed_as_said(info: ImageInfo) -> dict[str, tuple[float, ...]]:
    """Scale and translation of an image's spatial axes as it says them; 1 along an axis of an unknown size."""
    sizes = () if info.pixel_size is None else tuple(size or 1.0 for size in info.pixel_size)
    return {name: own for name, own in (("scale", sizes), ("translate", info.origin)) if own}


def is_where_said(info: ImageInfo, shown: Mapping[str, Any]) -> bool:
    """Whether a layer with these settings lies where its image says, in the size that it says."""
    ndim = info.ndim
    said = {"scale": (1.0,) * ndim, "translate": (0.0,) * ndim, **placed_as_said(info)}
    is_there = all(np.allclose(np.asarray(shown[name])[-ndim:], own) for name, own in said.items())
    plain = all(np.allclose(shown[name], np.eye(len(shown[name]))) for name in ("rotate", "affine") if name in shown)
    return is_there and plain and np.allclose(shown.get("shear", 0.0), 0.0)


def source_of(layer: Image) -> Source | None:
    """The source behind a layer that `source_layer` made; None where its pixels were exchanged for others."""
    return source_behind(layer.metadata, layer.data)


def source_behind(metadata: Mapping[str, Any], data: Any) -> Source | None:
    """As `source_of`, by what a layer holds."""
    found = metadata.get(SOURCE)
    if found is None or not hasattr(found, "read"):
        return None
    shown = data if isinstance(data, np.ndarray) else data[0]
    is_it = shown is found.array if isinstance(found, OnScreen) else isinstance(shown, SourceLevel)
    return found if is_it else None


def is_edited(layer: Image) -> bool:
    """Whether a layer has other pixels than the file that it came from."""
    source = layer.metadata.get(SOURCE)
    return source is not None and (source_of(layer) is None or (isinstance(source, OnScreen) and source.is_edited))


def spatial_shape(layer: Image) -> tuple[int, ...]:
    """Shape of level 0 without channels."""
    source = source_of(layer)
    if source is not None:
        return source.info.levels.shapes[0]
    return tuple(int(n) for n in layer.level_shapes[0][: layer.ndim])


def about(layer: Image, letters: str = "") -> str:
    """One line on an image: its size, colours, type of number, size of a pixel and levels.

    `letters` (t, c, z, y, x) say what the axes of a plain array are; "" where nobody knows.
    """
    source, shape = source_of(layer), spatial_shape(layer)
    lengths = dict(zip(letters, shape, strict=True)) if source is None and len(letters) == len(shape) else {}
    parts = [size(tuple(lengths[letter] for letter in "zyx" if letter in lengths) or shape)]
    parts += [f"{lengths[letter]} {name}" for letter, name in (("c", "channels"), ("t", "times")) if letter in lengths]
    if layer.rgb:
        parts.append("RGB")
    elif source is not None:
        parts.append("1 channel" if source.info.channels == 1 else f"{source.info.channels} channels")
    parts.append(str(layer.dtype))
    if source is not None and source.info.pixel_size is not None:
        parts.append(f"{source.info.pixel_size[-1]:.3g}\u00a0{symbol_of(source.info.unit)}/\N{WORD JOINER}px")
    if len(layer.level_shapes) > 1:
        parts.append(f"{len(layer.level_shapes)} levels")
    return " · ".join(parts)
