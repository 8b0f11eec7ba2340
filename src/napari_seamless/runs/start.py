"""A prepared network is cut into tiles and run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region
from napari_seamless.interfaces import Executor, Progress, StopFlag
from napari_seamless.runs.config import RunConfig
from napari_seamless.runs.keywords import RUN, START, RunKeywords, StartKeywords, config_of
from napari_seamless.runs.objects.plan import ObjectPlan, object_plan
from napari_seamless.runs.objects.stores import ObjectStores
from napari_seamless.runs.objects.stream import ObjectStream
from napari_seamless.runs.output import object_stores_for, store_for
from napari_seamless.runs.precision import in_precision, place_for
from napari_seamless.runs.prepare import AnyModel, prepare
from napari_seamless.runs.prepared import PassPlan, Prepared, RunSettings
from napari_seamless.runs.result import Result
from napari_seamless.runs.roi import Roi, asked_by, check_region, output_region, roi_of
from napari_seamless.runs.run import Run
from napari_seamless.runs.run_parts import RunParts, ViewOptions
from napari_seamless.runs.source_check import drop_what_changed, require_as_opened
from napari_seamless.runs.statistics import LOCAL, PREVIEW, StatisticsDomain, statistics_domain
from napari_seamless.runs.wait import wait_for
from napari_seamless.runtime.engine import resolve_device
from napari_seamless.runtime.executor.executors import make_executor
from napari_seamless.runtime.forked import FORKED, lacks_threads
from napari_seamless.store import Store

PROCESSOR_THREADS, ACCELERATED_THREADS = 2, 3
"""While one tile is computed the next is read, so that the device waits neither for a disk nor for a network; an
accelerator also leaves the processor time to write the one before."""

PREVIEW_TILE = 256


def start(
    prepared: Prepared,
    *,
    view: Region | None = None,
    whole: bool = True,
    follow: bool = False,
    preview: bool = False,
    config: RunConfig | None = None,
    **options: Unpack[StartKeywords],
) -> Run:
    """Start a run and return at once.

    `options` are those of `RunConfig` but for what `prepare` took: region and roi (which part), budget, tile, keep,
    keep_half and scratch (memory), output, overwrite, shards and same_image, statistics, mask, tissue_threshold and
    compare_to_whole, device, precision and scheduler. They go before what a `config` says.

    `view` is what is on screen, in output pixels: it is made first. Without `whole` only the view and its surroundings
    are made. With `follow` the run stays alive when all that is asked for is done, and goes on when it is retargeted.
    With `preview` the view is first made with moments estimated from a sample of the image, as a run of its own, in
    memory: `Run.preview`, there after a second or two, which follows the view until the passes that measure are over.
    What the device cannot do is done in another way; `Run.notices` says so.

    Raises BadRequest, BudgetTooSmall, DeviceUnavailable, OutputExists or OutputUnwritable; TypeError for other options.
    """
    given = config_of("start", config, options, START)
    return start_run(prepared, given, ViewOptions(view, whole, follow, preview))


def run(
    model: AnyModel,
    image: Any,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    config: RunConfig | None = None,
    **options: Unpack[RunKeywords],
) -> Result:
    """Run a model on an image, or on a part of it, and wait for the result.

    `model` is a name, a file of weights, a `torch.nn.Module` or a Model; `image` a path, an array or anything else that
    `open_image` takes. `options` are those of `RunConfig`, which go before what a `config` says: where ("region",
    "roi"), with what memory ("budget", "tile"), onto which disk ("output") and so on. `on_progress` is called in this
    thread about twice a second. KeyboardInterrupt cancels the run and keeps what is finished.

    Raises what `prepare` and `start` raise, and RunCancelled.
    """
    given = config_of("run", config, options, RUN)
    resolve_device(given.execution.device)  # refused before a long trace
    prepared = prepare(model, image, config=given)
    return wait_for(start_run(prepared, given, ViewOptions()), on_progress)


def start_run(prepared: Prepared, config: RunConfig, view: ViewOptions, domain: StatisticsDomain | None = None) -> Run:
    """As `start`. A `domain` says what the statistics are of, instead of the config."""
    require_as_opened(prepared.source)
    layout = lay_out(prepared, config, domain)
    plan = layout.plan
    made = layout.region if layout.roi is None else layout.roi.box(prepared, layout.region)
    objects = None
    store: Store | ObjectStores
    if layout.objects is None:
        store = target = store_for(layout.prepared, made, plan.choice.tile, config, plan.domain)
    else:
        store = object_stores_for(layout.objects, layout.prepared, made, plan.choice.tile, config, plan.domain)
        objects = ObjectStream(layout.objects, store, layout.objects.region_of(config.part.region))
        target = store.candidates
    try:
        return _begun(prepared, target, layout, config, view, objects)
    except BaseException:
        store.let_go()
        raise


def _begun(
    prepared: Prepared,
    store: Store,
    layout: Layout,
    config: RunConfig,
    view: ViewOptions,
    objects: ObjectStream | None,
) -> Run:
    plan = layout.plan
    dropped = "" if config.output.same_image else drop_what_changed(store, layout.prepared, _chunks(store, layout))
    if dropped and objects is not None:
        objects.forget()
    is_compared = config.statistics.compare_to_whole and (plan.domain.name != "whole" or plan.domain.is_rounded)
    parts = RunParts(
        layout.prepared,
        plan.passes(store),
        store,
        layout.region,
        plan.choice,
        plan.domain,
        layout.roi,
        asked_by(layout.prepared, layout.region, layout.roi, plan.domain.only)
        if objects is None
        else asked_by(layout.prepared, objects.region, layout.roi, plan.domain.only, objects.plan.place),
        prepared.comparison(layout.settings, plan.choice) if is_compared else None,
        objects,
        (*layout.notices, *(told for told in (dropped, objects.told if objects else "") if told)),
    )
    device = layout.settings.device

    def preview(view: Region | None, stop: StopFlag) -> Run | None:
        return _preview(prepared, layout.roi, str(device), view, stop)

    started = Run(parts)
    started.begin(layout.executor, view, preview if view.preview else None)
    return started


@dataclass(frozen=True)
class Layout:
    """How a run would be made: the network as it is run, on which device, where and in which tiles and passes.

    `region` is what is asked for, in output pixels; `notices` are sentences about what is done in another way.
    `objects` says how its output becomes objects, where the model says that.
    """

    prepared: Prepared
    settings: RunSettings
    plan: PassPlan
    region: Region
    roi: Roi | None
    executor: Executor
    notices: tuple[str, ...]
    objects: ObjectPlan | None = None


def lay_out(prepared: Prepared, config: RunConfig, domain: StatisticsDomain | None = None) -> Layout:
    """Settle everything about a run but where it is written. Quick, but for statistics of tiles or of tissue.

    Raises BadRequest, BudgetTooSmall or DeviceUnavailable.
    """
    asked = domain or statistics_domain(prepared.source, config)
    device, told = place_for(prepared, config.execution.device)
    taken = prepared.with_local_statistics() if asked.name == LOCAL.name else prepared
    taken, settled = in_precision(taken, config.execution.precision, device)
    taken = taken.identified()
    roi, objects = config.part.roi, object_plan(taken)
    region = _region(prepared, objects, config.part.region)
    threads = PROCESSOR_THREADS if device.type == "cpu" else ACCELERATED_THREADS
    executor = make_executor(config.execution.scheduler, threads)
    forked = FORKED if lacks_threads() else ""
    settings = RunSettings(
        device,
        settled.precision,
        replace(asked, precision=settled.precision),
        config.memory,
        _scratch(config),
        executor.is_remote,
    )
    return Layout(
        taken,
        settings,
        taken.plan(settings),
        region,
        None if roi is None or asked.only is not None else roi_of(roi),
        executor,
        (*prepared.notices, *(notice for notice in (told, settled.notice, forked) if notice)),
        objects,
    )


def _region(prepared: Prepared, objects: ObjectPlan | None, asked: Region | None) -> Region:
    """What is asked for, in output pixels; of objects the cells of the pixels of their labels."""
    if objects is None:
        return output_region(prepared, asked)
    if asked is not None:
        check_region(prepared, asked)
    return objects.cells_of(objects.region_of(asked))


def _chunks(store: Store, layout: Layout) -> NDArray[np.bool_]:
    """The chunks of a result that a run is to have."""
    if layout.roi is not None:
        return layout.roi.chunks(layout.prepared, store.grid)
    asked = np.zeros(store.grid.counts, bool)
    asked[store.grid.covering(layout.region).slices()] = True
    return asked


def _scratch(config: RunConfig) -> Path | None:
    """Where activations on disk lie: where the user says, beside the output, or in a temporary folder."""
    output = config.output.output
    scratch = config.memory.scratch or (None if output is None else output.parent)
    return None if scratch is None else scratch.absolute()


def _preview(prepared: Prepared, roi: Roi | None, device: str, view: Region | None, stop: StopFlag) -> Run | None:
    """A run of the view with estimated moments; None where none can be had."""
    moments = prepared.estimated_moments(device, stop)
    if moments is None:
        return None
    config = RunConfig.of(roi=roi, tile=PREVIEW_TILE, device=device, scheduler="serial")
    seen = ViewOptions(view, whole=False, follow=True)
    return start_run(prepared, config, seen, StatisticsDomain(PREVIEW, moments))
