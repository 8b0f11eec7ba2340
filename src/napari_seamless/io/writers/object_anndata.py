"""Objects as AnnData: numbers by object and column, classes beside them, places in `obsm["spatial"]`."""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from napari_seamless.io.writers.object_rows import ObjectFile, ObjectRows
from napari_seamless.io.writers.output_file import put_in_place

NOT_MEASURED = ("id", "label")


@contextmanager
def anndata_file(path: Path, file: ObjectFile, *, overwrite: bool = False) -> Iterator[Callable[[ObjectRows], None]]:
    """An `ObjectWriter` of .h5ad files. The format is written at once: rows are kept until the end."""
    with put_in_place(path, overwrite=overwrite) as partial:
        kept: list[ObjectRows] = []
        yield kept.append
        annotated_table(kept, file).write_h5ad(partial)


def joined_columns(some: list[ObjectRows]) -> dict[str, np.ndarray[Any, Any]]:
    """Columns of all rows."""
    return {name: np.concatenate([rows.columns[name] for rows in some]) for name in some[0].columns}


def annotated_table(some: list[ObjectRows], file: ObjectFile, region: str = "") -> Any:
    """An AnnData of all rows: `obs` has ids and texts, `X` (float64) the numbers, and `obsm["spatial"]` x and y in
    level-0 pixels of the slide. `region` is the SpatialData element that its rows are about."""
    import anndata
    import pandas as pd

    columns = joined_columns(some)
    names = [n for n, c in columns.items() if c.dtype.kind in "biuf" and n not in NOT_MEASURED]
    texts = {n: pd.Categorical(c) for n, c in columns.items() if n not in names and n != "id"}
    index = columns["id"].astype(str)
    obs = pd.DataFrame({"id": columns["id"], **texts}, index=index)
    if region:
        obs["region"] = pd.Categorical([region] * len(obs), categories=[region])
    values = np.stack([columns[name].astype(np.float64) for name in names], axis=1)
    places = [columns[f"slide_{axis}" if f"slide_{axis}" in columns else axis] for axis in "xy"]
    return anndata.AnnData(
        X=values,
        obs=obs,
        var=pd.DataFrame(index=names),
        obsm={"spatial": np.stack(places, axis=1)},
        uns={"napari-seamless": json.dumps(dict(file.provenance))},
    )
