"""Scratch: whole intermediate values on disk, between two passes of one run.

Plain memory-mapped files, channels last so that a tile's rows are long: no chunks, hence tiles of any grid may
write side by side, and no compression, since activations hardly compress. What is read is compared with the checksums
of what was written (`piece_checksums.py`). Their space is reserved when they are made:
a disk that is too full says so then. A scratch lies in a folder of its own, locked while its run lives; the next one
beside it sweeps away those that a crash left behind. The files have no headers: numpy reads those with Python's parser,
which in Python 3.11.7 fails at times when several threads use it (SystemError: AST constructor recursion depth).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_seamless.errors import InputDamaged, OutputUnwritable
from napari_seamless.file_lock import lock, open_locked
from napari_seamless.store.piece_checksums import Bounds, PieceChecksums
from napari_seamless.store.zarr_arrays import disk_errors

PREFIX = ".seamless-scratch-"
LOCK = "lock"


class DiskScratch:
    """Implements `interfaces.Scratch` in a new folder inside `parent`. Any thread; picklable, for processes on this
    machine.

    Raises OutputUnwritable.
    """

    def __init__(self, parent: Path) -> None:
        parent = parent.absolute()  # other processes may have another working directory
        with disk_errors(parent):
            parent.mkdir(parents=True, exist_ok=True)
            sweep(parent)
            self._lock: int | None
            self.folder, self._lock = _made(parent)
            self._arrays: dict[str, PieceChecksums] = {}

    def create(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """Reserve an array of `shape`, (1, c, [z,] y, x) or whatever a value's layout is."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise OutputUnwritable(
                f"kept values must fit on the disk of {self.folder.parent}; they need {size / 1e9:.1f} GB, and "
                f"{free / 1e9:.1f} GB are free; choose another scratch folder, or recompute instead of keeping"
            )
        with disk_errors(self.folder):
            self._arrays[name] = PieceChecksums(self.folder / f"{name}.sums", _turned(shape), np.dtype(dtype))
            with self._path(name).open("wb") as file:
                _reserve(file.fileno(), size)

    def write(self, name: str, at: tuple[slice, ...], pixels: NDArray[Any]) -> None:
        """Put a piece where the slices `at` of the array say. Raises OutputUnwritable."""
        with disk_errors(self.folder):
            stored = np.ascontiguousarray(_channels_last(pixels), self._arrays[name].dtype)
            self._open(name, "r+")[self._at(name, at)] = stored
            self._arrays[name].add(self._bounds(name, at), stored)

    def read(self, name: str, at: tuple[slice, ...]) -> NDArray[Any]:
        """A copy of a piece. Raises InputDamaged where it is not what was written."""
        stored = self._open(name, "r")
        if not self._arrays[name].are_right(self._bounds(name, at), stored):
            raise InputDamaged(
                f"saved activations are read as they were written; those in {self.folder} have another checksum than "
                "they should; run again, with another scratch folder (scratch=PATH, --scratch)"
            )
        piece = np.array(stored[self._at(name, at)], order="K")
        return piece if piece.ndim < 3 else np.moveaxis(piece, -1, 1)

    def drop(self, name: str) -> None:
        """Give the space of an array back."""
        self._path(name).unlink(missing_ok=True)
        self._arrays[name].file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove everything. Called by whoever made it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.raw"

    def _open(self, name: str, mode: Literal["r", "r+"]) -> NDArray[Any]:
        array = self._arrays[name]
        return np.memmap(self._path(name), array.dtype, mode, shape=array.shape)

    def _at(self, name: str, at: tuple[slice, ...]) -> tuple[slice, ...]:
        """Slices of an array as slices of what is stored, one for each axis."""
        full = (*at, *(slice(None) for _ in range(len(self._arrays[name].shape) - len(at))))
        return _turned(full)

    def _bounds(self, name: str, at: tuple[slice, ...]) -> Bounds:
        shape = self._arrays[name].shape
        return tuple(span.indices(n)[:2] for span, n in zip(self._at(name, at), shape, strict=True))

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "_lock": None, "_arrays": dict(self._arrays)}


def sweep(parent: Path) -> None:
    """Remove the scratch folders in `parent` whose run is no longer alive."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            file = os.open(folder / LOCK, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            if not lock(file):
                continue
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(file)
        shutil.rmtree(folder, ignore_errors=True)  # Windows removes no open file


def _made(parent: Path) -> tuple[Path, int]:
    """A new folder and its locked file. One that another run sweeps before it is locked is made anew."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        file = open_locked(folder / LOCK)
        if file is not None:
            return folder, file


def _reserve(file: int, size: int) -> None:
    """Have the file's blocks set aside, since writing to a map of a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)


def _turned(axes: tuple[Any, ...]) -> tuple[Any, ...]:
    """Channels (dimension 1) last."""
    return axes if len(axes) < 3 else (axes[0], *axes[2:], axes[1])


def _channels_last(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels if pixels.ndim < 3 else np.moveaxis(pixels, 1, -1)
