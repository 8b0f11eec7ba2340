"""The events of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_seamless.training.loop.metrics import ValidationMetrics


@dataclass(frozen=True)
class StepDone:
    """A step was done: `step` of `steps`, the mean `loss` of its examples before it, and the images they came from."""

    step: int
    steps: int
    loss: float
    rate: float
    images: tuple[str, ...]


@dataclass(frozen=True)
class Validated:
    """The held-out images were evaluated after `step`; `is_best` where this was the best so far."""

    step: int
    metrics: ValidationMetrics
    is_best: bool


@dataclass(frozen=True)
class CheckpointSaved:
    """A checkpoint is on disk."""

    step: int
    path: Path


@dataclass(frozen=True)
class TrainingStopped:
    """Somebody stopped the training after `step`. It can go on from there."""

    step: int


LoopEvent = StepDone | Validated | CheckpointSaved | TrainingStopped
