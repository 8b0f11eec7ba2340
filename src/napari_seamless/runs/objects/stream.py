"""Objects of a run, settled and painted in a thread of their own while its tiles are made.

The run's driver says which tiles are committed (`add`), and asks at its end what else it has to make (`missing`): near
the edge of what was asked for an object may depend on cells further out, which are made until everything is decided. So
a part has the very objects of the whole image.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Condition, Thread

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Cell, Region
from napari_seamless.interfaces import StopFlag, TileResult
from napari_seamless.postprocess.object_table import ObjectTable, inside
from napari_seamless.runs.objects.facts import chunk_of
from napari_seamless.runs.objects.plan import LABEL_TYPE, ObjectPlan
from napari_seamless.runs.objects.settling import Chunks, Counts, PaintedTile, Settling, around, boxes_of_chunks
from napari_seamless.runs.objects.stores import ObjectStores
from napari_seamless.runs.objects.tables import keep_table, name_of
from napari_seamless.runs.result import ObjectReport

POLL_SECONDS = 0.1


class ObjectStream:
    """`labels` is the result that is painted, of which `region` is asked for; both results belong to this object until
    `close`. Methods from any thread, unless they say otherwise."""

    def __init__(self, plan: ObjectPlan, stores: ObjectStores, region: Region) -> None:
        self.plan, self.region = plan, region
        self.told = stores.told
        self._stores, self.labels, self.candidates = stores, stores.labels, stores.candidates
        self._grid = self.candidates.grid
        self._before = self.labels.finished.copy()
        self._settling = Settling(plan, self._grid, self.candidates.read)
        self._wanted = self._painted = np.zeros(self._grid.counts, bool)
        self._lock = Condition()
        self._boxes: deque[Region] = deque()
        self._is_busy = self._is_over = self._is_open = False
        self.painted_objects = 0
        """With a centroid in `region`, in what this run has painted; each once."""
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name="napari-seamless objects", daemon=True)

    def begin(self, wanted: Chunks) -> Chunks:
        """Begin with what is there already; `wanted` are the chunks of candidates whose labels are asked for. Gives
        those that must be made for it, so that the run can begin. Once."""
        self._painted = self._painted_before()
        self._wanted = wanted.copy()
        needed = around(self._wanted & ~self._painted, self.plan.ring(self._grid))
        self._add(needed & self.candidates.whole)
        self._thread.start()
        return needed

    def add(self, region: Region) -> None:
        """A region of cells that is committed. Raises what made the thread fail."""
        with self._lock:
            self._raise()
            self._boxes.append(self._grid.covering(region))
            self._lock.notify_all()

    def missing(self, stop: StopFlag) -> Chunks:
        """Wait until all that is there is settled; then chunks that must be made for what is asked for and not decided
        yet: none where all is, or where no more can be had. Driving thread; raises what made the thread fail."""
        while not stop():
            with self._lock:
                self._lock.wait_for(lambda: self._is_idle, POLL_SECONDS)
                self._raise()
                if not self._is_idle:
                    continue
            needed = self._needed()
            there = needed & self.candidates.whole
            if not there.any():
                return needed
            self._add(there)
        return np.zeros_like(self._wanted)

    @property
    def is_complete(self) -> bool:
        """Whether all that is asked for is painted."""
        return not (self._wanted & ~self._decided).any()

    @property
    def goes_on(self) -> bool:
        """Whether an earlier run has painted some of the labels."""
        return bool(self._before.any())

    @property
    def counts(self) -> Counts:
        return self._settling.counts

    @property
    def report(self) -> ObjectReport:
        step, counts = self.plan.step, self.counts
        return ObjectReport(step.method, step.settings, counts.undecided, counts.state_bytes, counts.withdrawn)

    @property
    def provisional(self) -> ObjectTable:
        """Objects that are not decided yet, as they are by now."""
        return self._settling.provisional

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know about the objects, a sentence each."""
        step, noticed = self.plan.step, self.counts.noticed
        told = [words.format(count=noticed[name]) for name, words in step.notices.items() if noticed[name]]
        if self._is_over and not self.is_complete:
            told.append("some objects are not decided yet: where labels are empty the same command goes on")
        elif self._is_over and not (self.painted_objects or self.goes_on):
            told.append("no object was found: the model's card says what pictures it was made for")
        return tuple(told)

    def forget(self) -> None:
        """Count all labels as not painted: they were made of other pixels. Before `begin`. Raises OutputUnwritable."""
        self.labels.forget(self.labels.finished.copy())

    def forget_new(self) -> None:
        """The same of what was painted since; ends the thread. Driving thread."""
        self.end()
        self.labels.forget(self.labels.finished & ~self._before)

    def close(self) -> None:
        """Write down what there is, and let others write it. Driving thread. Raises OutputUnwritable."""
        self.end()
        self._stores.close()

    def end(self) -> None:
        """End the thread; what is decided is painted already."""
        with self._lock:
            self._is_over = True
            self._lock.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    # -- what is asked for

    @property
    def _decided(self) -> Chunks:
        return self._painted | self._settling.painted

    @property
    def _is_idle(self) -> bool:
        return self._error is not None or not (self._boxes or self._is_busy)

    def _needed(self) -> Chunks:
        """Chunks that are not taken yet, in rings that grow around what is asked for and not decided."""
        left = self._wanted & ~self._decided
        ring, reach = self.plan.ring(self._grid), 1
        while left.any():
            wide = around(left, tuple(reach * n for n in ring))
            found: Chunks = wide & ~self._settling.fed
            if found.any() or wide.all():
                return found
            reach += 1
        return left

    def _add(self, chunks: Chunks) -> None:
        with self._lock:
            self._boxes.extend(boxes_of_chunks(chunks, self._grid))
            self._lock.notify_all()

    def _painted_before(self) -> Chunks:
        """Chunks whose labels an earlier run has painted."""
        painted, whole = np.zeros(self._grid.counts, bool), self.labels.whole
        for index in np.argwhere(np.ones_like(painted)):
            cell = tuple(map(int, index))
            box = self.labels.grid.covering(self.plan.labels_of(self._grid.region(cell)))
            painted[cell] = whole[box.slices()].all()
        return painted

    # -- the thread

    def _work(self) -> None:
        try:
            while (box := self._next()) is not None:
                for painted in self._settled(box):
                    self._put(painted)
        except BaseException as error:  # noqa: BLE001 - raised in the driving thread
            with self._lock:
                self._error = error
        finally:
            with self._lock:
                self._is_busy = False
                self._lock.notify_all()

    def _next(self) -> Region | None:
        with self._lock:
            self._is_busy = False
            self._lock.notify_all()
            self._lock.wait_for(lambda: self._boxes or self._is_over)
            if self._is_over:
                return None
            self._is_busy = True
            return self._boxes.popleft()

    def _settled(self, box: Region) -> Iterator[PaintedTile]:
        fresh = np.zeros(self._grid.counts, bool)
        fresh[box.slices()] = ~self._settling.fed[box.slices()]
        for part in boxes_of_chunks(fresh, self._grid):
            yield from self._settling.feed(part)
        if self._settling.fed.all():
            yield from self._settling.flush()

    def _put(self, painted: PaintedTile) -> None:
        """Tables first: what has labels has its rows."""
        if self._painted[painted.chunks.slices()].all():
            return
        for chunk, table in painted.tables.items():
            if len(table) or self.labels.kept(name_of(chunk)) is not None:
                keep_table(self.labels, chunk, table)
            self.painted_objects += int((inside(table, self.region) & self._has_centers(chunk, table)).sum())
        region = self.plan.labels_of(self._grid.pixels(painted.chunks))
        self.labels.write(region, painted.labels[None].astype(LABEL_TYPE))
        if self._touches_partial(painted.chunks):
            self.labels.note(region, TileResult(None, is_partial=True))
        self.labels.commit(region)

    def _has_centers(self, chunk: Cell, table: ObjectTable) -> NDArray[np.bool_]:
        """Which objects have the cell of their id in this chunk: a table has all that touch it."""
        y, x = chunk_of(table.id, self.labels.provenance, self.plan.shape)
        return np.asarray((y == chunk[0]) & (x == chunk[1]))

    def _touches_partial(self, chunks: Region) -> bool:
        """Whether objects there may depend on candidates that were made in part only."""
        partial = self.candidates.finished & ~self.candidates.whole
        here = np.zeros_like(partial)
        here[chunks.slices()] = True
        return bool(partial.any() and (around(here, self.plan.ring(self._grid)) & partial).any())

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
