"""Locks of files, by which one run at a time writes a place. They end with the file, and with the process."""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep

from filelock import lock_descriptor

from napari_seamless.durable_files import beside
from napari_seamless.errors import OutputExists, OutputUnwritable

WITHOUT_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What disks without locks say."""

ATTEMPTS, SECONDS_BETWEEN = 3, 0.01
"""Who only asks whether a file is locked locks it for a moment."""


def lock(file: int) -> bool:
    """Lock an open file; False where somebody else, here or in another process, has it. Any thread.

    Raises OSError, also where the disk has no locks. On Windows nobody else can read the first byte of a locked file:
    what is locked is a file of its own, without content.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(SECONDS_BETWEEN)
        if lock_descriptor(file, blocking=False):
            return True
    return False


def is_locked(path: Path) -> bool:
    """Whether somebody has locked the file at a path; no file, no lock. Writes nothing. Raises OSError.

    Where locks cannot be had, or (NFS) not by those who may only read, nobody is known to have it.
    """
    try:
        file = os.open(path, os.O_RDWR if os.access(path, os.W_OK) else os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not lock(file)
    except OSError as error:
        if error.errno in (*WITHOUT_LOCKS, errno.EBADF):
            return False
        raise
    finally:
        os.close(file)


def open_locked(path: Path) -> int | None:
    """A file, made where it is missing, open and locked until it is closed; None where another has it. Raises OSError.

    Whoever has it locked may remove it.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            is_ours = lock(file)
            if is_ours and _is_at(path, file):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        if not is_ours:
            return None


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Whether a file could be locked, as `open_locked` does, for as long as this lasts. Raises OSError."""
    file = open_locked(path)
    try:
        yield file is not None
    finally:
        if file is not None:
            os.close(file)


class PlaceLock:
    """The right to write what lies at a path, for one at a time, here and in other processes.

    What is locked is a hidden file beside the path, removed at the end: a path can be taken before anything is there.
    The right ends with `release`, with this object or with the process, whichever is first. A process that is forked
    does not have it. One thread at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = beside(path, "lock")
        self._release: weakref.finalize[[int, Path, int], PlaceLock] | None = None
        self._process = 0

    @property
    def is_ours(self) -> bool:
        return self._release is not None and self._release.alive and self._process == os.getpid()

    @property
    def is_taken(self) -> bool:
        """Whether somebody else, here or in another process, has it now. Raises OSError."""
        return not self.is_ours and is_locked(self._file)

    def take(self, refusal: type[OutputExists | OutputUnwritable] = OutputUnwritable) -> bool:
        """Take the right; False where it is ours already.

        Raises `refusal` where another has it, OutputUnwritable where the disk has no locks, and OSError.
        """
        if self.is_ours:
            return False
        try:
            file = open_locked(self._file)
        except OSError as error:
            if error.errno in WITHOUT_LOCKS:
                raise OutputUnwritable(
                    f"a result must lie on a disk that has locks, so that no two runs write it at once; that of "
                    f"{self._path} says: {os.strerror(error.errno)}; mount it with locks, or choose another path"
                ) from error
            raise
        if file is None:
            raise refusal(
                f"a result is written by one run at a time; another one is writing {self._path}; "
                "wait until it ends, cancel it, or choose another path"
            )
        _held.add(file)
        self._process = os.getpid()
        self._release = weakref.finalize(self, _end, file, self._file, self._process)
        return True

    def release(self) -> None:
        """Give it back, where it is ours."""
        if self._release is not None:
            self._release()
            self._release = None

    @contextmanager
    def held(self, refusal: type[OutputExists | OutputUnwritable] = OutputUnwritable) -> Iterator[None]:
        """Have it for as long as this lasts, or longer where it was ours before. Raises as `take` does."""
        is_new = self.take(refusal)
        try:
            yield
        finally:
            if is_new:
                self.release()


_held: set[int] = set()
"""The files that place locks of this process have open."""


def _end(file: int, path: Path, process: int) -> None:
    """Remove a locked file, and close it; not so in a process that was forked since."""
    if os.getpid() == process:
        with suppress(OSError):  # Windows removes no open file
            path.unlink()
        _held.discard(file)
        os.close(file)


def _let_go_in_child() -> None:
    """A lock lives as long as any process has its file open: a child would keep it when its parent is dead."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


def _is_at(path: Path, file: int) -> bool:
    """Whether an open file still is the one at a path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False
