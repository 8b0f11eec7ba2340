"""Where a run keeps objects: a result of labels, and inside its folder the candidates that they were made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_seamless.io.slide_position import TO_SLIDE, on_slide
from napari_seamless.runs.objects.plan import LABEL_TYPE, ObjectPlan
from napari_seamless.runs.origin import OBJECTS
from napari_seamless.runs.prepared import Prepared
from napari_seamless.runs.provenance import pixel_size_of, translation_of
from napari_seamless.store import Store, StoreSpec, create_store, resume_or_create
from napari_seamless.store.candidate_store import CandidateStore
from napari_seamless.store.spec import CANDIDATES

LARGEST_CHUNK = 256
"""Of candidates, in cells: rings around a part are made of whole chunks. That of labels is at most `LARGEST_LABELS`."""
LARGEST_LABELS = 512


@dataclass(frozen=True)
class ObjectStores:
    """`candidates` is what a run's tiles are written to, `labels` what somebody sees; `told` a sentence about them, or
    ""."""

    candidates: CandidateStore
    labels: Store
    told: str = ""

    def close(self) -> None:
        """Both, also where one of them cannot be flushed. Raises OutputUnwritable."""
        place = self.labels.path
        try:
            self.candidates.close()
        finally:
            self.labels.close()
        if self.labels.path is not None and self.labels.path != place:
            self.candidates.moved(self.labels.path / CANDIDATES)

    def let_go(self) -> None:
        """Let others write them."""
        self.candidates.let_go()
        self.labels.let_go()


def object_specs(plan: ObjectPlan, prepared: Prepared, spec: StoreSpec) -> tuple[StoreSpec, StoreSpec]:
    """Of candidates and of labels; `spec` is what a result of the output would be."""
    chunk = min(spec.chunk, LARGEST_CHUNK)
    kept = replace(
        spec,
        channels=plan.step.channels,
        dtype=np.dtype(np.float16),
        kind="image",
        chunk=chunk,
        name=f"{spec.name} {CANDIDATES}",
        channel_names=(),
        classes=(),
        flat=True,
    )
    edge = chunk * plan.step.grid
    scale, offset = plan.place
    info = prepared.source.info
    place = {"scale": list(scale), "offset": list(offset)}
    said = {**plan.facts, "chunk": spec.shard or chunk}
    facts = {**spec.provenance, TO_SLIDE: place, **on_slide(info.on_slide, place), OBJECTS: said}
    labels = replace(
        spec,
        shape=plan.shape,
        channels=None,
        dtype=LABEL_TYPE,
        kind="labels",
        chunk=edge if edge <= LARGEST_LABELS else chunk,
        shard=None if spec.shard is None else spec.shard * plan.step.grid,
        channel_names=(),
        pixel_size=pixel_size_of(info, scale),
        translation=translation_of(info, offset),
        provenance=facts,
    )
    return kept, labels


def object_stores(
    plan: ObjectPlan,
    prepared: Prepared,
    spec: StoreSpec,
    path: Path | None,
    overwrite: bool = False,
    *,
    tile: int = 0,
    same_image: bool = False,
) -> ObjectStores:
    """New or continued, at a path or in memory (None). Raises OutputExists, OutputUnwritable."""
    kept, shown = object_specs(plan, prepared, spec)
    if path is None:
        in_memory = CandidateStore.of(create_store(None, kept), prepared.output_dtype)
        return ObjectStores(in_memory, create_store(None, shown))
    labels = resume_or_create(path, shown, overwrite, tile=tile * plan.step.grid, same_image=same_image)
    assert labels.path is not None
    try:
        candidates = resume_or_create(labels.path / CANDIDATES, kept, tile=tile, same_image=same_image)
    except BaseException:
        labels.let_go()
        raise
    told = _with_settings(labels, plan)
    return ObjectStores(CandidateStore.of(candidates, prepared.output_dtype), labels, told)


def _with_settings(labels: Store, plan: ObjectPlan) -> str:
    """Forget labels that were made with other settings than these, and say so; "" where there are none."""
    earlier, said = labels.provenance[OBJECTS], plan.facts
    other = {name: value for name, value in said.items() if earlier.get(name) != value}
    if not other:
        return ""
    is_begun = bool(labels.finished.any())
    labels.forget(labels.finished.copy())
    labels.report({OBJECTS: {**earlier, **said}})
    listed = ", ".join(f"{name} {value} instead of {earlier.get(name)}" for name, value in other.items())
    return f"objects are made again of what an earlier run kept, with {listed}" if is_begun else ""
