"""The table of objects beside the labels: a file for each chunk of candidates, of the objects that touch its pixels.

It is written before the labels of the chunk are, so that what has labels has its rows.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from zipfile import BadZipFile

import numpy as np

from napari_seamless.errors import BadRequest, InputDamaged
from napari_seamless.geometry import Cell, Grid, Region, cells_of
from napari_seamless.postprocess.object_table import ObjectTable, in_order
from napari_seamless.runs.asked_roi import KeepsFiles, asked_parts, place_of
from napari_seamless.runs.objects.facts import chunk_of
from napari_seamless.runs.origin import OBJECTS
from napari_seamless.runs.roi_parts import any_holds
from napari_seamless.store import Store


def name_of(chunk: Cell) -> str:
    return f"objects-{'-'.join(map(str, chunk))}.npz"


def keep_table(result: KeepsFiles, chunk: Cell, objects: ObjectTable) -> None:
    """Put the objects of a chunk beside a result. Raises OutputUnwritable."""
    written = io.BytesIO()
    np.savez_compressed(written, allow_pickle=False, **objects.columns)
    result.keep(name_of(chunk), written.getvalue())


def kept_table(result: KeepsFiles, chunk: Cell) -> ObjectTable | None:
    """The objects of a chunk by rising id; None where nobody has made them. Raises InputDamaged."""
    written = result.kept(name_of(chunk))
    if written is None:
        return None
    try:
        with np.load(io.BytesIO(written), allow_pickle=False) as columns:
            return ObjectTable.of({name: columns[name] for name in columns.files})
    except (BadZipFile, ValueError, KeyError, EOFError, OSError) as error:
        raise InputDamaged(
            f"the table of objects of a chunk must be as it was written; {name_of(chunk)} of the result is not: "
            f"{error}; remove that file, and run the same command again"
        ) from error


def object_tables(labels: Store, *, computed: bool = False) -> Iterator[ObjectTable]:
    """The objects of a result that are painted and were asked for, or all that were `computed`: chunk by chunk in
    raster order, those of each by rising id. So with little memory, of any size. Any thread.

    An object counts, whole, where its centroid lies inside of what was asked for. Raises InputDamaged, and BadRequest
    for a result of other labels.
    """
    require_objects(labels)
    said, shape, finished = labels.provenance[OBJECTS], labels.spec.shape, labels.finished
    chunks = Grid(shape, (said["chunk"] * said["grid"],) * len(shape))
    seen = np.zeros(0, np.int64)
    whole = np.zeros(chunks.counts, bool)
    for chunk in cells_of(Region.from_shape(chunks.counts)):
        whole[chunk] = finished[labels.grid.covering(chunks.region(chunk)).slices()].all()
    parts = () if computed else asked_parts(labels, place_of(labels.spec.provenance, len(shape)), shape)
    for chunk in cells_of(Region.from_shape(chunks.counts)):
        table = kept_table(labels, chunk) if whole[chunk] else None
        if table is None:
            continue
        # each has the chunk of its centre; where that is not painted, the first one that it touches
        home = chunk_of(table.id, labels.provenance, shape)
        is_stray = ~whole[home] & ~np.isin(table.id, seen)
        seen = np.append(seen, table.id[is_stray])
        table = table.take(((home[0] == chunk[0]) & (home[1] == chunk[1])) | is_stray)
        if parts:
            table = table.take(any_holds(parts, table.centroid))
        if len(table):
            yield in_order([table], len(shape))


def require_objects(labels: Store) -> None:
    """Raise BadRequest for labels that are no objects of a post-processing."""
    if OBJECTS not in labels.spec.provenance:
        raise BadRequest(
            f"only a model with post-processing makes objects; '{labels.spec.name}' was made by another; measure it to "
            "find connected ones"
        )
