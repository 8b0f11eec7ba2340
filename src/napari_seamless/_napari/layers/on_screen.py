"""A small image of a file, as it is on screen: an array in memory, which somebody may edit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.fingerprints import digest_of
from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, Pixels, Source
from napari_seamless.io.readers.axes import require_inside
from napari_seamless.io.readers.derived import DerivedSource


class OnScreen(DerivedSource):
    """A source of one level that is read from the `array` of its layer, never from its file again.

    The array has its colours last, and no channel axis for a single channel. As long as its pixels are those that were
    read it is what the file was when it was opened; once they were edited it is an image of its own. Any thread.
    """

    def __init__(self, source: Source, array: NDArray[Any]) -> None:
        self._source, self.array = source, array
        self._as_read = digest_of(array)

    @property
    def origin(self) -> Source:
        return self._source

    @property
    def info(self) -> ImageInfo:
        return self._source.info

    @property
    def is_edited(self) -> bool:
        """Whether it has other pixels now than its file had."""
        return digest_of(self.array) != self._as_read

    def read(self, region: Region, level: int = 0) -> Pixels:
        """A new array (c, [z,] y, x) of what is on screen now. Raises BadRequest outside of the image."""
        info = self.info
        require_inside(info.levels.shape(level), region)
        if info.rgb:
            pixels = np.moveaxis(self.array[region.slices()], -1, 0)
        elif info.channels == 1:
            pixels = self.array[region.slices()][None]
        else:
            pixels = self.array[(slice(None), *region.slices())]
        return np.array(pixels, order="C")

    def identity_now(self) -> str:
        """Nothing that happens to the file changes what is on screen."""
        return self.info.identity

    def pixel_digest(self, level: int = 0) -> str:
        del level
        found = digest_of(self.array)
        return "" if found == self._as_read else found

    def fingerprint(self, region: Region, level: int = 0) -> str | None:
        """That of the file where it is always the same one; else only pixels can tell."""
        return "" if super().fingerprint(region, level) == "" else None

    def may_have_changed(self, region: Region, level: int, since: float) -> bool | None:
        """Nobody notes when somebody edits an array."""
        del region, level, since
        return None

    def close(self) -> None:
        self._source.close()
