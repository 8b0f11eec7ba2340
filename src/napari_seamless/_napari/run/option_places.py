"""Where in the dock each option of a run is shown. Pure.

What has no widget of its own is a row of a form under *Advanced*, made from the option itself: a new option is there
without further ado.
"""

from __future__ import annotations

from napari_seamless.runs.config import OPTIONS
from napari_seamless.runs.option import option_of

OWN_WIDGET = {
    "axes": "Image",
    "scene": "Image",
    "plane": "Image, and napari's sliders",
    "channels": "Image",
    "pixel_size": "Image",
    "roi": "Where",
    "budget": "Memory",
    "tile": "Advanced: Tile",
    "output": "Advanced: Result",
}
"""The options with a hand-made widget, and the section that it is in."""

WORDS = {
    "statistics": {
        "whole": "whole image",
        "tissue": "tissue only",
        "local": "each tile (approximate)",
    },
    "precision": {
        "float32": "float32",
        "tf32": "tf32 (rounded)",
        "bfloat16": "bfloat16 (rounded)",
        "float16": "float16 (rounded)",
    },
    "keep": {
        "auto": "what is quickest",
        "recompute": "nothing",
        "device": "on the device",
        "host": "in memory",
        "disk": "on disk",
    },
}
"""The rows that are seen as soon as *Advanced* is unfolded, and how the window calls their choices."""

FORM = tuple(name for name, of in OPTIONS.items() if name not in OWN_WIDGET and option_of(of).in_shell)
"""The rows of the form; arrays and objects are for Python only."""


def place_of(name: str) -> str:
    """Where an option is found; "" where the window has none."""
    if name in OWN_WIDGET:
        return OWN_WIDGET[name]
    if name not in FORM:
        return ""
    return "Advanced" if name in WORDS else "Advanced: More options"
