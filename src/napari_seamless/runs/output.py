"""Where a run writes, and what it writes down about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from napari_seamless.errors import BadRequest, InputDamaged
from napari_seamless.geometry import Region
from napari_seamless.interfaces import APPROXIMATE, LabelClass
from napari_seamless.program.ops.barrier import State
from napari_seamless.program.passes import count_passes
from napari_seamless.runs.moments import MOMENTS, Moments
from napari_seamless.runs.prepare import Prepared
from napari_seamless.runs.provenance import origins, to_slide
from napari_seamless.runs.statistics import PREVIEW, WHOLE, StatisticsDomain
from napari_seamless.runtime.executor.executors import is_cluster
from napari_seamless.runtime.planning import chunk_of, readable
from napari_seamless.store import Store, StoreSpec, create_store, resume_or_create
from napari_seamless.store.arrays import disk_errors

LARGEST_IN_MEMORY = 0.25


def store_for(
    prepared: Prepared,
    wanted: Region,
    tile: int,
    output: str | Path | None,
    overwrite: bool,
    scheduler: Any,
    scope: StatisticsDomain = WHOLE,
    shards: bool = False,
    same_image: bool = False,
) -> Store:
    """The store of a run: a folder, or memory for a part of what is free. Raises BadRequest, OutputExists."""
    spec = store_spec(prepared, tile, scope, shards)
    if output is not None:
        return resume_or_create(output, spec, overwrite, tile=tile, same_image=same_image)
    if is_cluster(scheduler):
        raise BadRequest(
            "a cluster needs a result that every worker can write to; got no output; give output=PATH (--output)"
        )
    size, spare = wanted.size * spec.pixel_bytes, int(psutil.virtual_memory().available * LARGEST_IN_MEMORY)
    if size > spare and scope.name != PREVIEW:  # of a preview only what is looked at is made
        raise BadRequest(
            f"a result in memory may take a quarter of what is free, {readable(spare)}; this one takes "
            f"{readable(size)}; give an output folder or a smaller region"
        )
    return create_store(None, spec)


def store_spec(prepared: Prepared, tile: int, scope: StatisticsDomain = WHOLE, shards: bool = False) -> StoreSpec:
    """What the result is, before any pixel of it exists."""
    model, info = prepared.model, prepared.source.info
    is_labels = model.kind == "labels"
    place = to_slide(prepared)
    return StoreSpec(
        shape=prepared.output_shape,
        channels=None if is_labels else prepared.output_channels,
        dtype=prepared.output_dtype,
        kind=model.kind,
        chunk=chunk_of(tile),
        shard=tile if shards else None,
        classes=tuple(LabelClass(c.value, c.name, c.colour) for c in model.classes),
        channel_names=model.channel_names if not is_labels else (),
        name=model.name + (APPROXIMATE if prepared.approximation is not None else ""),
        pixel_size=_scaled(info.pixel_size, place["scale"]),
        translation=_scaled(info.pixel_size, place["offset"]),
        unit=info.unit,
        source_identity=prepared.source_identity,
        program_hash=prepared.program_hash + scope.mark,
        provenance=_provenance(prepared, scope),
    )


def _scaled(step: tuple[float, ...] | None, numbers: Sequence[float]) -> tuple[float, ...] | None:
    return None if step is None else tuple(s * n for s, n in zip(step, numbers, strict=True))


def _provenance(prepared: Prepared, scope: StatisticsDomain) -> Mapping[str, Any]:
    return {
        **origins(prepared),
        "divisor": prepared.program.divisor,
        "precision": scope.precision,
        "scope": "rounded" if scope.is_rounded else "exact",
        **({"kept": "float16"} if scope.half else {}),
        "passes": count_passes(prepared.program),
        "statistics": scope.name,
        **(prepared.approximation.facts if prepared.approximation is not None else {}),
    }


def facts_of(prepared: Prepared, scope: StatisticsDomain) -> dict[str, Any]:
    """Where moments come from."""
    return {
        "model": prepared.model.name,
        "image": prepared.source.info.name,
        "source": prepared.source_identity,
        "program": prepared.program_hash,
        "network": prepared.network_hash,
        "statistics": scope.name,
        **({"kept": "float16"} if scope.half else {}),
        **({"precision": scope.precision} if scope.precision != "float32" else {}),
    }


def save_measured(store: Store, prepared: Prepared, scope: StatisticsDomain, states: dict[int, State]) -> None:
    """Put the moments measured so far beside a result on disk, for a run that is cut off, and for later regions."""
    if store.side_folder is not None:
        moments = Moments.of(prepared.program, states, facts_of(prepared, scope))
        with disk_errors(store.side_folder):
            moments.save(store.side_folder / MOMENTS)


def measured_before(store: Store, prepared: Prepared, scope: StatisticsDomain) -> dict[int, State]:
    """The states that an earlier run on the same result measured; none, if it did not get so far."""
    if store.side_folder is None or not (store.side_folder / MOMENTS).exists():
        return {}
    try:
        found = Moments.load(store.side_folder / MOMENTS)
    except InputDamaged:  # then it is measured again
        return {}
    return found.given(prepared, partly=True) if dict(found.facts) == facts_of(prepared, scope) else {}
