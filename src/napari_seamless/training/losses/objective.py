"""What a network is asked to do: a loss over the pixels of an image, tile by tile where that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from napari_seamless.training.data.examples import IGNORED

Kind = Literal["cross-entropy", "dice", "cross-entropy+dice", "bce", "mse"]
SMOOTH = 1.0


@dataclass(frozen=True)
class Objective:
    """A loss of scores (n, k, ...) and a target: class indices (n, ...), or values (n, k, ...) for "mse".

    `weights` has one number for each class. "bce" is for one channel of scores and two classes.
    """

    kind: Kind = "cross-entropy"
    weights: tuple[float, ...] | None = None

    @property
    def is_sum(self) -> bool:
        """Whether it is a sum over pixels, so that it can be added up tile by tile."""
        return "dice" not in self.kind

    def count(self, target: Tensor) -> int:
        """By how many a sum over this target is divided: its labelled pixels, or its values."""
        return target.numel() if self.kind == "mse" else int((target != IGNORED).sum())

    def total(self, output: Tensor, target: Tensor) -> Tensor:
        """The sum over pixels."""
        match self.kind:
            case "mse":
                return functional.mse_loss(output, target.to(output.dtype), reduction="sum")
            case "bce":
                return self._bce(output[:, 0], target)
            case _:
                weights = None if self.weights is None else torch.tensor(self.weights).to(output)
                return functional.cross_entropy(output, target, weight=weights, ignore_index=IGNORED, reduction="sum")

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of a whole image, or of a batch."""
        if self.is_sum:
            return self.total(output, target) / max(self.count(target), 1)
        parts = [1 - dice(output, target)]
        if self.kind != "dice":
            parts.append(self.total(output, target) / max(self.count(target), 1))
        return sum(parts[1:], parts[0])

    def _bce(self, scores: Tensor, target: Tensor) -> Tensor:
        known = target != IGNORED
        losses = functional.binary_cross_entropy_with_logits(
            scores, target.clamp(min=0).to(scores.dtype), reduction="none"
        )
        if self.weights is not None:
            losses = losses * torch.tensor(self.weights).to(losses)[target.clamp(min=0)]
        return (losses * known).sum()


def dice(output: Tensor, target: Tensor) -> Tensor:
    """Mean over classes of the soft Dice overlap, where 1 is perfect; of the first class only if there is no other."""
    known = (target != IGNORED).unsqueeze(1)
    truth = functional.one_hot(target.clamp(min=0), max(output.shape[1], 2)).movedim(-1, 1).to(output.dtype) * known
    if output.shape[1] == 1:
        guess, truth = output.sigmoid() * known, truth[:, 1:]
    else:
        guess, truth = output.softmax(1)[:, 1:] * known, truth[:, 1:]
    over = [0, *range(2, output.dim())]
    both = 2 * (truth * guess).sum(over) + SMOOTH
    return (both / (truth.sum(over) + guess.sum(over) + SMOOTH)).mean()


def class_weights(counts: Sequence[int], strength: float = 1.0) -> tuple[float, ...]:
    """Weights by which every class counts the same, whatever its share of the pixels.

    The same end as label histogram equalisation (equalise.py), without leaving pixels out.
    `strength` from 0 (none) to 1 (full) is an exponent; the mean weight of a pixel is 1. A class without pixels gets 1.
    """
    total, seen = sum(counts), sum(n > 0 for n in counts)
    raw = [(total / (seen * n)) ** strength if n else 1.0 for n in counts]
    mean = sum(w * n for w, n in zip(raw, counts, strict=True)) / total
    return tuple(w / mean if n else 1.0 for w, n in zip(raw, counts, strict=True))
