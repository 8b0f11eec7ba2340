"""What can be exported, and how a file comes into its place."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_seamless.durable_files import beside, move, sync_file
from napari_seamless.errors import OutputExists, OutputUnwritable, SeamlessError
from napari_seamless.file_lock import PlaceLock
from napari_seamless.interfaces import ImageInfo, LabelClass


class Exportable(Protocol):
    """A result: a store. Safe to read from any thread, also while the run goes on.

    `levels` are array-likes, finest first, ([c,] [z,] y, x), 0 where nothing is written; `finished` says which chunks
    are. `provenance` is where the pixels come from, as JSON values.
    """

    @property
    def info(self) -> ImageInfo: ...

    @property
    def kind(self) -> Literal["labels", "image"]: ...

    @property
    def classes(self) -> Sequence[LabelClass]: ...

    @property
    def levels(self) -> Sequence[Any]: ...

    @property
    def finished(self) -> NDArray[np.bool_]: ...

    @property
    def provenance(self) -> Mapping[str, Any]: ...


def export_provenance(result: Exportable) -> dict[str, Any]:
    """The provenance of an export: that of the result, and how much of it is there."""
    finished = result.finished
    return {**result.provenance, "complete": bool(finished.all()), "finished": round(float(finished.mean()), 4)}


@contextmanager
def put_in_place(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A hidden file beside `path` that takes its place when all went well, and vanishes when not.

    It is on the disk before it does. Raises OutputExists for what is there and may not be replaced, and where another
    export is writing it; OutputUnwritable when the disk says no.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        raise OutputExists(f"an export needs a free path; {path} exists; choose another path or overwrite it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with PlaceLock(path).held(OutputExists):
            partial = beside(path, "new")
            partial.unlink(missing_ok=True)  # what a kill left
            try:
                partial.touch()
                yield partial
                sync_file(partial)
                move(partial, path)
            finally:
                partial.unlink(missing_ok=True)
    except SeamlessError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "the disk is full" if full else error.strerror or str(error)
        todo = "free some space" if full else "choose another output path, or change its permissions"
        raise OutputUnwritable(f"the export must be written to {path}, but {what}; {todo}") from error
