"""The files that results are saved as, in the order in which to offer them. One line each; nothing heavy is loaded.

A new format is a module `x` of this folder with a function `save_x`, and a line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from napari_seamless.errors import BadRequest

OnProgress = Callable[[int, int], None]
"""Gets how much is done, of how much; what it raises ends the export and leaves nothing behind."""

Kind = Literal["labels", "image"]


class Writer(Protocol):
    """Save a result, finished or not, at a path; returns the path.

    `result` is a store, as `Exportable` describes it. `on_progress` gets (done, in all) in this thread. Any thread.
    Raises BadRequest for what the format cannot hold, OutputExists, OutputUnwritable.
    """

    def __call__(
        self, result: Any, path: str | Path, *, overwrite: bool = False, on_progress: OnProgress | None = None
    ) -> Path: ...


@dataclass(frozen=True)
class OutputFormat:
    """A format, and who writes it."""

    title: str
    """Its name in napari's dialog."""
    writer: str
    """The name of the module in this folder, imported when its turn comes."""
    suffixes: tuple[str, ...]
    """Endings of names, in lower case; the first is the usual one."""
    kinds: tuple[Kind, ...] = ("image", "labels")
    """What it can hold."""


FORMATS: tuple[OutputFormat, ...] = (
    OutputFormat("OME-Zarr", "ome_zarr", (".ome.zarr", ".zarr")),
    OutputFormat("pyramidal OME-TIFF", "ome_tiff", (".ome.tif", ".ome.tiff")),
    OutputFormat("GeoJSON for QuPath", "geojson", (".geojson",), kinds=("labels",)),
)


def format_for(path: Path) -> OutputFormat:
    """The format that a file's name asks for. Raises BadRequest."""
    found = next((one for one in FORMATS if path.name.lower().endswith(one.suffixes)), None)
    if found is None:
        raise BadRequest(f"an export has a name that ends in {usual_suffixes()}; got {path.name!r}; choose one of them")
    return found


def writer_of(output_format: OutputFormat) -> Writer:
    """The function that writes a format."""
    module = import_module(f"napari_seamless.io.writers.{output_format.writer}")
    return cast(Writer, getattr(module, f"save_{output_format.writer}"))


def usual_suffixes() -> str:
    """For a sentence.

    >>> usual_suffixes()
    '.ome.zarr, .ome.tif or .geojson'
    """
    *others, last = (one.suffixes[0] for one in FORMATS)
    return f"{', '.join(others)} or {last}"
