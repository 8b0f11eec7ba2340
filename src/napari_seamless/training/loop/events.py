"""What a training tells of itself while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_seamless.training.loop.scores import Figures


@dataclass(frozen=True)
class Stepped:
    """A step was done: `step` of `steps`, the mean `loss` of its pieces before it, and the images they came from."""

    step: int
    steps: int
    loss: float
    rate: float
    images: tuple[str, ...]


@dataclass(frozen=True)
class Validated:
    """The held-out images were looked at after `step`; `is_best` where this was the best so far."""

    step: int
    figures: Figures
    is_best: bool


@dataclass(frozen=True)
class Saved:
    """A checkpoint is on disk."""

    step: int
    path: Path


@dataclass(frozen=True)
class Stopped:
    """Somebody stopped the training after `step`. It can go on from there."""

    step: int


Event = Stepped | Validated | Saved | Stopped
