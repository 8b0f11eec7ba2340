"""A prepared network is cut into tiles and run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from dask.utils import parse_bytes

from napari_seamless.engine import TorchEngine, default_budget, resolve_device
from napari_seamless.errors import BadRequest, RunCancelled, SeamlessError
from napari_seamless.geometry import Region
from napari_seamless.pipeline.checking import self_check
from napari_seamless.pipeline.preparing import AnyModel, Prepared, prepare
from napari_seamless.pipeline.result import Report, Result, SelfCheck
from napari_seamless.planning import TileChoice, choose_tile, chunk_of, readable, view_first
from napari_seamless.program.facts import inner_tile
from napari_seamless.scheduling.agenda import Agenda
from napari_seamless.scheduling.dask_cluster import DaskScheduler
from napari_seamless.scheduling.run import Run as ScheduledRun
from napari_seamless.scheduling.serial import Serial
from napari_seamless.seams import Job, LabelClass, Progress, Scheduler
from napari_seamless.sources import open_image
from napari_seamless.store import Store, StoreSpec, create_store, resume_or_create

UNHURRIED_CPU_TILE = 1024
"""Where nobody sets a budget, a CPU gets no larger tiles: they would save under 8 % of work and delay what is seen."""

LARGEST_IN_MEMORY = 0.25

ACCELERATED_THREADS = 3
"""On an accelerator other tiles are read and written while one is computed. A CPU is busy anyway, and with one thread
the next tile can still be exchanged for another when the view moves."""


def parse_budget(text: str) -> int:
    """Bytes meant by "2GB", "500 MB" or "1.5GiB"."""
    try:
        return int(parse_bytes(text))
    except ValueError:
        raise BadRequest(f"a budget is a number of bytes such as 2GB or 500MB; got {text!r}") from None


def tile_for(prepared: Prepared, budget: int | None = None, device: str = "auto") -> TileChoice:
    """The tile that a budget in bytes (default: what the device has to spare) allows. Quick; any thread."""
    engine = TorchEngine(prepared.program, device)
    return choose(prepared, engine, budget)


def choose(prepared: Prepared, engine: TorchEngine, budget: int | None) -> TileChoice:
    """As `tile_for`, for an engine at hand."""
    itemsize = prepared.source.info.dtype.itemsize

    def bytes_of(shape: tuple[int, ...]) -> int:
        return max(engine.peak_bytes(write, itemsize) for write in _samples(prepared.output_shape, shape))

    largest = UNHURRIED_CPU_TILE if budget is None and engine.device.type == "cpu" else None
    limit = default_budget(engine.device) if budget is None else budget
    return choose_tile(prepared.output_shape, bytes_of, limit, largest=largest)


def _samples(shape: tuple[int, ...], tile: tuple[int, ...]) -> list[Region]:
    """Tiles that stand for all: the first, one far from the borders, and the last."""
    whole = Region.from_shape(shape)
    first = Region.of(*((0, min(t, n)) for t, n in zip(tile, shape, strict=True)))
    last = Region.of(*(((n - 1) // t * t, n) for t, n in zip(tile, shape, strict=True))).intersect(whole)
    return [first, inner_tile(shape, tile), last]


class Run:
    """A started run: implements `seams.RunHandle`, with its live result in `store`.

    `region` is what was asked for, in output pixels.
    """

    def __init__(
        self, prepared: Prepared, engine: TorchEngine, store: Store, region: Region, choice: TileChoice
    ) -> None:
        self.prepared = prepared
        self.store = store
        self.region = region
        self._engine = engine
        self._choice = choice
        self._agenda: Agenda | None = None
        self._scheduled: ScheduledRun | None = None
        self._checked: SelfCheck | None = None

    def begin(self, scheduler: Scheduler, tile: int, view: Region | None, whole: bool, follow: bool) -> None:
        """Start the driving thread. Called once, by `start`."""
        self._agenda = Agenda(
            self.store.grid, self.region, self.store.finished, view_first, tile, z=self._depth(), view=view, whole=whole
        )
        job = Job(self.prepared.source, self.prepared.level, self._engine, self.store)

        def end() -> None:
            scheduler.close()
            self._end()

        self._scheduled = ScheduledRun(job, self._agenda, scheduler, follow=follow, on_end=end)
        self._scheduled.start()

    def _depth(self) -> int | None:
        if self._choice.depth is None:
            return None
        cell = self.store.grid.cell[0]
        return max(cell, self._choice.depth // cell * cell)

    @property
    def _handle(self) -> ScheduledRun:
        assert self._scheduled is not None
        return self._scheduled

    def progress(self) -> Progress:
        return self._handle.progress()

    def retarget(self, view: Region | None) -> None:
        self._handle.retarget(view)

    def set_tile(self, tile: int) -> None:
        """Use another tile edge from the next tile on; rounded to whole chunks of the result."""
        self._handle.set_tile(self._rounded(tile))

    def _rounded(self, tile: int) -> int:
        chunk = self.store.spec.chunk
        return max(chunk, tile // chunk * chunk)

    def pause(self) -> None:
        self._handle.pause()

    def resume(self) -> None:
        self._handle.resume()

    def cancel(self) -> None:
        self._handle.cancel()

    def wait(self, timeout: float | None = None) -> None:
        self._handle.wait(timeout)

    @property
    def tile(self) -> int:
        """The present tile's edge in output pixels."""
        assert self._agenda is not None
        return self._agenda.tile[-1]

    def result(self) -> Result:
        """What there is so far; complete once the state is "finished"."""
        return Result(self.store, self.region, self._report())

    def _end(self) -> None:
        """In the driving thread, at the end whatever it is: check a few regions again, and write everything down."""
        if self._handle.progress().error is None and self._handle.progress().state == "finished":
            self._checked = self_check(self._engine, self.prepared, self.store, self.region)
        try:
            self.store.report({"run": self._report().as_dict()})
        finally:
            self.store.close()

    def _report(self) -> Report:
        now = self.progress()
        assert self._agenda is not None
        return Report(
            state=now.state,
            tiles=now.tiles,
            passes=1,
            pixels=now.done,
            seconds=now.seconds,
            tile=self._agenda.tile,
            bytes=self._choice.bytes,
            device=str(self._engine.device),
            region_programs=self._engine.region_programs,
            self_check=self._checked,
        )


def start(
    prepared: Prepared,
    *,
    region: Region | None = None,
    view: Region | None = None,
    whole: bool = True,
    follow: bool = False,
    budget: int | None = None,
    tile: int | None = None,
    device: str = "auto",
    scheduler: Any = "dask",
    output: str | Path | None = None,
    overwrite: bool = False,
) -> Run:
    """Start a run and return at once.

    `region` is in level-0 pixels of the image (default: all); `view` in output pixels: what is on screen, made first.
    Without `whole` only the view and its surroundings are made. With `follow` the run stays alive when all that is
    asked for is done, and goes on when it is retargeted. `budget` is in bytes of device memory; `tile` overrides the
    tile edge that follows from it. `scheduler` is "dask", "serial", a dask address or a distributed.Client. `output`
    is the OME-Zarr folder to write; the same run on the same folder continues it. Without one the result is in memory.

    Raises BadRequest, BudgetTooSmall, DeviceUnavailable, OutputExists or OutputUnwritable.
    """
    wanted = _wanted(prepared, region)
    engine = TorchEngine(prepared.program, device)
    worker = _scheduler(scheduler, engine)
    choice = _choice(prepared, engine, budget, tile)
    store = _store(prepared, wanted, choice.tile, output, overwrite, scheduler)
    run = Run(prepared, engine, store, wanted, choice)
    chunk = store.spec.chunk
    run.begin(worker, max(chunk, choice.tile // chunk * chunk), view, whole, follow)
    return run


def run(
    model: AnyModel,
    image: Any,
    *,
    region: Region | None = None,
    level: int = 0,
    budget: int | str | None = None,
    tile: int | None = None,
    device: str = "auto",
    scheduler: Any = "dask",
    output: str | Path | None = None,
    overwrite: bool = False,
    axes: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Run a model on an image, or on a `region` of it (level-0 pixels), and wait for the result.

    `model` is a name, a file of weights, a `torch.nn.Module` or a Model; `image` a path, an array or anything else that
    `open_image` takes, with `axes` as there. The other parameters are those of `start`. `on_progress` is called in
    this thread about twice a second. KeyboardInterrupt cancels the run and keeps what is finished.
    """
    resolve_device(device)
    prepared = prepare(model, open_image(image, axes=axes), level=level)
    size = parse_budget(budget) if isinstance(budget, str) else budget
    handle = start(
        prepared,
        region=region,
        budget=size,
        tile=tile,
        device=device,
        scheduler=scheduler,
        output=output,
        overwrite=overwrite,
    )
    return wait_for(handle, on_progress)


def wait_for(handle: Run, on_progress: Callable[[Progress], None] | None = None) -> Result:
    """Wait for a run, reporting on the way. An interrupt cancels it first."""
    try:
        while handle.progress().state not in ("finished", "cancelled", "failed"):
            handle.wait(0.5)
            if on_progress is not None:
                on_progress(handle.progress())
        handle.wait()
    except KeyboardInterrupt:
        handle.cancel()
        with suppress(SeamlessError):
            handle.wait()
        raise
    if handle.progress().state == "cancelled":
        raise RunCancelled("the run was cancelled; finished chunks are kept, run it again to continue")
    return handle.result()


def _wanted(prepared: Prepared, region: Region | None) -> Region:
    """A level-0 region as output pixels."""
    levels = prepared.source.info.levels
    if region is None:
        return Region.from_shape(prepared.output_shape)
    if region.ndim != levels.ndim:
        raise BadRequest(f"a region needs one interval for each of the image's {levels.ndim} axes; got {region!r}")
    whole = Region.from_shape(levels.shape(0))
    if region.is_empty or not whole.contains(region):
        raise BadRequest(f"a region must lie inside the image and hold a pixel; the image is {whole!r}, got {region!r}")
    wanted = prepared.to_output(levels.to_level(region, prepared.level))
    if wanted.is_empty:
        raise BadRequest(
            f"a region must hold at least one pixel of the output; {region!r} holds none; use a larger one"
        )
    return wanted


def _choice(prepared: Prepared, engine: TorchEngine, budget: int | None, tile: int | None) -> TileChoice:
    if tile is None:
        return choose(prepared, engine, budget)
    chunk_of(tile)
    shape = tuple(min(tile, n) for n in prepared.output_shape[-2:])
    depth = prepared.output_shape[0] if len(prepared.output_shape) == 3 else None
    full = shape if depth is None else (depth, *shape)
    itemsize = prepared.source.info.dtype.itemsize
    needed = max(engine.peak_bytes(write, itemsize) for write in _samples(prepared.output_shape, full))
    if budget is not None and needed > budget:
        allowed = choose(prepared, engine, budget)
        raise BadRequest(
            f"a tile must fit in the budget; {tile} needs {readable(needed)}, the budget is {readable(budget)}; use a "
            f"tile of {allowed.tile}"
        )
    return TileChoice(tile, needed, ((tile, needed),), budget or needed, depth)


def _store(
    prepared: Prepared, wanted: Region, tile: int, output: str | Path | None, overwrite: bool, scheduler: Any
) -> Store:
    spec = store_spec(prepared, tile)
    if output is not None:
        return resume_or_create(output, spec, overwrite)
    if scheduler not in ("dask", "serial"):
        raise BadRequest("a cluster needs a result that every worker can write to; got no output; give output=PATH")
    size, spare = wanted.size * spec.pixel_bytes, int(psutil.virtual_memory().available * LARGEST_IN_MEMORY)
    if size > spare:
        raise BadRequest(
            f"a result in memory may take a quarter of what is free, {readable(spare)}; this one takes "
            f"{readable(size)}; give an output folder or a smaller region"
        )
    return create_store(None, spec)


def store_spec(prepared: Prepared, tile: int) -> StoreSpec:
    """What the result is, before any pixel of it exists."""
    model, info = prepared.model, prepared.source.info
    is_labels = model.kind == "labels"
    step = _level_scale(prepared)
    return StoreSpec(
        shape=prepared.output_shape,
        channels=None if is_labels else prepared.output_channels,
        dtype=prepared.output_dtype,
        kind=model.kind,
        chunk=chunk_of(tile),
        classes=tuple(LabelClass(c.value, c.name, c.colour) for c in model.classes),
        channel_names=model.channel_names if not is_labels else (),
        name=model.name,
        pixel_size=_scaled(step, prepared.scale),
        translation=_scaled(step, prepared.offset),
        unit=info.unit,
        source_identity=prepared.source_identity,
        program_hash=prepared.program_hash,
        provenance=_provenance(prepared),
    )


def _level_scale(prepared: Prepared) -> tuple[float, ...] | None:
    info = prepared.source.info
    if info.pixel_size is None:
        return None
    factors = info.levels.scale(prepared.level)
    return tuple(size * float(f) for size, f in zip(info.pixel_size, factors, strict=True))


def _scaled(step: tuple[float, ...] | None, numbers: tuple[float, ...]) -> tuple[float, ...] | None:
    return None if step is None else tuple(s * n for s, n in zip(step, numbers, strict=True))


def _provenance(prepared: Prepared) -> Mapping[str, Any]:
    return {
        "model": prepared.model.name,
        "image": prepared.source.info.name,
        "level": prepared.level,
        "divisor": prepared.program.divisor,
        "precision": "float32",
        "scope": "exact",
    }


def _scheduler(scheduler: Any, engine: TorchEngine) -> Scheduler:
    match scheduler:
        case "serial":
            return Serial()
        case "dask":
            return DaskScheduler(threads=1 if engine.device.type == "cpu" else ACCELERATED_THREADS)
        case str() if "://" not in scheduler:
            raise BadRequest(f"a scheduler is dask, serial or an address such as tcp://host:8786; got {scheduler!r}")
    return DaskScheduler(scheduler)
