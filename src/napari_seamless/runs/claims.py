"""What is claimed of the pixels of a result, in the words that people read. It is about arithmetic only."""

from __future__ import annotations

SAME = "same as on the whole image"
ROUNDED = "rounded"
APPROXIMATE = "approximate"
CLAIMS = {"exact": SAME, "rounded": ROUNDED, "approximate": APPROXIMATE}
"""The words for the `scope` that the provenance of a result states."""
ABOUT_ARITHMETIC = (
    "The same as this network gives on the whole image at once. This is about arithmetic: "
    "it says nothing on whether the network is right."
)
