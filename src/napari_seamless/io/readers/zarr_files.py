"""The files of a zarr image, of which no more is read than an image can have: zarr's stores, with limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest, RangeByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, LocalStore

from napari_seamless.errors import InputDamaged
from napari_seamless.io.readers.file_type import ZARR_METADATA
from napari_seamless.io.readers.urls import stall_options

METADATA = (*ZARR_METADATA, ".zmetadata")
LONGEST_METADATA = 2**24
"""Bytes. The consolidated metadata of a plate of thousands of wells have some of these megabytes."""
LONGEST_CHUNK = 2**31
"""Bytes of a file that holds chunks, as far as it is read at once."""
PIECE = 2**18


def zarr_files(path: Path | str) -> Store:
    """The files of a folder, or at an address of fsspec's, to be read. Raises what fsspec raises."""
    if isinstance(path, Path):
        return FolderFiles(path, read_only=True)
    return AddressFiles.from_url(path, storage_options=stall_options(path), read_only=True)


class FolderFiles(LocalStore):
    """Files of a folder. `get` raises InputDamaged for metadata that are too long."""

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        file = self.root / key
        if _is_metadata(key) and file.is_file() and (size := file.stat().st_size) > LONGEST_METADATA:
            raise _too_long(str(file), LONGEST_METADATA, f"has {size} bytes")
        return await super().get(key, prototype, byte_range)


class AddressFiles(FsspecStore):
    """Files at an address. `get` raises InputDamaged where one goes on and on, whatever its server says of its size."""

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        if byte_range is not None:
            return await super().get(key, prototype, byte_range)
        most = LONGEST_METADATA if _is_metadata(key) else LONGEST_CHUNK
        if "http" in self.fs.protocol:
            found = await self._streamed(key, prototype, most)
        else:  # whose servers keep to what is asked for
            found = await super().get(key, prototype, RangeByteRequest(0, most + 1))
        if found is not None and len(found) > most:
            raise _too_long(f"{self.path}/{key}", most, "goes on after these")
        return found

    async def _streamed(self, key: str, prototype: BufferPrototype, most: int) -> Buffer | None:
        """A file, or somewhat more than `most` bytes of it."""
        files: Any = self.fs
        stream = await files.open_async(f"{self.path.rstrip('/')}/{key}", size=0)  # which need not be asked for
        content = bytearray()
        try:
            while len(content) <= most and (piece := await stream.read(PIECE)):
                content += piece
        except self.allowed_exceptions:
            return None
        finally:
            await stream.close()
        return prototype.buffer.from_bytes(content)


def _is_metadata(key: str) -> bool:
    return key.rpartition("/")[2] in METADATA


def _too_long(file: str, most: int, what: str) -> InputDamaged:
    if _is_metadata(file):
        rule, remedy = "zarr metadata have", "take out the attributes that do not belong there"
    else:
        rule, remedy = "a file of chunks has", "save the array in smaller chunks"
    return InputDamaged(f"{rule} {most >> 20} MB at most; {file} {what}; do not open it, or {remedy}")
