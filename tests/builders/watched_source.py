"""A source that tells how often it is read."""

from __future__ import annotations

from collections.abc import Callable

from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, Pixels, Source
from napari_seamless.io.readers.derived import DerivedSource


class WatchedSource(DerivedSource):
    """Another source that counts its `reads` and calls `before(how many there were)` ahead of each."""

    def __init__(self, source: Source, before: Callable[[int], None] = lambda _: None) -> None:
        self._source, self.before, self.reads = source, before, 0

    @property
    def origin(self) -> Source:
        return self._source

    @property
    def info(self) -> ImageInfo:
        return self._source.info

    def read(self, region: Region, level: int = 0) -> Pixels:
        self.reads += 1
        self.before(self.reads)
        return self._source.read(region, level)

    def close(self) -> None:
        self._source.close()
