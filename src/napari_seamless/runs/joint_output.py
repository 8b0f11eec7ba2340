"""Where a run writes that makes several outputs of a network: an image for each, in one folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from napari_seamless.runs.prepared import Prepared
from napari_seamless.runtime.engine.dtypes import stored_dtype
from napari_seamless.store import JointStore, StoreSpec, create_store, resume_or_create_images
from napari_seamless.store.joint_store import ChannelSpan


def joint_store(
    prepared: Prepared,
    spec: StoreSpec,
    path: Path | None,
    overwrite: bool = False,
    *,
    tile: int = 0,
    same_image: bool = False,
) -> JointStore:
    """A store for each of the outputs, new or continued, behind one; `spec` is what they have in common.

    Raises OutputExists.
    """
    specs: dict[str, StoreSpec] = {}
    spans: list[ChannelSpan] = []
    for part in prepared.model.parts:
        lo = spans[-1].hi if spans else 0
        spans.append(ChannelSpan(lo, lo + part.width, stored_dtype(getattr(torch, part.dtype))))
        specs[part.name] = replace(
            spec,
            channels=part.channels,
            dtype=spans[-1].dtype,
            kind=part.kind,
            name=f"{spec.name} {part.name}",
            provenance={**spec.provenance, "network_output": part.name},
        )
    if path is None:
        return JointStore.over({n: create_store(None, s) for n, s in specs.items()}, spans, prepared.output_dtype)
    images, folder = resume_or_create_images(path, specs, overwrite, tile=tile, same_image=same_image)
    return JointStore.over(images, spans, prepared.output_dtype, folder)
