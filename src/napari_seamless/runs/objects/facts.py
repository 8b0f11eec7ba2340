"""What a result of labels says of its objects, without anything that makes them. Quick to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from napari_seamless.postprocess.object_table import Ints
from napari_seamless.runs.origin import OBJECTS

Number = TypeVar("Number", int, Ints)


def has_objects(result: Any) -> bool:
    """Whether something is the result of a model with post-processing, by its provenance."""
    return OBJECTS in getattr(result, "provenance", {})


def id_columns(provenance: Mapping[str, Any], shape: Sequence[int]) -> int:
    """Ids count cells of an output from 1, in raster order, with so many in a row. `shape` is that of the labels."""
    return -(-int(shape[1]) // int(provenance[OBJECTS]["grid"]))


def chunk_of(ids: Number, provenance: Mapping[str, Any], shape: Sequence[int]) -> tuple[Number, Number]:
    """The chunk, along y and x, that has the centre of the object with this id, and its row in its table; an array of
    ids gives arrays."""
    y, x = divmod(ids - 1, id_columns(provenance, shape))
    chunk = int(provenance[OBJECTS]["chunk"])
    return y // chunk, x // chunk
