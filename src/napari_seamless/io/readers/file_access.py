"""What every opener of a path needs: the path's identity, and bytes at a position from many threads."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from time import sleep

from napari_seamless.errors import InputDamaged, InputNotFound, InputUnreadable

RETRIES = (0.05, 0.5)


def identity_of_path(path: Path, *metadata_files: Path) -> str:
    """Path, size and modification time: another string when the file is another one.

    `metadata_files` are files that are looked at instead of the path itself (the metadata of a folder).
    """
    stats = [(p.name, p.stat()) for p in metadata_files or (path,)]
    stamps = ",".join(f"{name}:{s.st_size}:{s.st_mtime_ns}" for name, s in stats)
    return f"{path.resolve()}|{stamps}"


def require_exists(path: Path) -> None:
    """Raises InputNotFound for a path that is not there."""
    if not path.exists():
        raise InputNotFound(f"an image must exist to be opened; nothing is at {path}; check the path")


class ByteFile:
    """Bytes at a position of a file, from any thread, several at once.

    There is no shared file position where the system has `pread`; elsewhere (Windows) a lock guards seek and read.
    The file is closed by `close`, or with the object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as problem:
            raise InputUnreadable(f"a file must be readable; {path}: {problem.strerror}; check permissions") from None
        self.size = os.fstat(handle).st_size
        self._handle = handle
        self._lock = threading.Lock()
        self._closer = weakref.finalize(self, os.close, handle)

    def read(self, offset: int, size: int, what: str) -> bytes:
        """Exactly `size` bytes from `offset`. Raises InputDamaged, naming `what`, when the file ends before that."""
        if not self._closer.alive:
            raise InputUnreadable(f"an image must be open to be read; {self.path.name} was closed; open it again")
        if offset < 0 or offset + size > self.size:
            raise InputDamaged(
                f"a file must hold all its pixels; {self.path.name} ends at byte {self.size}, but {what} lies at "
                f"bytes [{offset}, {offset + size}); copy or export the file again"
            )
        data = self._read_some(offset, size)
        while len(data) < size:
            more = self._read_some(offset + len(data), size - len(data))
            if not more:
                raise InputDamaged(
                    f"a file must not shrink while it is read; {self.path.name} ended at byte {offset + len(data)} "
                    f"inside {what}; copy or export the file again"
                )
            data += more
        return data

    def _read_some(self, offset: int, size: int) -> bytes:
        """Tries again where the disk says no: a share on the network may only have been away for a moment."""
        for pause in RETRIES:
            try:
                return self._read_once(offset, size)
            except OSError:
                sleep(pause)
        try:
            return self._read_once(offset, size)
        except OSError as problem:
            raise InputDamaged(
                f"a file must be readable to its end; {self.path.name} at byte {offset}: {problem.strerror}; "
                "check the disk, or copy the file again"
            ) from None

    def _read_once(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._handle, size, offset)
        with self._lock:
            os.lseek(self._handle, offset, os.SEEK_SET)
            return os.read(self._handle, size)

    def close(self) -> None:
        """Closes the file; no read may be under way."""
        self._closer()
