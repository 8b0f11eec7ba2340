"""Labels of the objects of a step, painted where they are read: no copy of them is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock

import numpy as np

from napari_seamless.byte_cache import ByteCache
from napari_seamless.geometry import Region
from napari_seamless.postprocess.object_table import Ints, ObjectTable, in_order
from napari_seamless.postprocess.step import Domain, PostprocessStep, TileObjects, TileOutput

CACHE_BYTES = 1 << 28


class PaintedLabels:
    """The objects of a domain, and its labels by their ids, of a step that is run over `writes` once.

    `given` is what the step is told of a tile; it is asked again for tiles that are painted, if the step wants that.
    Memory: what a step keeps of each tile's objects, and tiles that were painted last. `read` in any thread, one at a
    time. Raises what `given` and the step raise.
    """

    def __init__(
        self,
        step: PostprocessStep,
        domain: Domain,
        writes: Iterable[Region],
        given: Callable[[Region], TileOutput],
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._step, self._domain, self._given = step, domain, given
        self._painted: ByteCache[Ints] = ByteCache(cache_bytes)
        self._lock = Lock()
        settler = step.begin(domain)
        tables, self._tiles = [], list[TileObjects]()
        for write in writes:
            settled = settler.settle(step.propose(given(write)))
            tables.append(settled.objects)
            self._tiles += settled.paintable
        settled = settler.flush()
        self._tiles += settled.paintable
        self.objects: ObjectTable = in_order([settled.objects, *tables], domain.region.ndim)
        self._low = np.array([tile.tile.start for tile in self._tiles]).reshape(-1, domain.region.ndim)
        self._high = np.array([tile.tile.stop for tile in self._tiles]).reshape(-1, domain.region.ndim)

    def read(self, region: Region) -> Ints:
        """Ids of a region's pixels; 0 where there is no object, and outside of the domain."""
        labels = np.zeros(region.shape, np.int64)
        meets = ((self._low < np.array(region.stop)) & (self._high > np.array(region.start))).all(axis=1)
        with self._lock:
            for number in np.flatnonzero(meets):
                tile = self._tiles[number].tile
                common = tile.intersect(region)
                labels[common.slices(region.start)] = self._tile(int(number))[common.slices(tile.start)]
        return labels

    def _tile(self, number: int) -> Ints:
        painted = self._painted.get(number)
        if painted is None:
            objects = self._tiles[number]
            given = self._given(objects.tile) if self._step.paints_from_output else None
            painted = self._step.paint(objects, given)
            self._painted.put(number, painted)
        return painted
