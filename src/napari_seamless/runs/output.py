"""Where a run writes, and what it writes down about itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from napari_seamless.errors import BadRequest
from napari_seamless.fingerprints import OnDisk
from napari_seamless.geometry import Region
from napari_seamless.interfaces import LabelClass
from napari_seamless.runs.config import RunConfig
from napari_seamless.runs.joint_output import joint_store
from napari_seamless.runs.objects.plan import ObjectPlan
from napari_seamless.runs.objects.stores import ObjectStores, object_specs, object_stores
from napari_seamless.runs.prepared import Prepared
from napari_seamless.runs.provenance import origins, pixel_size_of, to_slide, translation_of
from napari_seamless.runs.statistics import PREVIEW, WHOLE, StatisticsDomain
from napari_seamless.runtime.executor.executors import is_cluster
from napari_seamless.runtime.planning import chunk_of, readable
from napari_seamless.store import Store, StoreSpec, create_store, resume_or_create
from napari_seamless.store.output_path import require_apart

LARGEST_IN_MEMORY = 0.25
PLACES = ("output", "overwrite", "scratch", "scheduler")
"""Options that say where a run was computed: a result is the same without, and may be sent to somebody else."""


def store_for(
    prepared: Prepared, wanted: Region, tile: int, config: RunConfig, domain: StatisticsDomain = WHOLE
) -> Store:
    """The store of a run: a folder, or memory for a part of what is free. Raises BadRequest, OutputExists."""
    spec, output = store_spec(prepared, tile, config, domain), config.output
    path = _checked_place(prepared, wanted, spec.pixel_bytes, config, domain)
    if path is None:
        return joint_store(prepared, spec, None) if prepared.model.parts else create_store(None, spec)
    if prepared.model.parts:
        return joint_store(prepared, spec, path, output.overwrite, tile=tile, same_image=output.same_image)
    return resume_or_create(path, spec, output.overwrite, tile=tile, same_image=output.same_image)


def object_stores_for(
    plan: ObjectPlan,
    prepared: Prepared,
    wanted: Region,
    tile: int,
    config: RunConfig,
    domain: StatisticsDomain = WHOLE,
) -> ObjectStores:
    """As `store_for`, of objects and what they are made of."""
    spec, output = store_spec(prepared, tile, config, domain), config.output
    sizes = [
        kept.pixel_bytes * per
        for kept, per in zip(object_specs(plan, prepared, spec), (1, plan.step.grid**2), strict=True)
    ]
    path = _checked_place(prepared, wanted, sum(sizes), config, domain)
    return object_stores(plan, prepared, spec, path, output.overwrite, tile=tile, same_image=output.same_image)


def _checked_place(
    prepared: Prepared, wanted: Region, pixel_bytes: int, config: RunConfig, domain: StatisticsDomain
) -> Path | None:
    """The folder of a result; None for one in memory."""
    output = config.output.output
    if output is not None:
        source = prepared.source
        require_apart(output, source.paths if isinstance(source, OnDisk) else ())
        return output.absolute()  # the working folder may be another one later
    if is_cluster(config.execution.scheduler):
        raise BadRequest(
            "a cluster needs a result that every worker can write to; got no output; give output=PATH (--output)"
        )
    size, spare = wanted.size * pixel_bytes, int(psutil.virtual_memory().available * LARGEST_IN_MEMORY)
    if size > spare and domain.name != PREVIEW:  # of a preview only what is looked at is made
        raise BadRequest(
            f"a result in memory may take a quarter of what is free, {readable(spare)}; this one takes "
            f"{readable(size)}; give an output folder or a smaller region"
        )
    return None


def store_spec(prepared: Prepared, tile: int, config: RunConfig, domain: StatisticsDomain = WHOLE) -> StoreSpec:
    """What the result is, before any pixel of it exists; where it is made into objects, what they are made of."""
    model, info = prepared.model, prepared.source.info
    is_labels = model.kind == "labels" and model.postprocess is None
    place = to_slide(prepared)
    return StoreSpec(
        shape=prepared.output_shape,
        channels=None if is_labels else prepared.output_channels,
        dtype=prepared.output_dtype,
        kind="labels" if is_labels else "image",
        chunk=chunk_of(tile),
        shard=tile if config.output.shards else None,
        classes=tuple(LabelClass(c.value, c.name, c.colour) for c in model.classes),
        channel_names=model.channel_names if not is_labels else (),
        name=model.name,
        exact=prepared.exact,
        pixel_size=pixel_size_of(info, place["scale"]),
        translation=translation_of(info, place["offset"]),
        unit=info.unit,
        source_identity=prepared.source_identity,
        program_hash=prepared.program_hash,
        settings=domain.identity,
        provenance=_provenance(prepared, config, domain),
    )


def _provenance(prepared: Prepared, config: RunConfig, domain: StatisticsDomain) -> Mapping[str, Any]:
    return {
        **origins(prepared),
        "precision": domain.precision,
        "scope": "rounded" if domain.is_rounded else "exact",
        **({"kept": "float16"} if domain.half else {}),
        "statistics": domain.name,
        **prepared.facts,
        "options": {name: value for name, value in config.to_dict(brief=True).items() if name not in PLACES},
    }
