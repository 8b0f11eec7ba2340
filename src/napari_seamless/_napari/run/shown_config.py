"""What of a config the dock has no widget for, and how the others see what it says of an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_seamless._napari.layers.source_layer import source_of
from napari_seamless.errors import BadRequest
from napari_seamless.io.readers.selection import numbers_of_channels
from napari_seamless.runs.config import RunConfig

if TYPE_CHECKING:
    from napari.layers import Image


INSTEAD = {
    "mask": "the tissue by its colour, or shapes in a GeoJSON file",
    "statistics": "a file of moments",
    "roi": "a GeoJSON file",
    "scheduler": "its address",
}
"""Options that may be arrays or objects in Python, and what may be typed in their place."""


def refuse_without_widget(config: RunConfig) -> None:
    """Raises BadRequest for a value that no widget shows."""
    for name, instead in INSTEAD.items():
        value = config[name]
        if value is not None and not isinstance(value, str | Path):
            raise BadRequest(
                f"the window takes what can be typed; {name} is an object of type {type(value).__name__}; give "
                f"{instead}, or use ns.run"
            )


def channel_numbers(image: Image, wanted: Sequence[int | str]) -> tuple[int, ...]:
    """Channels of an image by number. Raises BadRequest for one that it has not."""
    source = source_of(image)
    if source is not None:
        return numbers_of_channels(source.info, wanted)
    if not all(isinstance(channel, int) for channel in wanted):
        raise BadRequest(f"the channels of {image.name} have no names; got {', '.join(map(str, wanted))}; give numbers")
    return tuple(int(channel) for channel in wanted)


def one_pixel_size(said: float | Sequence[float] | None) -> float | None:
    """A pixel size as the window has it, one number. Raises BadRequest."""
    if said is None or isinstance(said, int | float):
        return said
    if len(set(said)) > 1:
        raise BadRequest(f"the window takes pixels that are square; got a pixel size of {said}; use run for others")
    return float(said[0])


def opened_plane(image: Image) -> dict[str, int]:
    """The plane of a file that a layer was opened with."""
    source = source_of(image)
    return {} if source is None else dict(source.info.plane)
