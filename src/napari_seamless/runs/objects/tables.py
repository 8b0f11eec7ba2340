"""The table of objects beside the labels: a file for each chunk of candidates, of the objects with a centre there.

It is written before the labels of the chunk are, so that what has labels has its rows.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from zipfile import BadZipFile

import numpy as np

from napari_seamless.errors import InputDamaged
from napari_seamless.geometry import Cell
from napari_seamless.postprocess.object_table import ObjectTable
from napari_seamless.runs.asked_roi import KeepsFiles


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


def kept_tables(result: KeepsFiles, chunks: Iterator[Cell]) -> Iterator[ObjectTable]:
    """Those of several chunks that have any object."""
    for chunk in chunks:
        table = kept_table(result, chunk)
        if table is not None and len(table):
            yield table
