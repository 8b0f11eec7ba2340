"""What a result of labels says of its objects, without anything that makes them. Quick to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_seamless.geometry import Cell
from napari_seamless.runs.origin import OBJECTS


def has_objects(result: Any) -> bool:
    """Whether something is the result of a model with post-processing, by its provenance."""
    return OBJECTS in getattr(result, "provenance", {})


def id_columns(provenance: Mapping[str, Any], shape: Sequence[int]) -> int:
    """Ids count cells of an output from 1, in raster order, with so many in a row. `shape` is that of the labels."""
    return -(-int(shape[1]) // int(provenance[OBJECTS]["grid"]))


def chunk_of(number: int, provenance: Mapping[str, Any], shape: Sequence[int]) -> Cell:
    """The chunk in whose table the object with this id is."""
    cell = divmod(number - 1, id_columns(provenance, shape))
    return tuple(at // int(provenance[OBJECTS]["chunk"]) for at in cell)
