"""A result as an OME-Zarr of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from napari_seamless.errors import BadRequest
from napari_seamless.io.writers.formats import OnProgress


class Copyable(Protocol):
    """A result that knows its own layout: a store. Safe to call from any thread, also while the run goes on."""

    def copy_to(self, path: str | Path, *, overwrite: bool = False, on_progress: OnProgress | None = None) -> Path: ...


def save_ome_zarr(
    result: Copyable,
    path: str | Path,
    *,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> Path:
    """Save a result, finished or not, as an OME-Zarr 0.5 at `path`; returns the path.

    Chunk by chunk, with the memory of one chunk; the path appears only when all is there. With `overwrite` an earlier
    result of this package may be replaced, and nothing else. `on_progress` gets (chunks done, chunks in all).

    Raises OutputExists, OutputUnwritable, and BadRequest for a path that no reader would take for an OME-Zarr.
    """
    path = Path(path)
    if path.suffix.lower() != ".zarr":
        raise BadRequest(f"an OME-Zarr has a name that ends in .zarr; got {path.name!r}; try {path.stem}.ome.zarr")
    return result.copy_to(path, overwrite=overwrite, on_progress=on_progress)
