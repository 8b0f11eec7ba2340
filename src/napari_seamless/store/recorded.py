"""What the journal of a result says, compared with what is on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_seamless.fingerprints import digest_of
from napari_seamless.geometry import Grid, Region
from napari_seamless.interfaces import SourceRead
from napari_seamless.store.journal import JournalContent, JournalEntry
from napari_seamless.store.zarr_arrays import ZarrArrays

NOT_SAID = -1


@dataclass(frozen=True)
class Recorded:
    """For each chunk of `grid` whether it is finished, and in part only, the bytes of its files (`NOT_SAID` where
    nobody said), and by which of the entries; and what boxes of chunks were made of."""

    grid: Grid
    entries: tuple[JournalEntry, ...]
    finished: NDArray[np.bool_]
    partial: NDArray[np.bool_]
    sizes: NDArray[np.int64]
    last: NDArray[np.int64]
    reads: dict[Region, tuple[SourceRead, ...]]

    @classmethod
    def of(cls, grid: Grid, copied: NDArray[np.bool_], partial: NDArray[np.bool_], content: JournalContent) -> Recorded:
        """`copied` and, of these, `partial` chunks are what a partial copy says of itself; the journal adds to it."""
        whole = Region.from_shape(grid.counts)
        entries = (*content.sure, *content.unsure)
        finished, partial, reads = copied.copy(), partial.copy(), dict[Region, tuple[SourceRead, ...]]()
        sizes, last = np.full(grid.counts, NOT_SAID, np.int64), np.full(grid.counts, NOT_SAID, np.int64)
        for number, entry in enumerate(entries):
            if entry.box.ndim != whole.ndim or not whole.contains(entry.box):
                continue
            at = entry.box.slices()
            finished[at], partial[at], last[at], sizes[at] = entry.is_kept, entry.is_partial, number, NOT_SAID
            reads.pop(entry.box, None)
            if entry.is_kept and entry.reads is not None:
                reads[entry.box] = entry.reads
            if entry.is_kept and len(entry.sizes) == entry.box.size:
                sizes[at] = np.reshape(entry.sizes, entry.box.shape)
        return cls(grid, entries, finished, partial, sizes, last, reads)

    def lost(self, arrays: ZarrArrays, content: JournalContent) -> NDArray[np.bool_]:
        """The finished chunks whose pixels are not on the disk as they were: a power cut took them, or something else.

        The files of all chunks are counted, of those that no mark vouches for the pixels are read.
        """
        found = (self.sizes != NOT_SAID) & (arrays.sizes_on_disk(0) != self.sizes)
        for entry, mine in self._unsure(content):
            found[mine] |= not mine[entry.box.slices()].all() or not self._is_there(entry, arrays)
        lost: NDArray[np.bool_] = found & self.finished
        return lost

    def _unsure(self, content: JournalContent) -> Iterator[tuple[JournalEntry, NDArray[np.bool_]]]:
        """What no mark vouches for, and the chunks of which it is the last word."""
        for number, entry in enumerate(self.entries[len(content.sure) :], len(content.sure)):
            if entry.is_kept and (mine := self.last == number).any():
                yield entry, mine

    def _is_there(self, entry: JournalEntry, arrays: ZarrArrays) -> bool:
        region = self.grid.pixels(entry.box)
        arrays.sizes(region)  # to be synced before it is vouched for
        try:
            return digest_of(arrays.read(0, region)) == entry.digest
        except (ValueError, RuntimeError):  # what codecs say of a file that they cannot read
            return False
