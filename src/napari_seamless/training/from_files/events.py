"""The events of a training, as `train` passes them on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_seamless.training.loop.events import CheckpointSaved, LoopEvent, StepDone, TrainingStopped, Validated

__all__ = [
    "CheckpointSaved",
    "ImagesChecked",
    "StepDone",
    "TrainingEvent",
    "TrainingFinished",
    "TrainingStarted",
    "TrainingStopped",
    "Validated",
    "ignore",
]


@dataclass(frozen=True)
class ImagesChecked:
    """Images and masks are being checked before the first step: `done` of `total`."""

    done: int
    total: int


@dataclass(frozen=True)
class TrainingStarted:
    """The first step is about to be made, or that after `step`, where a training goes on."""

    step: int
    steps: int
    learned: int
    held_out: int
    notices: tuple[str, ...]


@dataclass(frozen=True)
class TrainingFinished:
    """The model is in `folder`. `held_out` are its figures in a sentence; `was_before` if there was nothing to do."""

    folder: Path
    steps: int
    held_out: str
    was_before: bool


TrainingEvent = LoopEvent | ImagesChecked | TrainingStarted | TrainingFinished


def ignore(event: TrainingEvent) -> None:
    """For those who do not follow a training."""
    del event
