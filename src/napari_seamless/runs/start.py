"""A prepared network is cut into tiles and run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from napari_seamless.errors import BadRequest, RunCancelled, SeamlessError
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Progress, StopFlag
from napari_seamless.io.readers import open_image
from napari_seamless.runs.blended_passes import BlendedPasses, locally
from napari_seamless.runs.compare_to_whole import WholeComparison
from napari_seamless.runs.exact_passes import ExactPasses, Keep, plan_activations
from napari_seamless.runs.output import measured_before, save_measured, store_for
from napari_seamless.runs.pixel_size import PixelSize
from napari_seamless.runs.precision import checked_precision, in_precision, place_for
from napari_seamless.runs.prepare import AnyModel, Prepared, prepare
from napari_seamless.runs.preview import estimated_moments
from napari_seamless.runs.result import Result
from napari_seamless.runs.roi import AnyRoi, Roi, output_region, roi_of
from napari_seamless.runs.run import Run
from napari_seamless.runs.statistics import LOCAL, PREVIEW, Statistics, StatisticsDomain, statistics_domain
from napari_seamless.runs.tiling import choice_for, parse_budget
from napari_seamless.runtime.engine import TorchEngine, resolve_device
from napari_seamless.runtime.executor.executors import make_executor

PROCESSOR_THREADS, ACCELERATED_THREADS = 2, 3
"""While one tile is computed the next is read, so that the device waits neither for a disk nor for a network; an
accelerator also leaves the processor time to write the one before."""

PREVIEW_TILE = 256


def start(
    prepared: Prepared,
    *,
    region: Region | None = None,
    where: AnyRoi | None = None,
    view: Region | None = None,
    whole: bool = True,
    follow: bool = False,
    budget: int | None = None,
    tile: int | None = None,
    device: str = "auto",
    scheduler: Any = "dask",
    output: str | Path | None = None,
    overwrite: bool = False,
    statistics: Statistics = "whole",
    mask: ArrayLike | None = None,
    tissue_only: bool = False,
    keep: Keep = "auto",
    keep_half: bool = False,
    scratch: str | Path | None = None,
    shards: bool = False,
    same_image: bool = False,
    preview: bool = False,
    compare_to_whole: bool = False,
    precision: str = "float32",
) -> Run:
    """Start a run and return at once.

    `region` is in level-0 pixels of the image (default: all); `view` in output pixels: what is on screen, made first.
    `where` says more closely which part of it: a GeoJSON file, a list of polygons, each an (n, 2) array of (y, x), both
    in level-0 pixels along the edges of pixels, or a bool mask (y, x) over the whole image at any resolution. Chunks of
    the result that it touches are made, with the pixels of a run over everything; the report says what share is not. A
    later run on the same output may name another place, and adds to it.
    Without `whole` only the view and its surroundings are made. With `follow` the run stays alive when all that is
    asked for is done, and goes on when it is retargeted. `budget` is in bytes of device memory; `tile` overrides the
    tile edge that follows from it. `scheduler` is "dask", "serial", a dask address, a distributed.Client
    or an Executor, which the run closes. `output` is the OME-Zarr folder to write; the same run on the same folder
    continues it. Without one the result is in memory.
    With `shards` the chunks of a tile share a file, so that a large result has a hundredth of the files.
    With `same_image` a result is continued although the image is another file than before: repaired, or copied again.

    Norms and pools over the plane take their `statistics` over the "whole" image, whatever the region (exact), over
    "tissue" (where `mask` is true: (y, x), the whole image at any resolution; by colour without one), as given by
    Moments or a file of them, or over each input tile alone ("local", as other tools do: approximate). They are
    measured in passes of their own; `keep` says what lies between two passes: "auto" what is quickest, "recompute"
    nothing, or the cheapest cut of activations on the "device", the "host" or the "disk" (in the folder `scratch`, by
    default that of the output). `keep_half` rounds what lies there to float16, which is not exact: the self-check says
    how far it is off.

    With `tissue_only` chunks outside the tissue are left empty; the report says what share of the region they are.

    `compare_to_whole` says in the report how far other statistics, or rounding, led from the exact result with those of
    the whole image, which takes the passes that measure them.

    With `preview` the view is first made with moments estimated from a sample of the image, as a run of its own, in
    memory: `Run.preview`, there after a second or two, which follows the view until the passes that measure are over.

    `precision` is "float32" (exact), or fewer digits: "tf32" (CUDA), "bfloat16" or "float16" for convolutions, matrix
    products and what lies between them. The result is marked as rounded, and the self-check says how far it is from
    float32. What the device cannot do is done in float32; `Run.notices` says so.

    Raises BadRequest, BudgetTooSmall, DeviceUnavailable, OutputExists or OutputUnwritable.
    """
    scope = statistics_domain(prepared.source, statistics, mask, tissue_only)
    place, told = place_for(prepared, device)
    exact, prepared = prepared, locally(prepared) if scope.name == LOCAL.name else prepared
    full = prepared
    prepared, settled = in_precision(prepared, precision, place)
    scope, device = replace(scope, precision=settled.precision), str(place)
    notices = tuple(notice for notice in (told, settled.notice) if notice)
    area = None if where is None else roi_of(where)
    wanted = output_region(prepared, region)
    executor = make_executor(scheduler, PROCESSOR_THREADS if place.type == "cpu" else ACCELERATED_THREADS)
    made = wanted if area is None else area.box(prepared, wanted)
    if prepared.approximation is not None:
        if scope.moments is not None:
            raise BadRequest(
                "statistics are given to networks that are computed exactly; this one is not; leave them out"
            )
        engine = prepared.approximation.engine(device, budget, settled.precision)
        choice = choice_for(prepared, engine, budget, tile)
        store = store_for(prepared, made, choice.tile, output, overwrite, scheduler, scope, shards, same_image)
        compare = (
            WholeComparison(exact, place, choice, budget) if compare_to_whole and scope.name == LOCAL.name else None
        )
        blended = Run(prepared, BlendedPasses(prepared, engine), store, wanted, choice, scope, compare, area, notices)
        blended.begin(executor, view, whole, follow)
        return blended
    folder = Path(scratch) if scratch is not None else Path(output).parent if output is not None else None
    frozen = {} if scope.moments is None else scope.moments.given(prepared)
    plan = partial(
        plan_activations,
        prepared,
        place,
        keep=keep,
        budget=budget,
        half=keep_half,
        scratch=folder,
        is_remote=executor.is_remote,
    )
    keeping = plan(given=frozen)
    if keep_half and prepared.program is not prepared.last_pass:
        scope = replace(scope, half=True)
    spared = None if budget is None else max(budget - keeping.most.get("device", 0), 1)
    choice = choice_for(prepared, TorchEngine(prepared.last_pass, device), spared, tile)
    store = store_for(prepared, made, choice.tile, output, overwrite, scheduler, scope, shards, same_image)
    states = frozen or measured_before(store, prepared, scope)
    measuring = ExactPasses(
        prepared,
        place,
        plan(given=states) if states != frozen else keeping,
        choice.tile,
        choice.depth,
        keep_half,
        scope.mask,
        folder,
        states,
        partial(save_measured, store, prepared, scope),
        choice.budget,
        full if prepared is not full else None,
        settled.precision == "tf32",
    )
    differs = scope.name != "whole" or scope.is_rounded
    compare = WholeComparison(full, place, choice, budget, folder) if compare_to_whole and differs else None
    run = Run(prepared, measuring, store, wanted, choice, scope, compare, area, notices)
    first = partial(_first_look, full, PREVIEW_TILE, device, area) if preview else None
    run.begin(executor, view, whole, follow, first)
    return run


def _first_look(
    prepared: Prepared, tile: int, device: str, area: Roi | None, view: Region | None, stop: StopFlag
) -> Run | None:
    """A run of the view with estimated moments; None where none can be had."""
    moments = estimated_moments(prepared, device, stop)
    if moments is None:
        return None
    statistics = StatisticsDomain(PREVIEW, moments)
    return start(
        prepared,
        where=area,
        view=view,
        whole=False,
        follow=True,
        tile=tile,
        device=device,
        scheduler="serial",
        statistics=statistics,
    )


def run(
    model: AnyModel,
    image: Any,
    *,
    region: Region | None = None,
    where: AnyRoi | None = None,
    level: int = 0,
    budget: int | str | None = None,
    tile: int | None = None,
    device: str = "auto",
    scheduler: Any = "dask",
    output: str | Path | None = None,
    overwrite: bool = False,
    axes: str | None = None,
    plane: Mapping[str, int] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    statistics: Statistics = "whole",
    mask: ArrayLike | None = None,
    tissue_only: bool = False,
    keep: Keep = "auto",
    keep_half: bool = False,
    scratch: str | Path | None = None,
    shards: bool = False,
    same_image: bool = False,
    compare_to_whole: bool = False,
    approximate: bool = False,
    pixel_size: PixelSize | None = None,
    precision: str = "float32",
) -> Result:
    """Run a model on an image, or on a `region` of it (level-0 pixels), and wait for the result.

    `model` is a name, a file of weights, a `torch.nn.Module` or a Model; `image` a path, an array or anything else that
    `open_image` takes, with `axes` and `plane` as there. With `approximate` a network that cannot be computed exactly
    is run on overlapping, blended tiles, and the result is marked so. `pixel_size` (um per pixel) is for models that
    work at a resolution of their own, where the image does not say it. The other parameters are those of `start`.
    `on_progress` is called in this thread about twice a second. KeyboardInterrupt cancels the run and keeps what is
    finished.
    """
    resolve_device(device)
    checked_precision(precision)
    source = open_image(image, axes=axes, plane=plane)
    prepared = prepare(model, source, level=level, approximate=approximate, pixel_size=pixel_size)
    size = parse_budget(budget) if isinstance(budget, str) else budget
    handle = start(
        prepared,
        region=region,
        where=where,
        budget=size,
        tile=tile,
        device=device,
        scheduler=scheduler,
        output=output,
        overwrite=overwrite,
        statistics=statistics,
        mask=mask,
        tissue_only=tissue_only,
        keep=keep,
        keep_half=keep_half,
        scratch=scratch,
        shards=shards,
        same_image=same_image,
        compare_to_whole=compare_to_whole,
        precision=precision,
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
    failed = handle.progress().failed
    if failed:
        warnings.warn(
            f"the image could not be read everywhere; {failed} pixels of the result were left out, and are 0 "
            "(result.report.failed says where); repair the file and run it again with same_image=True to fill them",
            stacklevel=2,
        )
    return handle.result()
