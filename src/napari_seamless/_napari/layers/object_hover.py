"""What napari's status bar says of the object under the pointer: its own id, and what the table has on it. GUI thread.

napari looks up what a layer's features say of the value under the pointer, which is a colour key: the features are
always of the one object that is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from cachetools import LRUCache

from napari_seamless._napari.layers.axes import own_axes
from napari_seamless.errors import InputDamaged
from napari_seamless.geometry import Cell
from napari_seamless.runs.objects.facts import chunk_of
from napari_seamless.runs.objects.tables import kept_table

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_seamless._napari.layers.axes import Axes
    from napari_seamless.store import Store

TABLES = 16
"""Chunks of the table that stay in memory."""


class ObjectHover:
    """Of a layer that shows the labels of a result with colour keys. `axes` are those of the layer."""

    def __init__(self, layer: Labels, labels: Store, axes: Axes) -> None:
        self._labels, self._axes = labels, own_axes(axes, labels.info.ndim)
        self._said = 0
        self._tables: LRUCache[Cell, Any] = LRUCache(TABLES)
        before = layer.mouse_move_callbacks
        before[:] = [
            callback for callback in before if not isinstance(getattr(callback, "__self__", None), ObjectHover)
        ]
        layer.mouse_move_callbacks.append(self._moved)

    def _moved(self, layer: Labels, event: Any) -> None:
        found = layer.get_value(
            event.position, view_direction=event.view_direction, dims_displayed=event.dims_displayed, world=True
        )
        level, key = found if layer.multiscale and found is not None else (0, found)
        if not key:
            return
        point = np.asarray(layer.world_to_data(event.position)) / layer.downsample_factors[level]
        number = self._id_at(level, [int(np.round(point[axis])) for axis in self._axes])
        if number and number != self._said:
            facts = self._facts(number)
            self._said = number if len(facts) > 1 else 0  # there may be more to say when it is painted
            layer.features = {"index": [int(key)], **{name: [text] for name, text in facts.items()}}

    def _id_at(self, level: int, point: Sequence[int]) -> int:
        levels: Sequence[Any] = self._labels.levels
        inside = [min(max(at, 0), size - 1) for at, size in zip(point, levels[level].shape, strict=True)]
        return int(np.asarray(levels[level][tuple(slice(at, at + 1) for at in inside)]).item())

    def _facts(self, number: int) -> dict[str, str]:
        facts = {"id": str(number)}
        try:
            row = self._row_of(number)
        except InputDamaged as error:
            return {**facts, "table": str(error)}
        if row is None or not len(row):
            return facts
        facts |= {"area": f"{row.area[0]} px", "class": self._class_of(int(row.label[0]))}
        return facts | ({"score": f"{row.extra['score'][0]:.2f}"} if "score" in row.extra else {})

    def _row_of(self, number: int) -> Any | None:
        """The table's row of an object; None where it is not painted yet, or there is no table, as in a copy."""
        chunk = chunk_of(number, self._labels.provenance, self._labels.spec.shape)
        table = self._tables.get(chunk)
        if table is None:
            table = kept_table(self._labels, chunk)
            if table is None:
                return None
            self._tables[chunk] = table
        return table.take(table.id == number)

    def _class_of(self, value: int) -> str:
        names = {one.value: one.name for one in self._labels.classes}
        return names.get(value, str(value))
