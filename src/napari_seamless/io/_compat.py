"""What is done here to another library's names, with what happens where they are missing."""

from __future__ import annotations

from typing import Any

import tifffile


def restore_moved_names() -> None:
    """Put back a name that tifffile has moved to where aicsimageio looks for it (`TIFF.RESUNIT`).

    Where tifffile has it nowhere, nothing is done: aicsimageio is then said not to work with what is installed.
    """
    registry: Any = type(tifffile.TIFF)
    if not hasattr(registry, "RESUNIT") and hasattr(tifffile, "RESUNIT"):
        registry.RESUNIT = tifffile.RESUNIT
