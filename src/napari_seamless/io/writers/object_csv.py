"""Objects as CSV: a row each."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_seamless.io.writers.object_rows import ObjectFile, ObjectRows
from napari_seamless.io.writers.output_file import put_in_place
from napari_seamless.io.writers.table_cells import cell_of


@contextmanager
def csv_file(path: Path, file: ObjectFile, *, overwrite: bool = False) -> Iterator[Callable[[ObjectRows], None]]:  # noqa: ARG001
    """An `ObjectWriter`. UTF-8, a comma between columns; floats with 10 digits."""
    with put_in_place(path, overwrite=overwrite) as partial, partial.open("w", newline="", encoding="utf-8") as text:
        table = csv.writer(text)

        def write(rows: ObjectRows) -> None:
            if not text.tell():
                table.writerow(map(cell_of, rows.columns))
            columns = [column.tolist() for column in rows.columns.values()]
            table.writerows([cell_of(value) for value in row] for row in zip(*columns, strict=True))

        yield write
