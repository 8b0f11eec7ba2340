"""What the stored numbers of a TIFF file mean: white at 0, numbers of colours, or other things than a viewer shows.

They are turned into what a viewer shows where the rule is certain, and a notice says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.interfaces import Pixels
from napari_seamless.io.readers.tiff_parsed import Directory

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR, CIELAB = 0, 1, 2, 3, 4, 5, 6, 8
OTHER_COLOURS = {
    CMYK: "CMYK", YCBCR: "YCbCr", CIELAB: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*",
    32803: "a colour filter array", 34892: "linear raw colours", 32844: "LogL", 32845: "LogLuv",
}  # fmt: skip
TURNS_YCBCR = (6, 7, 33003, 33004, 33005, 34712)
"""Compressions of which the decoder gives red, green and blue: those of JPEG and JPEG 2000."""
LABELS_OF = ("imagej", "ome")
"""Kinds of file in which a table of colours is a way to look at values, and not what these mean."""


@dataclass(frozen=True, eq=False)
class Meaning:
    """How stored pixels become those that a viewer shows.

    `highest` is the value that stands for black where white is 0 (None: it is not), and `colours` the red, green and
    blue (or the grey) of every number, (n, channels) uint8, where the numbers are those of colours.
    """

    highest: int | None = None
    colours: NDArray[np.uint8] | None = None
    told: str = ""

    @property
    def channels(self) -> int:
        """Of a plane, whose pixels are numbers of colours; 1 where these are plain values."""
        return 1 if self.colours is None else self.colours.shape[1]

    def dtype(self, stored: np.dtype[Any]) -> np.dtype[Any]:
        return stored if self.colours is None else np.dtype(np.uint8)

    def shown(self, pixels: Pixels) -> Pixels:
        """(c, [z,] y, x) as stored, one channel where these are numbers of colours, as a viewer shows it."""
        if self.colours is not None:
            numbers = np.minimum(pixels[0], len(self.colours) - 1)
            return np.moveaxis(self.colours[numbers], -1, 0)
        if self.highest is None:
            return pixels
        turned: Pixels = np.logical_not(pixels) if pixels.dtype == np.bool_ else self.highest - pixels
        return turned.astype(pixels.dtype, copy=False)


def meaning_of(directory: Directory, kind: str, name: str) -> Meaning:
    """Of the pixels of a page, in a file of a kind of tifffile's."""
    stored, photometric = directory.dtype, directory.photometric
    if photometric == WHITE_IS_ZERO and stored is not None:
        if stored.kind == "b" and kind == "shaped":
            return Meaning(told=f"{name} was saved from an array of True and False, which are read as they are stored")
        if stored.kind in "bu":
            told = f"{name} stores white as 0 (WhiteIsZero); it is turned round, so that 0 is black, as viewers show it"
            return Meaning(highest=(1 << directory.bits) - 1, told=told)
        return Meaning(told=f"{name} says that 0 is white, but holds {stored} numbers, which are read as they are")
    if photometric == PALETTE and directory.colormap is not None:
        return _of_palette(directory.colormap, kind, name)
    if photometric in OTHER_COLOURS and not (photometric == YCBCR and directory.compression in TURNS_YCBCR):
        told = f"the colours of {name} are {OTHER_COLOURS[photometric]}, which are read as they are stored, not as RGB"
        return Meaning(told=told)
    return Meaning()


def _of_palette(colormap: NDArray[Any], kind: str, name: str) -> Meaning:
    """`colormap` is (3, n), of 16 bits; some writers fill in 8."""
    table = np.asarray(colormap, np.uint16)
    colours = (table if table.max(initial=0) < 256 else table >> 8).astype(np.uint8).T
    is_grey = bool((colours == colours[:, :1]).all())
    if is_grey and np.array_equal(colours[:, 0], np.arange(len(colours)) * 255 // max(1, len(colours) - 1)):
        return Meaning() if len(colours) == 256 else Meaning(colours=np.ascontiguousarray(colours[:, :1]))
    if kind in LABELS_OF:
        return Meaning(told=f"{name} is shown through a table of colours elsewhere; its values are read as they are")
    shown = "greys" if is_grey else "red, green and blue"
    told = (
        f"{name} stores numbers of colours of a table (a palette); they are turned into {shown}, as viewers show them"
    )
    return Meaning(colours=np.ascontiguousarray(colours[:, : 1 if is_grey else 3]), told=told)
