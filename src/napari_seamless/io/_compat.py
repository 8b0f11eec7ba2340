"""What is done here to another library's names, with what happens where they are missing."""

from __future__ import annotations

from typing import Any


def wrapped_by_xarray(thing: Any) -> list[object]:
    """What xarray's arrays, and the lazy ones inside of them, read from, and the file that is named there.

    Without these names an output is not seen to lie in the file that an xarray reads from.
    """
    if type(thing).__module__.partition(".")[0] != "xarray":
        return []
    inside = [getattr(thing, name, None) for name in ("variable", "_data", "array", "_array")]
    return [*inside, getattr(thing, "encoding", {}).get("source")]


def restore_moved_names() -> None:
    """Put back a name that tifffile has moved to where aicsimageio looks for it (`TIFF.RESUNIT`).

    Where tifffile has it nowhere, nothing is done: aicsimageio is then said not to work with what is installed.
    """
    import tifffile  # an array is opened without it

    registry: Any = type(tifffile.TIFF)
    if not hasattr(registry, "RESUNIT") and hasattr(tifffile, "RESUNIT"):
        registry.RESUNIT = tifffile.RESUNIT
