"""Locks of files, by which one run at a time writes a folder. They end with the file, and with the process."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":  # where there is no such lock, nothing keeps two runs apart
    import fcntl


def lock(file: int, *, shared: bool) -> bool:
    """Lock an open file; False where somebody else, here or in another process, has it. Disks without locks give it
    to all."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
            raise
    return True


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Whether a file, made where it is missing, could be locked for as long as this lasts. Raises OSError.

    Whoever has it locked may remove it. A file that was removed since it was opened here counts as locked by another.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield lock(file, shared=False) and _is_at(path, file)
    finally:
        os.close(file)


def _is_at(path: Path, file: int) -> bool:
    """Whether an open file still is the one at a path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False
