"""The folder of a result as zarr's own store: metadata that survive a power cut, and a folder that may be moved."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Lock

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from napari_seamless.durable_files import replace_folder, write_durably

METADATA = "zarr.json"


class DiskStore(LocalStore):
    """A `LocalStore` of which metadata are on the disk once they are set. Chunks are written as zarr does, and synced
    in batches by whoever wrote them. Any thread."""

    def __init__(self, root: Path | str, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._moving = Lock()

    async def set(self, key: str, value: Buffer) -> None:
        if key.rpartition("/")[2] != METADATA:
            await super().set(key, value)
            return
        self._check_writable()
        await asyncio.to_thread(_write_metadata, self.root / key, value.to_bytes())

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        root = self.root
        found = await super().get(key, prototype, byte_range)
        if found is None:  # not there, or the folder was being moved just now
            with self._moving:
                was_moved = self.root != root
            if was_moved:
                found = await super().get(key, prototype, byte_range)
        return found

    def take_place_of(self, path: Path) -> None:
        """Move the folder to a path beside it, instead of what is there, while others go on reading. Nobody writes
        meanwhile. Raises OSError."""
        with self._moving:
            replace_folder(self.root, path)
            self.root = path


def _write_metadata(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, content)
