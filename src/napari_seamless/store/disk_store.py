"""The folder of a result as zarr's own store: metadata that survive a power cut, and a folder that may be moved."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from threading import Lock
from typing import Self

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from napari_seamless.durable_files import put_folder, write_durably
from napari_seamless.store.fence import Fence

METADATA = "zarr.json"


class DiskStore(LocalStore):
    """A `LocalStore` of which metadata are on the disk once they are set. Chunks are written as zarr does, and synced
    in batches by whoever wrote them. Any thread.

    With a `fence` everything is written under it, by whichever of zarr's ways: those that wait are made of those that
    do not."""

    fence: Fence | None = None

    def __init__(self, root: Path | str, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._moving = Lock()

    def with_read_only(self, read_only: bool = False) -> Self:
        same = super().with_read_only(read_only)
        same.fence = self.fence
        return same

    def set_sync(self, key: str, value: Buffer) -> None:
        self._check_writable()
        is_metadata = key.rpartition("/")[2] == METADATA
        if is_metadata:
            self._require_fence()
            _write_metadata(self.root / key, value.to_bytes())
        elif self.fence is not None:
            self.fence.put(self.root / key, value.as_buffer_like())
        else:
            super().set_sync(key, value)

    async def set(self, key: str, value: Buffer) -> None:
        await asyncio.to_thread(self.set_sync, key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        if not await self.exists(key):  # nobody else writes meanwhile
            await self.set(key, value)

    def delete_sync(self, key: str) -> None:
        self._check_writable()
        if self.fence is None:
            super().delete_sync(key)
        else:
            self.fence.remove(self.root / key)

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self.delete_sync, key)

    async def delete_dir(self, prefix: str) -> None:
        self._require_fence()
        await super().delete_dir(prefix)

    async def clear(self) -> None:
        self._require_fence()
        await super().clear()

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        root = self.root
        found = super().get_sync(key, prototype=prototype, byte_range=byte_range)
        if found is None:  # not there, or the folder was being moved just now
            with self._moving:
                was_moved = self.root != root
            if was_moved:
                found = super().get_sync(key, prototype=prototype, byte_range=byte_range)
        return found

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        return await asyncio.to_thread(self.get_sync, key, prototype=prototype, byte_range=byte_range)

    def take_place_of(self, path: Path) -> None:
        """Move the folder to a path beside it, instead of what is there, while others go on reading. Nobody writes
        meanwhile. Raises OSError."""
        with self._moving:
            self.end_fence()
            earlier = put_folder(self.root, path)
            self.root = path
        shutil.rmtree(earlier, ignore_errors=True)  # which takes long, and nobody waits for

    def moved(self, path: Path) -> None:
        """The folder lies elsewhere, since one around it was moved, while others go on reading."""
        with self._moving:
            self.root = path

    def end_fence(self) -> None:
        """Let nobody write any more who was handed the fence."""
        if self.fence is not None:
            self.fence.end()
            self.fence = None

    def _require_fence(self) -> None:
        """Raise OutputUnwritable where there is a fence, and it has ended."""
        if self.fence is not None:
            self.fence.require()


def _write_metadata(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, content)
