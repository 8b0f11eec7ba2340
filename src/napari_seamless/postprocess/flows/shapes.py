"""From the pixels of objects to a table, and to what is painted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region
from napari_seamless.postprocess.flows.measured import ShapeColumns, ShapeSums
from napari_seamless.postprocess.flows.particles import Particles
from napari_seamless.postprocess.flows.settings import FlowSettings
from napari_seamless.postprocess.object_table import Ints, ObjectTable
from napari_seamless.postprocess.step import Domain


@dataclass(frozen=True, eq=False)
class FlowShapes:
    """Objects: their `table`; `own_at` (n, 2) and `own` are pixels and the ids of those that have them, in raster order
    one object after the other; `hole_at` and `hole` are the pixels of their holes, also where another has them."""

    table: ObjectTable
    own_at: Ints
    own: Ints
    hole_at: Ints
    hole: Ints


def shapes_of(settings: FlowSettings, domain: Domain, particles: Particles, peak: Ints) -> FlowShapes:
    """The objects that are kept of all pixels of some; `peak` says to which each belongs."""
    from napari_seamless.postprocess.flows import kernels

    order = np.lexsort((particles.start[:, 1], particles.start[:, 0], peak))
    rows, owners = particles.take(order), peak[order]
    keys, begins = np.unique(owners, return_index=True)
    sums = ShapeSums.zeros(len(keys), settings.classes)
    columns = ShapeColumns(rows.start, rows.place, rows.logit, rows.kind, rows.cut, rows.step)
    error = np.inf if settings.flow_error is None else settings.flow_error
    limit = settings.reach - settings.leap
    gather = np.zeros((256, 3), np.int64)
    holes = kernels.measure(columns, np.append(begins, len(rows)), settings.smallest, error, limit, sums, gather)
    own = np.repeat(sums.kept, np.diff(np.append(begins, len(rows))))
    table = _table(settings, domain, keys, sums)
    return FlowShapes(table, rows.start[own], owners[own] + 1, holes[:, :2], keys[holes[:, 2]] + 1)


def _table(settings: FlowSettings, domain: Domain, keys: Ints, sums: ShapeSums) -> ObjectTable:
    low, high = sums.low, sums.high
    region = domain.region
    extra: dict[str, NDArray[Any]] = {
        "score": sums.score,
        "center": np.stack(np.divmod(keys, domain.shape[1]), 1),
        "at_edge": ((low == region.start) | (high == region.stop)).any(axis=1),
        "limited": sums.limited,
        "cut": sums.cut,
    }
    if settings.flow_error is not None:
        extra["flow_error"] = sums.error
    centroid = sums.total / np.maximum(sums.area, 1)[:, None]
    label = sums.kinds.argmax(axis=1) + 1
    return ObjectTable(keys + 1, label, sums.area, centroid, low, high, extra).take(sums.kept)


def runs_of(at: Ints, ids: Ints, tile: Region) -> Ints:
    """Pixels of a tile as runs (n, 3): from and to, as indices of the flattened tile, and the id."""
    flat = (at[:, 0] - tile.start[0]) * tile.shape[1] + at[:, 1] - tile.start[1]
    is_first = np.ones(len(flat), bool)
    is_first[1:] = (np.diff(flat) != 1) | (np.diff(ids) != 0)
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(flat))[: len(first)] - 1
    return np.stack([flat[first], flat[last] + 1, ids[first]], 1)


def painted(own: Ints, holes: Ints, tile: Region) -> Ints:
    """Labels of a tile from runs. A pixel that no object has, in a hole of several, belongs to the lowest id."""
    labels = np.zeros(tile.size, np.int64)
    for runs in (holes[np.argsort(-holes[:, 2], kind="stable")], own):
        for first, last, number in runs.tolist():
            labels[first:last] = number
    return labels.reshape(tile.shape)
