"""The objects of a result: its table as it is kept, or made again with other settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.postprocess.object_table import ObjectTable, in_order, inside
from napari_seamless.postprocess.step import CandidateStep
from napari_seamless.postprocess.steps import STEPS
from napari_seamless.runs.asked_roi import asked_parts, place_of
from napari_seamless.runs.objects.again import RegionObjects, changed, settled_again
from napari_seamless.runs.objects.plan import ObjectPlan
from napari_seamless.runs.objects.tables import object_tables, require_objects
from napari_seamless.runs.origin import OBJECTS
from napari_seamless.runs.result_at import result_at
from napari_seamless.runs.roi_parts import any_holds, hull
from napari_seamless.store import Store, open_store
from napari_seamless.store.spec import CANDIDATES

if TYPE_CHECKING:
    from napari_seamless.runs.result import Result


class ResultObjects:
    """Objects of a result, of which `labels` is the image, and `candidates` what they were made of. Any thread."""

    def __init__(self, labels: Store, candidates: Store) -> None:
        self.labels, self.candidates = labels, candidates
        self.plan = _plan_of(labels)

    @classmethod
    def at(cls, what: Result | Store | str | Path) -> ResultObjects:
        """Of a result that a run gave, that was opened, or that lies at a path. Raises BadRequest where it has none,
        and as `open_store` does."""
        labels = labels_of(what)
        require_objects(labels)
        kept = None if isinstance(what, Store | str | Path) else what.candidates
        if kept is None:
            if labels.path is None or not (labels.path / CANDIDATES).exists():
                raise BadRequest(
                    f"objects are read with what they were made of; '{labels.spec.name}' has no folder {CANDIDATES}, "
                    "as a copy has none; open the result of the run"
                )
            kept = open_store(labels.path / CANDIDATES, repairs=False)
        return cls(labels, kept)

    def again(
        self,
        region: Region | None = None,
        *,
        probability: float | None = None,
        overlap: float | None = None,
        min_area: float = 0,
        rings: int | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> RegionObjects:
        """As they are with other settings, in a region of labels (None: all); the network is not run. About 0.1 s a
        megapixel. `rings` as in `settled_again`. Raises BadRequest, RunCancelled."""
        kept = self.plan.step.kept.above
        plan = changed(self.plan, kept, probability, overlap)
        whole = Region.from_shape(self.plan.shape)
        if region is not None and (region.ndim != whole.ndim or region.is_empty or not whole.contains(region)):
            raise BadRequest(
                f"a region must lie inside the image and hold a pixel; the image is {whole!r}, got {region!r}"
            )
        return settled_again(
            plan, self.candidates, region or whole, min_area=min_area, rings=rings, cancelled=cancelled
        )


def objects_of(
    what: Result | Store | str | Path,
    *,
    region: Region | None = None,
    probability: float | None = None,
    overlap: float | None = None,
    min_area: float = 0,
) -> ObjectTable:
    """The objects of a result, by rising id, in pixels of its labels.

    `what` is a Result, an opened result or its path. With another `probability` or `overlap` they are made again of
    what was kept of the network's output, which is not run; the result stays as it is. Those smaller than `min_area`
    pixels, or with a centroid outside of `region` (pixels of the labels), are left out; without a `region` those
    outside of what was asked of its runs. Any thread.

    Raises BadRequest, InputDamaged, and what opening raises.
    """
    if probability is not None or overlap is not None:
        found = ResultObjects.at(what)
        asked = () if region is not None else asked_parts(found.labels, found.plan.place, found.plan.shape)
        within = hull(asked) if asked else region
        table = found.again(within, probability=probability, overlap=overlap, min_area=min_area).table
        return table.take(any_holds(asked, table.centroid)) if asked else table
    table = in_order(list(object_tables(labels_of(what))), 2)
    kept = table.area >= min_area
    if region is not None:
        kept &= inside(table, region)
    return table.take(np.asarray(kept))


def labels_of(what: Result | Store | str | Path) -> Store:
    """The labels of a result. Raises what opening raises."""
    if isinstance(what, str | Path):
        return result_at(what)[0]
    return what if isinstance(what, Store) else what.store


def _plan_of(labels: Store) -> ObjectPlan:
    settings: dict[str, Any] = dict(labels.provenance[OBJECTS])
    method, _ = settings.pop("method"), settings.pop("chunk")
    make = {kind.name: kind.make for kind in STEPS}[method]
    step = make(**settings)
    assert isinstance(step, CandidateStep)
    return ObjectPlan(step, labels.spec.shape, place_of(labels.spec.provenance, len(labels.spec.shape)))
