"""Whether an image is still what a result was made of: before a result is continued, and at the end of a run.

What can be seen without reading pixels (files, chunk files, arrays in memory) is looked at in full. Of an image of
which only the pixels can tell (lazy arrays, addresses) the parts that a run needs are read again before they are
reused. At its end those are read again of which a server says that they were written lately; where nobody says when,
a few are, and the report says how many.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import ImageChanged, InputUnreadable
from napari_seamless.fingerprints import (
    Dated,
    is_as_opened,
    is_told_cheaply,
    is_unchanged,
    needs_checking,
    source_identity,
)
from napari_seamless.interfaces import Source, SourceRead
from napari_seamless.runs.measured import forget_measured, reads_of_measured
from napari_seamless.runs.prepared import Prepared
from napari_seamless.store import Store

OTHERS_READ_AGAIN = 4
"""Of parts that a run does not need: so many are read again, to see whether it is another image altogether."""

FEWEST_READ_AGAIN, SHARE_OF_TIME = 4, 0.02
"""At the end of a run of an image of which only pixels can tell: so many parts, and as many more as there is time."""

CLOCKS_APART = 3600.0
"""Seconds by which the clock of a server may differ from ours."""


def require_as_opened(source: Source) -> None:
    """Raises ImageChanged for files that are others than those that were opened: what was read of them is old."""
    if not is_as_opened(source):
        raise ImageChanged(
            f"an image must be the one that was opened; '{source.info.name}' was written to since, or is gone; open it "
            "again"
        )


def drop_what_changed(store: Store, prepared: Prepared, asked: NDArray[np.bool_]) -> str:
    """Count as unfinished what an earlier run made of pixels that are others now; says so in a sentence, "" if none.

    `asked` are the chunks of the store's grid that the run is to have. What cannot be told is made again. Before a run
    begins. Raises OutputUnwritable.
    """
    source, level = prepared.source, prepared.level
    has_moments, measured = reads_of_measured(store)
    if not needs_checking(source, level) or not (store.finished.any() or has_moments):
        return ""
    if has_moments and (measured is None or not _all_unchanged(source, level, measured)):
        forget_measured(store)
        store.forget(store.finished.copy())
        return _told(source, "was measured anew, and all of the result")
    changed = _changed(store, source, level, asked)
    if not changed.any():
        return ""
    count, of = int(changed.sum()), int(store.finished.sum())
    store.forget(changed)
    return _told(source, f"made {count} of the {of} finished chunks of the result invalid, which")


def drop_what_was_made(store: Store, prepared: Prepared, before: NDArray[np.bool_]) -> None:
    """Count as unfinished what a run made while its image changed, where no record of parts can tell it from the rest;
    `before` are the chunks that were finished when it began. Driving thread. Raises OutputUnwritable."""
    if not needs_checking(prepared.source, prepared.level):
        forget_measured(store)
        store.forget(store.finished & ~before)


def _told(source: Source, what: str) -> str:
    return f"'{source.info.name}' has other pixels than an earlier run on this result saw: it {what} are made again"


def _changed(store: Store, source: Source, level: int, asked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The finished chunks that cannot be reused."""
    finished, reads = store.finished.copy(), store.reads
    is_cheap = is_told_cheaply(source, level)
    unknown = finished.copy()
    for box in reads:
        unknown[box.slices()] = False
    changed, others, unseen = unknown, 0, np.zeros_like(finished)
    for box, made_of in reads.items():
        at = box.slices()
        if not finished[at].any():
            continue
        if not is_cheap and not asked[at].any():
            others += 1
            if others > OTHERS_READ_AGAIN:
                unseen[at] = True
                continue
        if not _all_unchanged(source, level, made_of):
            changed[at] = True
    changed |= unseen & changed.any()
    result: NDArray[np.bool_] = changed & finished
    return result


def _all_unchanged(source: Source, level: int, reads: Iterable[SourceRead]) -> bool:
    try:
        return all(is_unchanged(source, read, level) for read in reads)
    except (InputUnreadable, OSError):
        return False


@dataclass
class SourceWatch:
    """What a run has read, and whether that is still so. Driving thread."""

    prepared: Prepared
    identity: str

    def __post_init__(self) -> None:
        self._unchecked: list[SourceRead] = []
        self._began, self._seconds = time.time(), time.monotonic()
        self._parts = self._unseen = 0

    def add(self, reads: Sequence[SourceRead]) -> None:
        """Of a tile that came back."""
        self._unchecked += reads

    def check(self) -> None:
        """Raises ImageChanged where anything that was read since the last check is something else now."""
        source, level = self.prepared.source, self.prepared.level
        reads, self._unchecked = self._unchecked, []
        if not is_as_opened(source) or source_identity(source, level) != self.identity:
            raise self._changed()
        must, may = (reads, []) if is_told_cheaply(source, level) else self._sorted(reads)
        if not _all_unchanged(source, level, must):
            raise self._changed()
        began, seen = time.monotonic(), 0
        spare = SHARE_OF_TIME * (began - self._seconds)
        for number in _scattered(len(may)):
            if seen >= FEWEST_READ_AGAIN and time.monotonic() - began > spare:
                break
            if not _all_unchanged(source, level, [may[number]]):
                raise self._changed()
            seen += 1
        self._parts += len(reads)
        self._unseen += len(may) - seen
        self._seconds = time.monotonic()

    @property
    def told(self) -> str:
        """What was looked at, in words, where that was not all; "" else."""
        if not self._unseen:
            return ""
        return (
            f"{self._parts - self._unseen} of the {self._parts} parts that were read of the image were read again at "
            "the end, and are as they were; whether the others changed meanwhile is not known"
        )

    def _sorted(self, reads: Sequence[SourceRead]) -> tuple[list[SourceRead], list[SourceRead]]:
        """Those that may have been written since the run began, and those of which nobody says when they were."""
        source, level = self.prepared.source, self.prepared.level
        if not isinstance(source, Dated):
            return [], list(reads)
        found: dict[bool | None, list[SourceRead]] = {True: [], False: [], None: []}
        for number, read in enumerate(reads):
            found[source.may_have_changed(read.region, level, self._began - CLOCKS_APART)].append(read)
            if number == 0 and found[None]:
                return [], list(reads)  # nor of the others
        return found[True], found[None]

    def _changed(self) -> ImageChanged:
        return ImageChanged(
            f"an image must stay as it is while a run goes on; the image changed: '{self.prepared.source.info.name}' "
            "was written to meanwhile, or is gone, so that the result is of neither; run again"
        )


def _scattered(count: int) -> list[int]:
    """0 to count - 1, each half of what is left looked at before quarters are.

    >>> _scattered(5)
    [0, 4, 2, 1, 3]
    """
    order = dict.fromkeys([0, count - 1] if count else [])
    step = count
    while len(order) < count:
        step = max(1, step // 2)
        order |= dict.fromkeys(range(step, count, step))
    return list(order)
