"""What a training tells of itself, as `train` passes it on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_seamless.training.loop.events import Event, Saved, Stepped, Stopped, Validated

__all__ = ["Began", "Finished", "Looked", "Saved", "Stepped", "Stopped", "TrainingEvent", "Validated", "quiet"]


@dataclass(frozen=True)
class Looked:
    """Images and masks are being looked at before the first step: `done` of `total`."""

    done: int
    total: int


@dataclass(frozen=True)
class Began:
    """The first step is about to be made, or that after `step`, where a training goes on."""

    step: int
    steps: int
    learned: int
    held_out: int
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Finished:
    """The model is in `folder`. `held_out` are its figures in a sentence; `was_before` if there was nothing to do."""

    folder: Path
    steps: int
    held_out: str
    was_before: bool


TrainingEvent = Event | Looked | Began | Finished


def quiet(event: TrainingEvent) -> None:
    """For those who do not listen."""
    del event
