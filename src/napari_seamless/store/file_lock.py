"""Locks of files, by which one run at a time writes a folder. They end with the file, and with the process."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

from filelock import lock_descriptor

WITHOUT_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF)
"""What disks without locks say; the last one NFS of a file that may only be read."""

ATTEMPTS, SECONDS_BETWEEN = 3, 0.01
"""Who only asks whether a file is locked locks it for a moment."""


def lock(file: int) -> bool:
    """Lock an open file; False where somebody else, here or in another process, has it. Any thread. Raises OSError.

    A disk without locks gives it to all. On Windows nobody else can read the first byte of a locked file: what is
    locked is a file of its own, without content.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(SECONDS_BETWEEN)
        try:
            if lock_descriptor(file, blocking=False):
                return True
        except OSError as error:
            if error.errno in WITHOUT_LOCKS:
                return True
            raise
    return False


def is_locked(path: Path) -> bool:
    """Whether somebody has locked the file at a path; no file, no lock. Writes nothing. Raises OSError."""
    try:
        file = os.open(path, os.O_RDWR if os.access(path, os.W_OK) else os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not lock(file)
    finally:
        os.close(file)


def open_locked(path: Path) -> int | None:
    """A file, made where it is missing, open and locked until it is closed; None where another has it. Raises OSError.

    Whoever has it locked may remove it. A file that was removed since it was opened here counts as locked by another.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        is_ours = lock(file) and _is_at(path, file)
    except BaseException:
        os.close(file)
        raise
    if is_ours:
        return file
    os.close(file)
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


def _is_at(path: Path, file: int) -> bool:
    """Whether an open file still is the one at a path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False
