"""How good a network is on images that it has not learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from napari_seamless.training.data.examples import IGNORED


@dataclass(frozen=True)
class ValidationMetrics:
    """Figures over all held-out pixels (or images, where images have one label each).

    `loss` is the mean over images; `accuracy` the share of pixels whose class is right; `dice` is 2 |A and B| /
    (|A| + |B|) for each class, None for one that is neither there nor found; `error` is the root of the mean squared
    error, for values.
    """

    images: int
    loss: float
    accuracy: float | None = None
    dice: tuple[float | None, ...] = ()
    error: float | None = None

    @property
    def score(self) -> float:
        """One number by which trainings are compared; more is better. Mean Dice of the classes after the first."""
        if self.error is not None:
            return -self.error
        known = [d for d in self.dice[1:] if d is not None]
        return sum(known) / len(known) if known else -self.loss

    @property
    def rank(self) -> tuple[float, float]:
        """For comparing: the score, and among equals the loss."""
        return self.score, -self.loss

    def as_dict(self) -> dict[str, object]:
        """For a file."""
        return {
            "images": self.images,
            "loss": self.loss,
            "accuracy": self.accuracy,
            "dice": list(self.dice),
            "error": self.error,
        }

    @classmethod
    def from_dict(cls, config: Mapping[str, object]) -> ValidationMetrics:
        """What `as_dict` gave."""
        return cls(**{**config, "dice": tuple(config["dice"])})  # type: ignore[arg-type]


@dataclass
class MetricsAccumulator:
    """Counts that grow tile by tile. `classes` is 0 for values."""

    classes: int
    counts: Tensor = field(init=False)
    losses: list[float] = field(default_factory=list)
    squares: float = 0.0
    values: int = 0

    def __post_init__(self) -> None:
        self.counts = torch.zeros((self.classes, self.classes), dtype=torch.int64)

    def add(self, output: Tensor, target: Tensor) -> None:
        """Scores (n, k, ...) and the truth of the same pixels."""
        if not self.classes:
            self.squares += float(((output.double() - target) ** 2).sum())
            self.values += target.numel()
            return
        guess = (output[:, 0] > 0).long() if output.shape[1] == 1 else output.argmax(1)
        known = target != IGNORED
        pairs = target[known] * self.classes + guess[known]
        self.counts += torch.bincount(pairs.cpu(), minlength=self.classes**2).reshape(self.counts.shape)

    def compute(self) -> ValidationMetrics:
        """Of all that was added so far."""
        loss = sum(self.losses) / max(len(self.losses), 1)
        if not self.classes:
            return ValidationMetrics(len(self.losses), loss, error=(self.squares / max(self.values, 1)) ** 0.5)
        right, total = self.counts.diagonal(), int(self.counts.sum())
        both = self.counts.sum(0) + self.counts.sum(1)
        dice = tuple(2 * int(r) / int(b) if b else None for r, b in zip(right, both, strict=True))
        return ValidationMetrics(len(self.losses), loss, int(right.sum()) / max(total, 1), dice)
