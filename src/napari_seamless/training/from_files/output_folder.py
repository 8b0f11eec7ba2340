"""The folder that a training writes: a model, and beside it checkpoints and logs, by one process at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from napari_seamless.errors import OutputExists, OutputUnwritable
from napari_seamless.file_lock import locked
from napari_seamless.models.recipe_file import FILE

FOLDER = "training"
"""In the output: checkpoints and logs, which the finished model does not need."""
LOCK = "lock"
"""In that folder: whoever has it locked is training."""


@contextmanager
def locked_folder(folder: Path, *, resume: bool) -> Iterator[None]:
    """The output folder is ours alone for as long as this lasts. A training that writes nothing leaves nothing.

    Raises OutputExists, OutputUnwritable.
    """
    inner = folder / FOLDER
    with ExitStack() as held:
        try:
            missing = [path for path in (inner, folder, *folder.parents) if not path.exists()]
            held.callback(_remove_empty, missing)
            _make_folder(folder, resume=resume)
            is_alone = held.enter_context(locked(inner / LOCK))
            if is_alone and missing:
                held.callback(_remove_lock, inner)
        except OutputExists:
            raise
        except OSError as error:
            raise _unwritable(folder, error) from error
        if not is_alone:
            raise OutputUnwritable(
                f"a folder is written by one training at a time; another one is writing to {folder}; wait until it "
                "ends, stop it, or name another output"
            )
        yield


def _make_folder(folder: Path, *, resume: bool) -> None:
    if (folder / FOLDER).is_dir():
        if not resume:
            raise OutputExists(
                f"a training is there already, in {folder}; go on with it (resume=True), start again (restart=True), "
                "or name another output"
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputExists(
            f"a training writes to a folder of its own; {folder} holds something else; name another output"
        )
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)


def _remove_lock(inner: Path) -> None:
    """Remove the lock where there is nothing else; it is held meanwhile, so that nobody else counts on it."""
    with suppress(OSError):
        if [path.name for path in inner.iterdir()] == [LOCK]:
            (inner / LOCK).unlink()


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, innermost first, as far as they are empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def delete_training(folder: Path) -> None:
    """Delete a training and its model, but for the lock. Raises OutputUnwritable."""
    try:
        for path in (folder / FOLDER).iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()
        (folder / FILE).unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> OutputUnwritable:
    return OutputUnwritable(f"a training writes to {folder}; it says: {error.strerror or error}; name another output")
