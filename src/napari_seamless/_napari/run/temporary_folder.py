"""A folder that lives as long as whoever holds it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Any
from weakref import finalize

from napari_seamless.errors import OutputExists

RESULT_NAME = "result.ome.zarr"


class TemporaryFolder:
    """Removed, with all that is in it, when nothing refers to it any more, or when the process ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="napari-seamless-"))
        self._finalizer = finalize(self, rmtree, self.path, ignore_errors=True)


def start_in_folder(
    begin: Callable[[Path], Any], output: Path | None, known: TemporaryFolder | None
) -> tuple[Any, Path, TemporaryFolder | None]:
    """A run at the user's path, in the folder of an earlier run, or, where that does not fit, in a new one."""
    if output is not None:
        return begin(output), output, None
    if known is not None:
        with suppress(OutputExists):
            return begin(known.path / RESULT_NAME), known.path / RESULT_NAME, known
    folder = TemporaryFolder()
    return begin(folder.path / RESULT_NAME), folder.path / RESULT_NAME, folder
