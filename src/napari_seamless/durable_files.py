"""Files and folders that are on the disk when a call returns, whole or not at all: what a power cut may not take.

Whatever is written over is written beside first, under a name that says what it is, and then takes the place of what
was there in one step. Who comes next finds what was left there by its name, and sweeps it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""What file systems say that cannot be asked to put something on the disk."""

AT_ONCE = 8

MANY = 200
"""More files than these are synced with the whole file system, where it can be: a call for each takes longer."""

_sync_all = getattr(ctypes.CDLL(None), "syncfs", None) if sys.platform == "linux" else None

SIGN = "seamless-"
PARTIAL = ".partial"
REPLACED = "replaced"


def beside(path: Path, what: str) -> Path:
    """A hidden name beside a path, of ours alone.

    >>> beside(Path("a/cells.ome.zarr"), "new").name
    '.cells.ome.zarr.seamless-new'
    """
    return path.with_name(f".{path.name}.{SIGN}{what}")


def sync_file(path: str | Path) -> None:
    """Have the content of a file put on the disk itself, whoever wrote it. A file that is gone needs nothing."""
    try:
        file = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        sync_open(file)
    finally:
        os.close(file)


def sync_open(file: int) -> None:
    """As `sync_file`, of an open file."""
    try:
        if sys.platform == "darwin":
            import fcntl

            fcntl.fcntl(file, fcntl.F_FULLFSYNC)  # fsync leaves it in the drive's own memory there
        else:
            os.fsync(file)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def sync_folder(path: str | Path) -> None:
    """Have the names in a folder put on the disk. Windows does so by itself."""
    if sys.platform != "win32":
        sync_file(path)


def sync_files(paths: Collection[str], above: str) -> None:
    """Put files on the disk, and their names, and those of the folders up to, and with, `above`."""
    if len(paths) > MANY and _sync_file_system(above):
        return
    folders: set[str] = set()
    for path in paths:
        folder = os.path.dirname(path)
        while folder not in folders and len(folder) >= len(above):
            folders.add(folder)
            folder = os.path.dirname(folder)
    with ThreadPoolExecutor(AT_ONCE) as pool:  # a disk puts together what it is asked for at once
        for _ in pool.map(sync_file, paths):
            pass
        for _ in pool.map(sync_folder, folders):
            pass


def sync_tree(folder: Path) -> None:
    """Put everything in a folder on the disk, and the folder."""
    files = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]
    sync_files(files, str(folder))


def _sync_file_system(folder: str) -> bool:
    """Put all that was written on the disk of a folder there, in one call; False where that cannot be asked for."""
    if _sync_all is None:
        return False
    file = os.open(folder, os.O_RDONLY)
    try:
        return bool(_sync_all(file) == 0)
    finally:
        os.close(file)


def write_durably(path: Path, content: bytes) -> None:
    """Put a file at a path, instead of what is there: after a kill or a power cut one of the two is there, whole.

    Raises OSError.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex}{PARTIAL}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            sync_open(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def move(source: Path, target: Path) -> None:
    """Rename, on the disk; a file takes the place of one that is there. Both lie in one folder. Raises OSError."""
    source.replace(target)
    sync_folder(target.parent)


def replace_folder(built: Path, path: Path) -> None:
    """Let a folder that lies complete beside a path take the place of what is there, see `put_folder`."""
    shutil.rmtree(put_folder(built, path), ignore_errors=True)


def put_folder(built: Path, path: Path) -> Path:
    """As `replace_folder`; gives where the folder that was there lies now, if one was, for the caller to remove.

    What `built` holds is on the disk already. A kill between the two steps leaves nothing at the path until `recover`
    is called. Raises OSError.
    """
    earlier = beside(path, REPLACED)
    if path.exists():
        move(path, earlier)
    try:
        move(built, path)
    except OSError:
        if earlier.exists():
            move(earlier, path)
        raise
    return earlier


def recover(path: Path, *built: Path) -> None:
    """End a `replace_folder` that was cut off between its steps; `built` are the folders that it may have been about,
    the first one that is there. Nobody else is at it meanwhile. Raises OSError."""
    earlier = beside(path, REPLACED)
    if not earlier.exists():
        return
    if not path.exists():
        move(next((folder for folder in built if folder.exists()), earlier), path)
    shutil.rmtree(earlier, ignore_errors=True)
