"""A started run: what it measures first, what it makes, and how it is checked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import RunCancelled
from napari_seamless.geometry import Region
from napari_seamless.interfaces import CountsReads, Executor, Progress, StopFlag
from napari_seamless.runs.blended_passes import BlendedPasses
from napari_seamless.runs.chunk_mask import skip_outside
from napari_seamless.runs.compare_to_whole import WholeComparison
from napari_seamless.runs.exact_passes import ExactPasses
from napari_seamless.runs.memory_growth import MemoryGrowth, growth_on
from napari_seamless.runs.moments import Moments
from napari_seamless.runs.output import facts_of
from napari_seamless.runs.prepare import Prepared
from napari_seamless.runs.provenance import moments_told
from napari_seamless.runs.result import Report, Result, SelfCheck
from napari_seamless.runs.roi import Roi
from napari_seamless.runs.self_check import self_check
from napari_seamless.runs.statistics import LOCAL, PREVIEW, StatisticsDomain
from napari_seamless.runs.tile_cost import begin_measuring, measured_peak
from napari_seamless.runtime.engine import TorchEngine
from napari_seamless.runtime.engine.blended import BlendedEngine
from napari_seamless.runtime.engine.mismatch import Mismatch
from napari_seamless.runtime.engine.oom_retry import OutOfMemoryRetry
from napari_seamless.runtime.executor.driver import Driver, RunEvents
from napari_seamless.runtime.executor.job import TileJob
from napari_seamless.runtime.executor.tile_queue import ViewFirstQueue
from napari_seamless.runtime.planning import TileChoice, view_first
from napari_seamless.store import Store

FirstLook = Callable[[Region | None, StopFlag], "Run | None"]


class Run:
    """A started run: implements `interfaces.RunHandle`, with its live result in `store`.

    `region` is what was asked for, in output pixels.
    """

    def __init__(
        self,
        prepared: Prepared,
        measuring: ExactPasses | BlendedPasses,
        store: Store,
        region: Region,
        choice: TileChoice,
        scope: StatisticsDomain,
        compare: WholeComparison | None = None,
        area: Roi | None = None,
        notices: tuple[str, ...] = (),
    ) -> None:
        self.prepared = prepared
        self.store = store
        self.region = region
        self._area = area
        self._left_out = 0.0
        self._measuring = measuring
        self._engine: OutOfMemoryRetry[TorchEngine | BlendedEngine] | None = None
        self._choice = choice
        self._scope = scope
        self._compare = compare
        self._notices = notices
        self._difference: SelfCheck | None = None
        self._skipped = 0.0
        self._view: Region | None = None
        self.preview: Run | None = None
        self._queue: ViewFirstQueue | None = None
        self._driver: Driver | None = None
        self._checked: SelfCheck | None = None
        self._mismatch: Mismatch | None = None
        self._growth: MemoryGrowth | None = None

    def begin(
        self,
        executor: Executor,
        view: Region | None,
        whole: bool,
        follow: bool,
        preview: FirstLook | None = None,
    ) -> None:
        """Start the driving thread. Called once, by `start`; `preview` starts the run of a first look."""
        self._view = view
        begin_measuring(self._measuring.device)
        self._growth = growth_on(self._measuring.device)
        if self._scope.only is not None:
            self._skipped = skip_outside(self.store, self._scope.only, self.region)
        wanted, only = self._asked_for()
        self._queue = ViewFirstQueue(
            self.store.grid,
            wanted,
            self.store.finished,
            view_first,
            self._rounded(self._choice.tile),
            z=self._depth(),
            view=view,
            whole=whole,
            only=only,
        )
        preceding = () if self._queue.is_finished and not follow else self._measuring.preceding
        if self._measuring.is_measured:
            self._engine = OutOfMemoryRetry(self._measuring.last_engine())

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
            on_commit=lambda _region: self._look_at_memory(),
            on_idle=self._check,
            on_end=end,
            should_wait=self._should_wait,
        )
        self._driver = Driver(self._last_job, self._queue, executor, preceding=preceding, follow=follow, events=events)
        self._driver.start()

    def _asked_for(self) -> tuple[Region, NDArray[np.bool_] | None]:
        """What is asked for: a box of output pixels, and which chunks of it (None: all)."""
        if self._area is None:
            return self.region, None
        only = self._area.chunks(self.prepared, self.store.grid)
        self._left_out = 1.0 - float(only[self.store.grid.covering(self.region).slices()].mean())
        self._area.keep(self.store)
        return self._area.box(self.prepared, self.region), only

    def _is_stopped(self) -> bool:
        return self._handle.is_cancelled

    def _show_preview(self) -> None:
        """The view may have moved while the preview was being prepared."""
        if self.preview is not None:
            self.preview.retarget(self._view)

    def _should_wait(self) -> bool:
        """Passes wait while the first look at what is on screen is being made."""
        return self.preview is not None and self.preview.progress().state in ("waiting", "running")

    def _last_job(self) -> TileJob:
        """What makes the output, once everything is measured. The preview has served its turn then."""
        if self.preview is not None:
            self.preview.cancel()
        self._engine = self._engine or OutOfMemoryRetry(self._measuring.last_engine())
        return TileJob(self.prepared.source, self.prepared.level, self._engine, self.store)

    def _depth(self) -> int | None:
        if self._choice.depth is None:
            return None
        cell = self.store.grid.cell[0]
        return max(cell, self._choice.depth // cell * cell)

    @property
    def _handle(self) -> Driver:
        assert self._driver is not None
        return self._driver

    def progress(self) -> Progress:
        self._look_at_memory()
        return self._handle.progress()

    def _look_at_memory(self) -> None:
        if self._growth is not None:
            self._growth.look()

    def retarget(self, view: Region | None) -> None:
        self._view = view
        self._handle.retarget(view)
        self._show_preview()

    def set_tile(self, tile: int) -> None:
        """Use another tile edge from the next tile on; rounded to whole chunks of the result."""
        self._handle.set_tile(self._rounded(tile))

    def _rounded(self, tile: int) -> int:
        chunk = self.store.grid.cell[-1]
        return max(chunk, tile // chunk * chunk)

    def pause(self) -> None:
        self._handle.pause()

    def resume(self) -> None:
        self._handle.resume()

    def cancel(self) -> None:
        self._handle.cancel()
        if self.preview is not None:
            self.preview.cancel()

    def wait(self, timeout: float | None = None) -> None:
        self._handle.wait(timeout)

    @property
    def tile(self) -> int:
        """The present tile's edge in output pixels."""
        assert self._queue is not None
        return self._queue.tile[-1]

    @property
    def in_work(self) -> tuple[Region, ...]:
        """The output pixels of the tiles that are being made now."""
        assert self._queue is not None
        return self._queue.in_work

    def result(self) -> Result:
        """What there is so far; complete once the state is "finished"."""
        return Result(self.store, self.region, self._report(), self.moments)

    @property
    def moments(self) -> Moments | None:
        """What has been measured so far; None for a network that needs nothing measured."""
        states = self._measuring.states
        return Moments.of(self.prepared.program, states, facts_of(self.prepared, self._scope)) if states else None

    def _end(self) -> None:
        """In the driving thread, at the end whatever it is: check a few regions again, and write everything down."""
        try:
            if self.preview is not None:
                self.preview.cancel()
                self.preview.wait()
            if self._growth is not None:
                self._growth.end()
            self.store.report({"run": self._report().as_dict(), **moments_told(self.store)})
        finally:
            self._measuring.close()
            self.store.close()

    def _check(self, stop: StopFlag) -> None:
        """Once, when all that is asked for is there: compute a few regions again, or see how tiles disagree."""
        if self._scope.name == PREVIEW:
            return
        if isinstance(self._measuring, BlendedPasses):
            self._mismatch = self._mismatch or self._measuring.mismatch(self.region)
        is_checked = self._scope.is_rounded or not isinstance(self._measuring, BlendedPasses)
        if is_checked and self._checked is None and self._measuring.is_measured:
            with suppress(RunCancelled):
                engine = self._measuring.checking_engine()
                self._checked = self._marked(self_check(engine, self.prepared, self.store, self.region, stop))
        if self._compare is not None and self._difference is None:
            with suppress(RunCancelled):
                self._difference = self._marked(self._compare.difference(self.store, self.region, stop))

    def _marked(self, check: SelfCheck | None) -> SelfCheck | None:
        """With what was rounded on the way to what is compared with float32."""
        precision = self._scope.precision
        is_exact = not self._scope.is_rounded
        return check and replace(check, exact=is_exact, precision=precision, tf32=precision == "tf32")

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know about the way this is computed, a sentence each; there may be more later."""
        engine = self._engine.inner if self._engine is not None else None
        return (*self._notices, *(engine.notices if isinstance(engine, TorchEngine) else ()))

    @property
    def _is_local(self) -> bool:
        return self._scope.name == LOCAL.name and self.prepared.approximation is not None

    def _report(self) -> Report:
        now = self.progress()
        assert self._queue is not None
        return Report(
            state=now.state,
            tiles=now.tiles,
            passes=now.passes,
            pixels=self._queue.counts[0],
            seconds=now.seconds,
            tile=self._queue.tile,
            bytes=self._choice.bytes + self._measuring.keeping.most.get("device", 0),
            device=str(self._measuring.device),
            region_programs=self._engine.inner.region_programs if self._engine is not None else 0,
            self_check=self._checked,
            difference_to_whole=self._difference,
            skipped=self._skipped,
            left_out=self._left_out,
            reads=source.reads if isinstance(source := self.prepared.source, CountsReads) else None,
            kept={tier: size for tier, size in self._measuring.keeping.most.items()},
            statistics=self._scope.name if self._measuring.states or self._is_local else "",
            mismatch=self._mismatch,
            exact=self.prepared.approximation is None and not self._scope.is_rounded,
            failed=self._queue.failed,
            peak=measured_peak(self._measuring.device),
            growth=None if self._growth is None else self._growth.bytes,
            largest_piece=self._engine.largest if self._engine is not None else None,
            utilization=now.utilization,
            precision=self._scope.precision,
            notices=self.notices,
        )
