"""What a run is put together from."""

from __future__ import annotations

from dataclasses import dataclass

from napari_seamless.geometry import Region
from napari_seamless.runs.asked_roi import Asked
from napari_seamless.runs.objects.stream import ObjectStream
from napari_seamless.runs.prepared import Comparison, Passes, Prepared
from napari_seamless.runs.roi import Roi
from napari_seamless.runs.statistics import StatisticsDomain
from napari_seamless.runtime.planning import TileChoice
from napari_seamless.store import Store


@dataclass(frozen=True)
class ViewOptions:
    """How a run follows a window: what is on screen (output pixels), whether all of the rest is made, whether it stays
    alive when that is done, and whether a preview of the view comes first."""

    view: Region | None = None
    whole: bool = True
    follow: bool = False
    preview: bool = False


@dataclass(frozen=True)
class RunParts:
    """What a run is put together from. `region` is what was asked for, in output pixels; `asked` says it for the result
    to keep. Where `objects` are made of the output, `store` has their candidates."""

    prepared: Prepared
    passes: Passes
    store: Store
    region: Region
    choice: TileChoice
    domain: StatisticsDomain
    roi: Roi | None = None
    asked: tuple[Asked, ...] = ()
    comparison: Comparison | None = None
    objects: ObjectStream | None = None
    notices: tuple[str, ...] = ()
