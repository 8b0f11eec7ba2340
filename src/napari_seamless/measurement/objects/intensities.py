"""Channels and stains under objects: mean, standard deviation, least and most of each."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest, InputMismatch
from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, Pixels
from napari_seamless.measurement.intensity_image import IntensityImage
from napari_seamless.measurement.objects import kernels
from napari_seamless.postprocess.object_table import Ints

Floats = NDArray[np.float64]
AUTO = "auto"
STAINS = {"hed": ("haematoxylin", "eosin", "DAB"), "hdx": ("haematoxylin", "DAB")}
"""Sets of stains by the names that scikit-image gives to their matrices, and the stains that they are of."""
STATISTICS = ("mean", "sd", "min", "max")


@dataclass(frozen=True, eq=False)
class StainSeparation:
    """How densities of red, green and blue become those of stains: `matrix` (3, stains).

    The optical density of a channel is -log10(value / white), of values that are at least `darkest`; that of a stain is
    at least 0, as in skimage.color.separate_stains (which divides by 6).
    """

    names: tuple[str, ...]
    matrix: Floats
    white: float
    darkest: float


def stains_of(info: ImageInfo, name: str | None) -> StainSeparation | None:
    """The stains to measure in an image: "hed", "hdx", None: none; "auto" is "hed" of pictures in red, green and blue.

    Raises BadRequest for another name, InputMismatch for an image without these colours.
    """
    if name is None or (name == AUTO and not _is_rgb(info)):
        return None
    chosen = "hed" if name == AUTO else name
    if chosen not in STAINS:
        raise BadRequest(
            f"stains are one of {', '.join(STAINS)}, {AUTO} or none; got {name!r}; "
            "hed is haematoxylin, eosin and DAB, hdx haematoxylin and DAB"
        )
    if not _is_rgb(info):
        raise InputMismatch(
            f"stains are separated in pictures of red, green and blue; got {info.channels} channels of {info.dtype}; "
            "measure its channels, with stains=None (--stains none)"
        )
    from skimage import color

    names, whole = STAINS[chosen], info.dtype.kind in "iu"
    white = float(np.iinfo(info.dtype).max) if whole else 1.0
    if info.value_range is not None:
        white = info.value_range[1]
    matrix = np.ascontiguousarray(getattr(color, f"{chosen}_from_rgb")[:, : len(names)], np.float64)
    return StainSeparation(names, matrix, white, 1.0 if whole else 1e-6)


def _is_rgb(info: ImageInfo) -> bool:
    return info.rgb and info.channels == 3


class ValueSums:
    """What is summed of an image under some objects, whose boxes are known. One thread."""

    def __init__(
        self, ids: Ints, low: Ints, high: Ints, image: IntensityImage, separation: StainSeparation | None
    ) -> None:
        self._boxes = (np.ascontiguousarray(ids), np.ascontiguousarray(low), np.ascontiguousarray(high))
        self._image, self._separation = image, separation
        stains = () if separation is None else separation.names
        self._names = (*image.names, *stains)
        shape = (len(ids), len(self._names))
        self._pivot, self._sums, self._squares = np.full(shape, np.nan), np.zeros(shape), np.zeros(shape)
        self._least, self._most = np.full(shape, np.inf), np.full(shape, -np.inf)

    def add(self, labels: Ints, region: Region, rows: tuple[int, int]) -> None:
        """Add rows [rows[0], rows[1]) of the image, of labels of this region, which may be larger."""
        (top, left), pixels = region.start, self._image.read(region)
        if self._separation is not None:
            self._add(labels, pixels, (top, left), rows, slice(None), self._separation)
            return
        for channel in range(len(pixels)):  # one after the other: an image may have many
            at = slice(channel, channel + 1)
            self._add(labels, pixels[at], (top, left), rows, at, None)

    def _add(
        self,
        labels: Ints,
        pixels: Pixels,
        corner: tuple[int, int],
        rows: tuple[int, int],
        at: slice,
        separation: StainSeparation | None,
    ) -> None:
        image = np.ascontiguousarray(pixels, np.float64)
        stains, darkest, white = np.zeros((len(image), 0)), 0.0, 1.0
        if separation is not None:
            stains, darkest, white = separation.matrix, separation.darkest, separation.white
        (top, left), (ids, low, high) = corner, self._boxes
        pivot, sums, squares = self._pivot[:, at], self._sums[:, at], self._squares[:, at]
        least, most = self._least[:, at], self._most[:, at]
        where = (labels, image, top, left, rows, ids, low, high)
        kernels.add_values(*where, stains, darkest, white, pivot, sums, squares, least, most)

    def columns(self, area: Ints) -> Mapping[str, NDArray[Any]]:
        """`mean_red`, `sd_red`, `min_red`, `max_red` and so on, of objects of so many pixels."""
        pixels = area[:, None].astype(np.float64)
        shift = self._sums / pixels
        mean = self._pivot + shift
        spread = np.sqrt(np.maximum(self._squares / pixels - shift * shift, 0))
        values = dict(zip(STATISTICS, (mean, spread, self._least, self._most), strict=True))
        return {
            f"{statistic}_{name}": values[statistic][:, k]
            for k, name in enumerate(self._names)
            for statistic in STATISTICS
        }
