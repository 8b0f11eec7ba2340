"""How the axes of a plain array may be read, and what is said about an image beside its pixels. GUI thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari_seamless._napari.layers.source_layer import SOURCE, source_of
from napari_seamless._napari.widgets.image_options import ImageSetting

if TYPE_CHECKING:
    from napari.layers import Image

SAID = "napari-seamless said"
"""In a layer's metadata: what a person said of it. {"pixel_size": um, "axes": letters, "channels": {model: numbers}}"""
ORIGIN = "napari-seamless origin"
"""In a layer's metadata: the path that it was opened from."""

LETTERS = {"channel": "c", "channels": "c", "time": "t", "depth": "z", "plane": "z", "row": "y", "column": "x"}
READINGS: dict[int, tuple[tuple[str, str], ...]] = {
    3: (
        ("zyx", "a volume (z y x)"),
        ("cyx", "channels (c y x)"),
        ("yxc", "channels last (y x c)"),
        ("tyx", "time points (t y x)"),
    ),
    4: (
        ("czyx", "channels of volumes (c z y x)"),
        ("zcyx", "planes of channels (z c y x)"),
        ("zyxc", "volume, channels last (z y x c)"),
        ("tcyx", "time points of channels (t c y x)"),
        ("ctyx", "channels of time points (c t y x)"),
        ("tyxc", "time points, channels last (t y x c)"),
        ("tzyx", "time points of volumes (t z y x)"),
    ),
    5: (
        ("tczyx", "channels of volumes in time (t c z y x)"),
        ("tzcyx", "planes of channels in time (t z c y x)"),
        ("ctzyx", "channels of volumes in time (c t z y x)"),
        ("tzyxc", "volumes in time, channels last (t z y x c)"),
    ),
}


def readings_of(layer: Image) -> tuple[tuple[str, str], ...]:
    """(letters, words) for each way to read a plain array of several axes; empty where there is only one."""
    known = () if source_of(layer) is not None or layer.rgb else READINGS.get(layer.ndim, ())
    said = labelled_axes(layer.axis_labels) if known else None
    if said is None or said in dict(known):
        return known
    return (*known, (said, f"as it is labelled ({' '.join(said)})"))


def labelled_axes(labels: Sequence[str]) -> str | None:
    """The letters that a layer's axis labels mean, where all of them mean something.

    >>> labelled_axes(("c", "y", "x")), labelled_axes(("axis -2", "axis -1"))
    ('cyx', None)
    """
    letters = [LETTERS.get(label.lower(), label.lower()) for label in labels]
    is_known = all(len(letter) == 1 and letter in "tczyx" for letter in letters)
    return "".join(letters) if is_known and {"y", "x"} <= set(letters) else None


def setting_of(layer: Image, model: str | None) -> ImageSetting:
    """What was said of a layer, for a model: channels belong to both."""
    said = layer.metadata.get(SAID, {})
    axes = said.get("axes") or (labelled_axes(layer.axis_labels) if readings_of(layer) else None)
    return ImageSetting(said.get("channels", {}).get(model), said.get("pixel_size"), axes)


def remember(layer: Image, model: str | None, setting: ImageSetting) -> None:
    """Keeps in the layer itself what was said of it."""
    said: dict[str, Any] = layer.metadata.setdefault(SAID, {})
    said["pixel_size"], said["axes"] = setting.pixel_size, setting.axes
    said.setdefault("channels", {})[model] = setting.channels


def forget_origin(layer: Image) -> None:
    """For a layer whose pixels were exchanged: they are in no file any more, and no source reads them."""
    layer.metadata.pop(SOURCE, None)
    layer.metadata[ORIGIN] = None


def origin_of(layer: Image) -> str | None:
    """The path that a layer was read from, if it is known."""
    found = layer.metadata.get(ORIGIN, getattr(layer.source, "path", None))
    return None if found is None else str(found)
