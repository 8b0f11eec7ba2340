"""The life of a run, without Qt and without napari.

::

    empty -> preparing -> ready -> starting -> running <-> paused
                 ^          ^                   |   ^
                 |          |                   |   +--> following (all in view is done; a pan goes on)
                 |          +--- finished, cancelled, failed
                 +-- another image or model

Every method is called from the GUI thread and returns at once. Slow work (tracing, choosing a tile, starting,
exporting) goes on in the background jobs of the dock; `poll` gives a snapshot of everything that the dock shows.
The workers of all runs are started with the first network that is ready, and closed with the controller.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from cachetools import LRUCache

from napari_seamless._napari.backend import Backend
from napari_seamless._napari.background import BackgroundJob, BackgroundJobs, ignore, is_open
from napari_seamless._napari.layers.axes import StackPlane
from napari_seamless._napari.layers.run_pixels import made_region, objects_made, seen_regions
from napari_seamless._napari.problems import Problem, problem_of
from napari_seamless._napari.run.closing import LAST_TILE_SECONDS, release
from napari_seamless._napari.run.lookups import LookupHandlers, Lookups
from napari_seamless._napari.run.state import (
    ENDED,
    ImageRef,
    Options,
    Phase,
    Ready,
    RunRequest,
    Snapshot,
    Started,
    Subject,
)
from napari_seamless._napari.run.temporary_folder import TemporaryFolder, start_in_folder
from napari_seamless._napari.run.verdict import Verdict, verdict_of
from napari_seamless.errors import RunCancelled
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Progress, StopFlag

if TYPE_CHECKING:
    from napari_seamless._napari.widgets.dialogs import ExportWish
    from napari_seamless.runs.prepared import Prepared
    from napari_seamless.runs.result import Report, Result
    from napari_seamless.runs.run import Run
    from napari_seamless.runtime.executor.local_workers import LocalWorkers

KEPT = 4


class Controller:
    """Owns the run. `on_started` is called (from `poll`) with every run that has started."""

    def __init__(self, backend: Backend, jobs: BackgroundJobs, on_started: Callable[[Started], None]) -> None:
        self._backend, self._jobs = backend, jobs
        self._on_started = on_started
        self._cache: LRUCache[Subject, Ready] = LRUCache(KEPT)
        self._subject: Subject | None = None
        self._image: ImageRef | None = None
        self._ready: Ready | None = None
        self._place: Mapping[str, str] = {}
        self._budget: int | None = None
        self._tile: int | None = None
        self._shown_tile = 0
        self._follows = False
        self._request: RunRequest | None = None
        self._folders: WeakValueDictionary[Hashable, TemporaryFolder] = WeakValueDictionary()
        self._run: Run | None = None
        self._shows_run = False
        self._verdict: Verdict | None = None
        self._is_judged = False
        self._problem: Problem | None = None
        self._exported: Path | None = None
        self._preparing: BackgroundJob[Ready] | None = None
        self._workers: BackgroundJob[LocalWorkers] | None = None
        self._starting: BackgroundJob[Started] | None = None
        self._exporting: BackgroundJob[Path] | None = None
        self._report: Report | None = None
        self._path: Path | None = None
        self._plane = self._run_plane = StackPlane()
        self._lookups = Lookups(backend, jobs, LookupHandlers(self._tile_is_chosen, self._fail))

    def choose(self, image: ImageRef | None, model: str | None, options: Options = ()) -> None:
        """Takes another image or model, or other options of preparing, and begins to trace, unless that was done."""
        subject = None if image is None or model is None else (image.key, model, options)
        if subject == self._subject:
            return
        self._forget_preparation()
        self._subject, self._problem, self._shows_run, self._request = subject, None, False, None
        self._image = image
        if image is None or subject is None:
            return
        ready = self._cache.get(subject)
        if ready is not None:
            self._take(ready)
        else:
            self._begin_to_prepare(image, subject)

    def approximate(self, request: RunRequest) -> None:
        """Prepares what was refused for overlapping, blended tiles instead, and runs it then."""
        image, subject = self._image, self._subject
        if image is None or subject is None or is_open(self._preparing):
            return
        self._problem, self._exported, self._request = None, None, request
        self._begin_to_prepare(image, subject, approximate=True)

    def forget(self, is_gone: Callable[[Hashable, str], bool]) -> None:
        """Drops what is kept for images and models that are gone, by the key of the one and the name of the other."""
        for subject in [subject for subject in self._cache if is_gone(*subject[:2])]:
            del self._cache[subject]

    def set_place(self, place: Mapping[str, str]) -> None:
        """The device and the precision of runs, where they are not the usual ones; tile sizes follow from them."""
        if place != self._place:
            self._place = place
            self._choose_tile()

    def set_budget(self, count: int) -> None:
        """Bytes that runs may use; the choice of tile sizes follows in the background."""
        if count != self._budget:
            self._budget = count
            self._choose_tile()

    def set_tile(self, tile: int, by_hand: bool = True) -> None:
        """Edge of the tiles, in output pixels, of this run (from its next tile on) and the following ones.

        One that was not chosen by hand is left to the budget when the next run starts.
        """
        self._tile, self._shown_tile = (tile if by_hand else None), tile
        if self._ready is not None:
            self._lookups.weigh(self._ready.prepared, tile)
        run = self._active_run()
        if run is not None:
            run.set_tile(tile)

    def look_at(self, path: Path | None, plane: StackPlane) -> None:
        """Sees what is at an output path already, as soon as the network is ready."""
        self._path, self._plane = path, plane
        ready, image = self._ready, self._image
        self._lookups.look_at(path, None if ready is None else lambda: self._on_plane(ready, image, plane))

    def start(self, request: RunRequest) -> None:
        """Starts a run as soon as the network is ready."""
        if self._active_run() is None and not is_open(self._starting) and self._subject is not None:
            self._request, self._problem, self._exported = request, None, None

    def pause(self) -> None:
        run = self._active_run()
        if run is not None:
            run.pause()

    def resume(self) -> None:
        run = self._active_run()
        if run is not None:
            run.resume()

    def cancel(self) -> None:
        """Stops the run, or the wish for one. What is finished is kept."""
        self._request = None
        if self._starting is not None:
            self._starting.stop()
        if self._run is not None:
            self._run.cancel()

    def retarget(self, view: Region | None) -> None:
        """Names the output region on screen."""
        run = self._active_run()
        if run is not None:
            run.retarget(made_region(run, view))

    def export(self, wish: ExportWish) -> None:
        """Saves the result of the last run, in the background."""
        run = self._run
        if run is not None and not is_open(self._exporting):
            self._problem, self._exported = None, None
            self._exporting = self._jobs.begin(lambda _stop: _save(run.result(), wish), self._take_exported, self._fail)

    def report(self, error: BaseException) -> None:
        """Shows an error that came up outside of the controller."""
        self._problem = problem_of(error)

    def close(self) -> None:
        """Stops everything. No method does anything useful after it."""
        self.cancel()
        self._subject = None
        run, starting, workers = self._run, self._starting, self._workers
        self._jobs.close(lambda: release(run, starting, workers))

    def poll(self) -> Snapshot:
        """Starts what can be started, and says how things stand."""
        if self._ready is not None:  # torch is loaded then
            self._lookups.look_at_memory(self._place.get("device", "auto"))
        if self._request is not None and self._ready is not None and self._can_start():
            self._begin(self._request, self._ready)
        progress = self._run.progress() if self._run is not None else None
        if self._shows_run and progress is not None and progress.state == "failed" and self._problem is None:
            self._problem = problem_of(progress.error or RuntimeError("the run failed without saying why"))
        self._judge(progress)
        run, report = (self._run, self._report) if self._shows_run else (None, None)
        return Snapshot(
            phase=self._phase(progress),
            queued=self._request is not None,
            image=self._ready.image if self._ready else None,
            prepared=self._ready.prepared if self._ready else None,
            choice=self._lookups.choice,
            tile=self._shown_tile,
            failed=() if run is None or report is None else seen_regions(run, report.failed),
            peak=None if report is None else report.peak,
            growth=None if report is None else report.growth,
            found=self._lookups.found,
            cost=self._lookups.cost,
            memory=self._lookups.memory,
            in_work=() if run is None else seen_regions(run, run.in_work),
            progress=progress if self._shows_run else None,
            objects="" if run is None else objects_made(run),
            follows=self._follows,
            plane=self._run_plane,
            approximate=self._ready is not None and self._ready.is_approximate,
            verdict=self._verdict if self._shows_run else None,
            first_look=self._first_look() if self._shows_run else None,
            notices=self._notices(),
            problem=self._problem,
            models=self._lookups.models,
            exporting=is_open(self._exporting),
            exported=self._exported,
        )

    def _notices(self) -> tuple[str, ...]:
        """Before a run those of image and network, and of an earlier result that is there; then the run's own."""
        if self._run is not None and self._shows_run:
            return self._run.notices
        found = self._lookups.found
        return (*(self._ready.notices if self._ready else ()), *(found.notices if found and found.continues else ()))

    def _first_look(self) -> Progress | None:
        """How far the preview is, while the passes wait for it."""
        first = None if self._run is None else self._run.preview
        progress = None if first is None else first.progress()
        return progress if progress is not None and progress.state in ("waiting", "running") else None

    def _judge(self, progress: Progress | None) -> None:
        """Asks the run what it found out, each time that all that is asked for is done."""
        rests = progress is not None and progress.state in ENDED
        if rests and not self._is_judged and self._run is not None:
            self._report = self._run.result().report
            self._verdict = verdict_of(self._report, self._run.store)
        self._is_judged = rests

    def _phase(self, progress: Progress | None) -> Phase:
        if is_open(self._starting):
            return "starting"
        if self._shows_run and progress is not None:
            if progress.state == "finished" and self._follows:
                return "following"
            return "running" if progress.state == "waiting" else progress.state
        if is_open(self._preparing):
            return "preparing"
        return "ready" if self._ready is not None else "empty"

    def _active_run(self) -> Run | None:
        if self._run is None:
            return None
        state = self._run.progress().state
        is_over = state in ENDED and not (state == "finished" and self._follows)
        return None if is_over else self._run

    def _can_start(self) -> bool:
        return not is_open(self._starting) and self._active_run() is None and not self._lookups.is_choosing

    def _begin_to_prepare(self, image: ImageRef, subject: Subject, approximate: bool = False) -> None:
        _, model, said = subject
        options = {**dict(said), **({"approximate": True} if approximate else {})}
        self._preparing = self._jobs.begin(
            lambda stop: self._prepare(image, model, stop, options), self._take, self._fail
        )

    def _prepare(self, image: ImageRef, model: str, stop: StopFlag, options: Mapping[str, Any]) -> Ready:
        network = self._backend.load_model(model)
        place, source = image.place(), image.open(self._backend.spatial_axes(network), ())
        if stop():
            raise RunCancelled("the network is not needed any more")
        prepared = self._backend.prepare(network, source, cancelled=stop, **options)
        return Ready(prepared, source.info, prepared.notices, place)

    def _on_plane(self, ready: Ready, image: ImageRef | None, plane: StackPlane) -> Prepared:
        """The network for that plane, where the image lies now: what was traced holds for all of them. In the
        background."""
        if image is None or (not plane.indices and image.place() == ready.place):
            return ready.prepared
        return self._backend.with_image(ready.prepared, image.open(ready.image.ndim, plane.indices))

    def _forget_preparation(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
        self._ready = None
        self._lookups.forget()

    def _take(self, ready: Ready) -> None:
        self._ready = ready
        subject = self._subject
        # one that a button asked for is asked for anew each time
        if subject is not None and (not ready.is_approximate or dict(subject[2]).get("approximate")):
            self._cache[subject] = ready
        self._choose_tile()
        self._have_workers()
        self.look_at(self._path, self._plane)

    def _have_workers(self) -> BackgroundJob[LocalWorkers]:
        """The job that starts them, or did; another one where it failed."""
        failed = self._workers is not None and self._workers.future.done() and self._workers.future.exception()
        if self._workers is None or failed:
            self._workers = self._jobs.begin(lambda _stop: self._backend.start_workers(), failed=ignore)
        return self._workers

    def _choose_tile(self) -> None:
        if self._ready is not None:
            self._lookups.choose_tile(self._ready.prepared, self._budget, self._place)

    def _begin(self, request: RunRequest, ready: Ready) -> None:
        """Starts the run in the background: it may have to wait for its workers, and for the end of the run before.

        Without a path it goes on with the result of an earlier run that made the same pixels, if there is one.
        """
        self._request = None
        workers, before, image = self._have_workers(), self._run, self._image
        view, tile, plane = request.view(ready.prepared), self._tile, request.plane(ready.image.ndim)
        settings = dict(request.settings)
        key = (
            self._subject,
            plane.indices,
            ready.is_approximate,
            request.roi == "tissue",
            *sorted((name, value) for name, value in settings.items() if name != "region"),
        )
        known = self._folders.get(key) if request.output is None else None

        def begin(output: Path) -> Run:
            return self._backend.start(
                self._on_plane(ready, image, plane),
                view=view,
                roi=request.roi,
                whole=request.whole,
                follow=not request.whole,
                budget=self._budget,
                tile=tile,
                output=output,
                preview=True,
                **{"scheduler": workers.result().client, **settings},
            )

        def work(stop: StopFlag) -> Started:
            if before is not None:
                with suppress(Exception):  # what it failed of has been told
                    before.wait(LAST_TILE_SECONDS)
            run, output, folder = start_in_folder(begin, request.output, known)
            if stop():
                run.cancel()
            return Started(run, ready.prepared, output, folder, key, plane)

        self._follows = not request.whole
        self._starting = self._jobs.begin(work, self._take_started, self._fail)

    def _tile_is_chosen(self) -> None:
        self._clear_problem("budget")

    def _take_started(self, started: Started) -> None:
        self._run, self._shows_run, self._run_plane = started.run, True, started.plane
        if started.folder is not None:
            self._folders[started.key] = started.folder
        self._verdict, self._is_judged, self._report = None, False, None
        self._lookups.look_at(None, None)
        self._on_started(started)

    def _take_exported(self, path: Path) -> None:
        self._exported = path

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, RunCancelled):
            self._request = None
            self._problem = problem_of(error)

    def _clear_problem(self, field: str) -> None:
        if self._problem is not None and self._problem.field == field:
            self._problem = None


def _save(result: Result, wish: ExportWish) -> Path:
    result.save(wish.path, **wish.options)
    return wish.path
