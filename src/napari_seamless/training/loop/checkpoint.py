"""Training on disk: everything that the next step depends on, in one file that is there as a whole or not at all."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch

from napari_seamless.durable_files import beside, move, sync_open
from napari_seamless.errors import InputDamaged, OutputUnwritable

FILE, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> Path:
    """Write a checkpoint; the one before is kept beside it. Raises OutputUnwritable, and then both are as they were."""
    target = folder / FILE
    scratch = beside(target, "new")  # one name, so that what a kill leaves there is written over by the next one
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            sync_open(file.fileno())
        if target.exists():
            move(target, folder / PREVIOUS)
        move(scratch, target)
    except (OSError, RuntimeError) as error:  # torch's zip writer says RuntimeError for a full disk
        scratch.unlink(missing_ok=True)
        raise OutputUnwritable(
            f"checkpoints are written to {folder}; it says: {error}; make room, or name another output"
        ) from error
    return target


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest whole checkpoint, on the CPU; None where there is none. Raises InputDamaged where all are damaged."""
    there = [folder / name for name in (FILE, PREVIOUS) if (folder / name).is_file()]
    for path in there:
        if not is_zipfile(path):  # what was cut off has no end of a zip file
            continue
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, OSError):
            continue
        if isinstance(found, dict):
            return found
    if there:
        raise InputDamaged(
            f"a training goes on from its checkpoint; neither of {', '.join(p.name for p in there)} in {folder} can be "
            "read; start again with --restart (restart=True)"
        )
    return None
