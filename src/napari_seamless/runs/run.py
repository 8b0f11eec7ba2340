"""A started run: what it measures first, what it makes, and how it is checked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import ImageChanged
from napari_seamless.geometry import Region
from napari_seamless.interfaces import CountsReads, Executor, Progress, StopFlag, TileResult
from napari_seamless.runs.asked_roi import add_asked, place_of, placed
from napari_seamless.runs.checks import Checks
from napari_seamless.runs.chunk_mask import skip_outside
from napari_seamless.runs.device_memory import measured_peak, reset_peak
from napari_seamless.runs.memory_growth import MemoryGrowth, growth_on
from napari_seamless.runs.moments import Moments
from napari_seamless.runs.objects.stream import ObjectStream
from napari_seamless.runs.origin import NOTICES, notices_of
from napari_seamless.runs.prepared import OutputEngine
from napari_seamless.runs.provenance import moments_told
from napari_seamless.runs.result import Report, Result
from napari_seamless.runs.roi_parts import AskedOutput, is_everything
from napari_seamless.runs.run_parts import RunParts, ViewOptions
from napari_seamless.runs.source_check import SourceWatch, drop_what_was_made
from napari_seamless.runs.statistics import LOCAL, PREVIEW
from napari_seamless.runtime.engine.oom_retry import OutOfMemoryRetry
from napari_seamless.runtime.executor.driver import Driver, RunEvents
from napari_seamless.runtime.executor.job import TileJob
from napari_seamless.runtime.executor.tile_queue import ViewFirstQueue
from napari_seamless.runtime.planning import view_first
from napari_seamless.store import Store

StartPreview = Callable[[Region | None, StopFlag], "Run | None"]


class Run:
    """A started run: implements `interfaces.RunHandle`, with its live result in `store`.

    `region` is what was asked for, in output pixels. Where `objects` are made of the output, the result is their
    labels, and `store` has what they are made of; None for any other network. `preview` is a run of its own, of what is
    on screen; None before it is there, and where there is none.
    """

    def __init__(self, parts: RunParts) -> None:
        self.prepared, self.store, self.region = parts.prepared, parts.store, parts.region
        self.objects = parts.objects
        self.preview: Run | None = None
        self._is_whole = True
        self._parts, self._passes = parts, parts.passes
        self._checks = Checks(parts.prepared, parts.passes, parts.domain, parts.comparison)
        self._engine: OutOfMemoryRetry[OutputEngine] | None = None
        self._watch = SourceWatch(parts.prepared, parts.prepared.source_identity)
        self._makes_output = False
        self._partial = 0
        self._changed: tuple[str, ...] = ()
        self._before = self.store.finished.copy()
        self._left_out = self._skipped = 0.0
        self._view: Region | None = None
        self._tiles: ViewFirstQueue | None = None
        self._started: Driver | None = None
        self._growth: MemoryGrowth | None = None

    def begin(self, executor: Executor, view: ViewOptions, preview: StartPreview | None = None) -> None:
        """Start the driving thread. Called once, by `start`; `preview` starts the run of a first look."""
        self._view, self._is_whole = view.view, view.whole
        reset_peak(self._passes.device)
        self._growth = growth_on(self._passes.device)
        for store in self._results:
            add_asked(store, self._parts.asked)
        if self._parts.domain.only is not None:
            self._skipped = skip_outside(self.store, self._parts.domain.only, self.region)
        self._tiles = self._make_queue(view)
        preceding = () if self._tiles.is_finished and not view.follow else self._passes.preceding
        if self._passes.is_measured:
            self._engine = OutOfMemoryRetry(self._passes.output_engine())

        def end() -> None:
            try:
                executor.close()
            finally:
                self._end()

        def look() -> None:
            if preview is not None and preceding:
                self.preview = preview(self._view, self._is_stopped)
                self._show_preview()

        events = RunEvents(
            on_start=look,
            on_commit=self._committed,
            on_idle=self._check,
            on_end=end,
            should_wait=self._should_wait,
            on_result=self._note,
        )
        self._started = Driver(
            self._output_job, self._tiles, executor, preceding=preceding, follow=view.follow, events=events
        )
        self._started.start()

    def _note(self, write: Region, result: TileResult) -> None:
        """How a tile was made, before it is committed."""
        self._watch.add(result.reads)
        if self._makes_output:
            self._partial += result.is_partial
            self.store.note(write, result)
        else:
            self._passes.note(result.reads)

    def _committed(self, region: Region) -> None:
        self._look_at_memory()
        if self.objects is not None:
            self.objects.add(region)

    def _check(self, stop: StopFlag) -> None:
        """All that is asked for is there. Raises ImageChanged where it was made of pixels that are others now."""
        if self.objects is not None and not self._is_settled(self.objects, stop):
            return
        if self._parts.domain.name != PREVIEW:
            try:
                self._watch.check()
            except ImageChanged as error:
                self._changed = (str(error),)
                drop_what_was_made(self.store, self.prepared, self._before)
                if self.objects is not None:
                    self.objects.forget_new()
                raise
        self._checks.make(self.store, self.region, stop)
        for store in self._results:
            store.accept()

    def _is_settled(self, objects: ObjectStream, stop: StopFlag) -> bool:
        """Wait for the objects of all tiles; False where more tiles must be made for some of them."""
        missing = objects.missing(stop)
        for region in self._queue.failed:
            missing[self.store.grid.covering(region).slices()] = False
        if self._is_whole and missing.any():
            self._queue.add(missing)
            return False
        return not stop()

    @property
    def _results(self) -> tuple[Store, ...]:
        """The result, and what it was made of."""
        return (self.store,) if self.objects is None else (self.store, self.objects.labels)

    def _make_queue(self, view: ViewOptions) -> ViewFirstQueue:
        """The tiles that are to be made."""
        wanted, only = self._asked_for()
        return ViewFirstQueue(
            self.store.grid,
            wanted,
            self.store.whole,
            view_first,
            self._rounded(self._parts.choice.tile),
            z=self._depth(),
            view=view.view,
            whole=view.whole,
            only=only,
        )

    def _asked_for(self) -> tuple[Region, NDArray[np.bool_] | None]:
        """What is asked for: a box of output pixels, and which chunks of it (None: all)."""
        roi, box, only = self._parts.roi, self.region, None
        if roi is not None:
            only = roi.chunks(self.prepared, self.store.grid)
            self._left_out = 1.0 - float(only[self.store.grid.covering(self.region).slices()].mean())
            box = roi.box(self.prepared, self.region)
        if self.objects is None:
            return box, only
        asked = np.zeros(self.store.grid.counts, bool)
        inside = self.store.grid.covering(box).slices()
        asked[inside] = True if only is None else only[inside]
        return Region.from_shape(self.store.spec.shape), asked | self.objects.begin(asked)

    def _is_stopped(self) -> bool:
        return self._driver.is_cancelled

    def _show_preview(self) -> None:
        """The view may have moved while the preview was being prepared."""
        if self.preview is not None:
            self.preview.retarget(self._view)

    def _should_wait(self) -> bool:
        """Passes wait while the first look at what is on screen is being made."""
        return self.preview is not None and self.preview.progress().state in ("waiting", "running")

    def _output_job(self) -> TileJob:
        """What makes the output, once everything is measured. The preview has served its turn then."""
        if self.preview is not None:
            self.preview.cancel()
        self._engine = self._engine or OutOfMemoryRetry(self._passes.output_engine())
        self._makes_output = True
        return TileJob(self.prepared.source, self.prepared.level, self._engine, self.store, self._asked_pixels())

    def _asked_pixels(self) -> AskedOutput | None:
        """What this run was asked for; None where that is all of the result."""
        shape = self.store.spec.shape
        parts = placed(self._parts.asked, place_of(self.store.provenance, len(shape)), shape)
        return None if is_everything(parts, shape) else AskedOutput(parts)

    def _depth(self) -> int | None:
        depth = self._parts.choice.depth
        if depth is None:
            return None
        cell = self.store.grid.cell[0]
        return max(cell, depth // cell * cell)

    @property
    def _driver(self) -> Driver:
        assert self._started is not None
        return self._started

    @property
    def _queue(self) -> ViewFirstQueue:
        assert self._tiles is not None
        return self._tiles

    def progress(self) -> Progress:
        self._look_at_memory()
        return self._driver.progress()

    def _look_at_memory(self) -> None:
        if self._growth is not None:
            self._growth.look()

    def retarget(self, view: Region | None) -> None:
        self._view = view
        self._driver.retarget(view)
        self._show_preview()

    def set_tile(self, tile: int) -> None:
        """Use another tile edge from the next tile on; rounded to whole chunks of the result."""
        self._driver.set_tile(self._rounded(tile))

    def _rounded(self, tile: int) -> int:
        chunk = self.store.grid.cell[-1]
        return max(chunk, tile // chunk * chunk)

    def pause(self) -> None:
        self._driver.pause()

    def resume(self) -> None:
        self._driver.resume()

    def cancel(self) -> None:
        self._driver.cancel()
        if self.preview is not None:
            self.preview.cancel()

    def wait(self, timeout: float | None = None) -> None:
        self._driver.wait(timeout)

    @property
    def tile(self) -> int:
        """The present tile's edge in output pixels."""
        return self._queue.tile[-1]

    @property
    def in_work(self) -> tuple[Region, ...]:
        """The output pixels of the tiles that are being made now."""
        return self._queue.in_work

    def result(self) -> Result:
        """What there is so far; complete once the state is "finished"."""
        if self.objects is not None:
            labels, candidates = self.objects.labels, self.objects.candidates
            return Result(labels, self.objects.region, self._report(), self.moments, candidates)
        return Result(self.store, self.region, self._report(), self.moments)

    @property
    def moments(self) -> Moments | None:
        """What has been measured so far; None for a network that needs nothing measured."""
        return self._passes.moments

    def _end(self) -> None:
        """In the driving thread, at the end whatever it is: write everything down, and let go of what is held."""
        try:
            if self.preview is not None:
                self.preview.cancel()
                self.preview.wait()
            if self._growth is not None:
                self._growth.end()
            if self.objects is not None:
                self.objects.end()
            told = dict.fromkeys((*notices_of(self.store), *self._parts.notices, *self._met()))
            facts = {
                "run": self._report().as_dict(),
                **moments_told(self.store),
                **({NOTICES: [*told]} if told else {}),
            }
            for store in self._results:
                store.report(facts)
        finally:
            self._passes.close()
            (self.store if self.objects is None else self.objects).close()

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know about the way this is computed, a sentence each; there may be more later."""
        return (*self._changed, *self._parts.notices, *self._met())

    def _met(self) -> tuple[str, ...]:
        """What the device turned out not to have, and what the image has beyond what was asked for."""
        partial = (
            f"NaN or infinity lies beyond what was asked for: {self._partial} tiles that reach there were made only "
            "where that was",
        )
        unseen = (self._watch.told,) if self._watch.told else ()
        largest = None if self._engine is None else self._engine.largest
        full = (f"the device had no memory for a whole tile: at most {largest} pixels were computed at once",)
        device = (*self._passes.notices, *(full if largest is not None else ()))
        objects = () if self.objects is None else self.objects.notices
        return (*device, *(partial if self._partial else ()), *unseen, *objects)

    def _report(self) -> Report:
        now, domain, source = self.progress(), self._parts.domain, self.prepared.source
        most = self._passes.activations.most
        is_local = domain.name == LOCAL.name and not self.prepared.exact
        return Report(
            state=now.state,
            tiles=now.tiles,
            passes=now.passes,
            pixels=self._queue.counts[0],
            seconds=now.seconds,
            tile=self._queue.tile,
            bytes=self._parts.choice.bytes + most.get("device", 0),
            device=str(self._passes.device),
            region_programs=self._engine.inner.region_programs if self._engine is not None else 0,
            self_check=self._checks.again,
            difference_to_whole=self._checks.difference,
            skipped=self._skipped,
            left_out=self._left_out,
            reads=source.reads if isinstance(source, CountsReads) else None,
            kept={tier: size for tier, size in most.items()},
            statistics=domain.name if is_local or self.moments is not None else "",
            mismatch=self._checks.mismatch,
            exact=self.prepared.exact and not domain.is_rounded,
            failed=self._queue.failed,
            peak=measured_peak(self._passes.device),
            growth=None if self._growth is None else self._growth.bytes,
            largest_piece=self._engine.largest if self._engine is not None else None,
            utilization=now.utilization,
            precision=domain.precision,
            notices=self.notices,
            objects=None if self.objects is None else self.objects.report,
        )
