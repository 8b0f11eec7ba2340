"""The settings of a training, as plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from napari_seamless.training.data.augmentation import Augmentation

Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how fast a network learns.

    A step moves the weights by the mean gradient of `batch` examples: crops of `crop` pixels a side (more than one at a
    time, `accumulate` of such batches a step), or, where that is None, whole images, one after another. `rate` is the
    highest learning rate; after `warm_up` steps of rising it follows the `schedule` down to nothing at the last step.
    `clip` bounds the norm of the gradient. With `average` the weights that are used, saved and validated are a mean
    over the last steps, about 1 / (1 - average) of them. `half` computes layers in bfloat16, with weights in float32.

    Everything random is drawn from `seed` and the number of the step, so that it does not matter where a training was
    interrupted. Held-out images are evaluated every `validate_every` steps and at the end; a checkpoint is written
    every `checkpoint_every` steps, after each evaluation, and at the end.
    """

    steps: int
    crop: int | None = None
    batch: int = 4
    accumulate: int = 1
    rate: float = 1e-3
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    weight_decay: float = 1e-4
    momentum: float = 0.9
    schedule: Schedule = "cosine"
    warm_up: int = 0
    clip: float | None = 1.0
    half: bool = False
    average: float = 0.0
    seed: int = 0
    validate_every: int = 100
    checkpoint_every: int = 50
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def examples_per_step(self) -> int:
        """How many examples a step takes."""
        return self.batch * self.accumulate

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warm_up:
            return self.rate * (step + 1) / (self.warm_up + 1)
        gone = (step - self.warm_up) / max(self.steps - self.warm_up, 1)
        match self.schedule:
            case "constant":
                return self.rate
            case "linear":
                return self.rate * (1 - gone)
            case "cosine":
                return self.rate * (0.5 + 0.5 * math.cos(math.pi * gone))
