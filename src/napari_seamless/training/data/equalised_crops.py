"""Label histogram equalisation: rare classes are learned as much as frequent ones.

Tschopp (arXiv 1509.03371) equalises what a network sees in two ways, and leaves the loss itself as it is:

1. *Crops* are not drawn evenly, but in proportion to how much of rare classes they hold: the sum over classes of the
   class's share of the crop, divided by its frequency.
2. *Pixels* of a crop are left out of the loss at random, by class: a pixel of the rarest class always counts, one of a
   class that is twice as frequent among drawn crops counts in half of the cases.

Frequencies are of what crops show, so pixels at an image's border, which fewer crops reach, count less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest, InputMismatch

IGNORE = -100
"""What torch's losses leave out by default."""
Labels = NDArray[np.integer]


@dataclass(frozen=True)
class Crop:
    """Where a crop lies: number of the image, and its first row and column."""

    image: int
    top: int
    left: int


class EqualisedCrops:
    """Draws crops of `side` x `side` pixels from images whose classes are `labels`, each (y, x) in 0..classes - 1.

    `frequencies` are those of the classes among drawn crops, `chances` those of a pixel of each class to count.

    Raises BadRequest for no images or a side below 1, InputMismatch for an image smaller than a crop, labels out of
    range, or a class that no image shows.
    """

    def __init__(self, labels: Sequence[Labels], classes: int, side: int) -> None:
        _refuse(labels, classes, side)
        self.labels, self.classes, self.side = list(labels), classes, side
        shares = [_shares(image, classes, side) for image in labels]  # each (classes, tops, lefts)
        plain = _normal(np.sum([s.sum((1, 2)) for s in shares], axis=0))
        missing = np.flatnonzero(plain == 0)
        if len(missing):
            raise InputMismatch(
                f"every class must be shown by some image; got none of class {missing[0]} of {classes}; "
                "add such an image or leave the class out"
            )
        priors = [np.tensordot(1 / plain, s, axes=1) for s in shares]
        self._ends = np.cumsum([prior.sum() for prior in priors])
        self._priors = [np.cumsum(prior) for prior in priors]
        drawn = np.sum([(s * prior).sum((1, 2)) for s, prior in zip(shares, priors, strict=True)], axis=0)
        self.frequencies = _normal(drawn)
        self.chances = self.frequencies.min() / self.frequencies

    def draw(self, random: np.random.Generator) -> Crop:
        """A crop, likelier where rare classes are."""
        place = random.uniform(0, self._ends[-1])
        image = min(int(np.searchsorted(self._ends, place, side="right")), len(self._priors) - 1)
        prior = self._priors[image]
        at = min(int(np.searchsorted(prior, random.uniform(0, prior[-1]), side="right")), len(prior) - 1)
        top, left = divmod(at, self.labels[image].shape[1] - self.side + 1)
        return Crop(image, top, left)

    def targets(self, crop: Crop, random: np.random.Generator) -> NDArray[np.int64]:
        """Classes (side, side) of a crop; pixels that do not count are IGNORE."""
        rows, columns = slice(crop.top, crop.top + self.side), slice(crop.left, crop.left + self.side)
        classes = self.labels[crop.image][rows, columns].astype(np.int64)
        return np.where(random.uniform(size=classes.shape) < self.chances[classes], classes, IGNORE)


def _shares(labels: Labels, classes: int, side: int) -> NDArray[np.float64]:
    """The share of each class in the crop at each place: (classes, tops, lefts)."""
    counted = np.stack([labels == k for k in range(classes)]).cumsum(1).cumsum(2)
    total = np.pad(counted, ((0, 0), (1, 0), (1, 0)))
    sums = total[:, side:, side:] - total[:, :-side, side:] - total[:, side:, :-side] + total[:, :-side, :-side]
    return np.asarray(sums / side**2, dtype=np.float64)


def _normal(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values / values.sum())


def _refuse(labels: Sequence[Labels], classes: int, side: int) -> None:
    if not len(labels) or side < 1:
        raise BadRequest(
            f"crops need at least one image and a side of 1 pixel; got {len(labels)} images and a side of {side}; "
            "give the labels of every image"
        )
    if classes < 2:
        raise BadRequest(f"there must be at least 2 classes to equalise; got {classes}; one class needs no training")
    for number, image in enumerate(labels):
        if image.ndim != 2 or min(image.shape) < side:
            raise InputMismatch(
                f"an image must hold a crop of {side} x {side} pixels; image {number} is {image.shape}; "
                "use a smaller side or mirror the image at its border"
            )
        if image.min() < 0 or image.max() >= classes:
            raise InputMismatch(
                f"labels must be 0 to {classes - 1}; image {number} has {image.min()} to {image.max()}; "
                "number the classes from 0"
            )
