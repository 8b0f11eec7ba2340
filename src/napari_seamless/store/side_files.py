"""Small files that belong to a result and are no part of OME-Zarr: moments, what was asked for, tables of objects."""

from __future__ import annotations

from pathlib import Path

from napari_seamless.durable_files import write_durably
from napari_seamless.store.journal import FOLDER
from napari_seamless.store.zarr_arrays import ZarrArrays

COPIED = ("*.safetensors", "roi*.geojson", "roi*.npz", "objects*.npz")
"""Files that a copy of a result gets, too: moments, what was asked for, and tables of objects."""


class SideFiles:
    """Files by name beside level 0 of a result; in memory where the result is. The driving thread writes."""

    def __init__(self, arrays: ZarrArrays, level_folder: str) -> None:
        self._arrays = arrays
        self._level_folder = level_folder
        self._in_memory: dict[str, bytes] = {}

    @property
    def folder(self) -> Path | None:
        """Where they lie; None for a result in memory."""
        place = self._arrays.place
        return None if place is None else place.root / f"{self._level_folder}0" / FOLDER

    def put(self, name: str, content: bytes) -> None:
        """Write a file, instead of the last one of this name. Raises OSError, and what a fence raises."""
        folder = self.folder
        if folder is None:
            self._in_memory[name] = content
            return
        if (fence := self._arrays.fence) is not None:
            fence.require()
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / name, content)

    def get(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        folder = self.folder
        if folder is None:
            return self._in_memory.get(name)
        path = folder / name
        return path.read_bytes() if path.is_file() else None

    def copied(self) -> dict[str, bytes]:
        """What a copy of the result gets."""
        folder = self.folder
        found = [] if folder is None else [file for kind in COPIED for file in sorted(folder.glob(kind))]
        return {file.name: file.read_bytes() for file in found} | self._in_memory
