"""What every opener of a path needs: the path's identity, and bytes at a position from many threads."""

from __future__ import annotations

import os
import threading
import weakref
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from napari_seamless.errors import InputDamaged, InputNotFound, InputUnreadable
from napari_seamless.fingerprints import identity_of_files
from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo

RETRIES = (0.05, 0.5)


def identity_of_path(path: Path, *files: Path) -> str:
    """The path, and what tells the files that the image consists of (the path itself) from others: see
    `fingerprints.py`."""
    return f"{path.resolve()}|{identity_of_files(files or (path,))}"


@dataclass(frozen=True)
class OpenedFiles:
    """The files of an image, and their `identity` when they were opened."""

    path: Path
    files: tuple[Path, ...]
    identity: str

    @classmethod
    def of(cls, path: Path, *files: Path) -> OpenedFiles:
        found = tuple(files) or (path,)
        return cls(path, found, identity_of_path(path, *found))

    def now(self, identity: str) -> str:
        """An identity of an image, which begins with that of its files, as it would be if it were opened now."""
        return identity_of_path(self.path, *self.files) + identity.removeprefix(self.identity)


class FileBacked(ABC):
    """The part of a source that files have in common: they say by themselves whether they were written to."""

    _files: OpenedFiles

    @property
    @abstractmethod
    def info(self) -> ImageInfo: ...

    def identity_now(self) -> str:
        """As the files on the disk are now."""
        return self._files.now(self.info.identity)

    def pixel_digest(self, level: int = 0) -> str:
        """None: the files say it all."""
        del level
        return ""

    def fingerprint(self, region: Region, level: int = 0) -> str:
        """None: the files say it all."""
        del region, level
        return ""

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files that the image consists of."""
        return self._files.files


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
