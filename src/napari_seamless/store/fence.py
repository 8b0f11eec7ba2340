"""Who may write the chunks of a result: the run that has it now, and none of those that had it before.

A lock ends with the process that drives a run; its workers, on other machines perhaps, do not. So each run has a
folder of its own inside the result, whose name nobody else knows, and hands that name to its workers. A chunk is
written there, and moved to its place in one step. Who comes next removes the folder first: from then on that fails.
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from uuid import uuid4

from napari_seamless.errors import OutputUnwritable

WRITER = "writer-"


class Fence:
    """The right of one run to write a result: `token` names it, and `folder` holds what is no part of OME-Zarr.

    `place` is what errors call the result. Any thread or process.
    """

    def __init__(self, folder: Path, token: str, place: object) -> None:
        self.token = token
        self._place = place
        self._own = folder / f"{WRITER}{token}"

    @classmethod
    def raised(cls, folder: Path, place: object) -> Fence:
        """A new one, which ends all those before. Whoever calls it has the lock of the result. Raises OSError."""
        folder.mkdir(exist_ok=True)
        end_fences(folder)
        fence = cls(folder, uuid4().hex, place)
        fence._own.mkdir()
        return fence

    def end(self) -> None:
        """Give the right back: workers that still hold it write nothing more."""
        shutil.rmtree(self._own, ignore_errors=True)

    def require(self) -> None:
        """Raise OutputUnwritable where the right has ended, or the result was removed."""
        if not self._own.is_dir():
            raise OutputUnwritable(
                f"a result stays where it is, with the run that writes it; {self._place} was removed, or taken over by "
                "another run; nothing more is written there; run the same command again"
            )

    def put(self, path: Path, content: bytes | bytearray | memoryview) -> None:
        """Write a file of the result, whole. Raises OSError, and OutputUnwritable as `require` does."""
        partial = self._own / uuid4().hex
        try:
            with partial.open("wb") as file:
                file.write(content)
            self._move(partial, path)
        except FileNotFoundError:
            self.require()
            raise
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def remove(self, path: Path) -> None:
        """Remove a file of the result, where it is there. Raises as `put` does."""
        gone = self._own / uuid4().hex
        try:
            path.replace(gone)
        except FileNotFoundError:
            self.require()
        else:
            gone.unlink(missing_ok=True)

    def _move(self, partial: Path, path: Path) -> None:
        try:
            partial.replace(path)
        except FileNotFoundError:
            self.require()
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(path)


def end_fences(folder: Path) -> None:
    """End the right of all who were handed one, whoever they are. Raises OSError."""
    for own in folder.glob(f"{WRITER}*"):
        _remove(own)


def _remove(folder: Path) -> None:
    """Remove a folder, into which others may be writing, until it is gone."""
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
