"""A folder that lives as long as whoever holds it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from shutil import rmtree
from weakref import finalize


class TemporaryFolder:
    """Removed, with all that is in it, when nothing refers to it any more, or when the process ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="napari-seamless-"))
        self._finalizer = finalize(self, rmtree, self.path, ignore_errors=True)
