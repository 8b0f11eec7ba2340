"""Examples from strokes: squares of an image around what somebody has painted on it.

::

    image      .................        a stroke crosses cells of a fixed grid; each cell that it touches
               ...+----+----+...        becomes an example: the cell and a margin around it, so that the network
               ...| ~~~|~~  |...        sees what lies beside the strokes. What is painted counts in its own
               ...+----+----+...        cell only, so that no pixel is both learned from and held out.

Examples have one size, so that a network is traced once for all of them, and whether a cell is held out depends on
where it lies and on nothing else: strokes that come later move none from one side to the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_seamless.errors import BadRequest, InputMismatch
from napari_seamless.geometry import Interval, Region
from napari_seamless.training.data.examples import IGNORED, Example, unscaled
from napari_seamless.training.gradients.images import TrainingImage

CELL, MARGIN = 192, 32
CROP = CELL + 2 * MARGIN
HELD_OUT = 5
"""One cell of so many is held out."""


@dataclass(frozen=True)
class Strokes:
    """What is painted: `labels` (y, x) of whole numbers, 0 where nothing is, each for `step` x `step` image pixels."""

    labels: NDArray[np.integer]
    step: int = 1

    def of(self, region: Region) -> NDArray[np.int64]:
        """The labels under a region of the image, (y, x)."""
        rows, columns = (np.arange(i.lo, i.hi) // self.step for i in region.intervals)
        found: NDArray[np.int64] = self.labels[np.ix_(rows, columns)].astype(np.int64)
        return found

    def cells(self) -> list[tuple[int, int]]:
        """The cells (row, column) that something is painted in, in the order of the image."""
        where = np.argwhere(self.labels)
        return [(int(y), int(x)) for y, x in np.unique(where * self.step // CELL, axis=0)]


@dataclass(frozen=True)
class CroppedImage:
    """A region of an image, as an image of its own."""

    whole: TrainingImage
    region: Region

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.whole.shape[0], *self.region.shape)

    def read(self, region: Region) -> Tensor:
        return self.whole.read(region.shift(self.region.start))


@dataclass(frozen=True)
class StrokeExamples:
    """What to learn from, what is held out, and how many pixels of each class are learned from."""

    learned: tuple[Example, ...]
    held_out: tuple[Example, ...]
    counts: tuple[int, ...]


def stroke_examples(
    image: TrainingImage, strokes: Strokes, values: Sequence[int], scale: Callable[[Tensor], Tensor] = unscaled
) -> StrokeExamples:
    """Examples of an image (c, y, x) that is painted on; `values` are the labels of the classes, in their order.

    Raises InputMismatch where strokes do not lie on the image, BadRequest where fewer than two classes are painted, or
    something that is no class.
    """
    shape = tuple(image.shape[1:])
    _check(strokes, shape, values)
    found = [(cell, _example_of(image, strokes, values, cell, shape, scale)) for cell in strokes.cells()]
    learned = [example for cell, example in found if not _is_held_out(cell)]
    held_out = [example for cell, example in found if _is_held_out(cell)]
    counts = _counts(learned, len(values))
    for example in list(held_out):  # a class is learned from before it is held out
        if any(n and not counts[k] for k, n in enumerate(_counts([example], len(values)))):
            held_out.remove(example)
            learned.append(example)
            counts = _counts(learned, len(values))
    return StrokeExamples(tuple(learned), tuple(held_out), counts)


def _check(strokes: Strokes, shape: tuple[int, ...], values: Sequence[int]) -> None:
    wanted = tuple(-(-n // strokes.step) for n in shape)
    if strokes.labels.shape != wanted:
        size, own = (" x ".join(str(n) for n in sizes) for sizes in (wanted, strokes.labels.shape))
        raise InputMismatch(
            f"strokes cover the whole image, {size} here with {strokes.step} pixels each; got {own}; paint on a layer "
            "of that size"
        )
    painted = [int(v) for v in np.unique(strokes.labels) if v]
    if unknown := [v for v in painted if v not in values]:
        raise BadRequest(
            f"every label that is painted needs a class; {unknown[0]} has none; add a class for it, or erase it"
        )
    if len(painted) < 2:
        said = "nothing is painted yet" if not painted else "only one is painted"
        raise BadRequest(f"a network learns to tell at least two classes apart; {said}; paint a few strokes of each")


def _example_of(
    image: TrainingImage,
    strokes: Strokes,
    values: Sequence[int],
    cell: tuple[int, int],
    shape: tuple[int, ...],
    scale: Callable[[Tensor], Tensor],
) -> Example:
    region = Region(tuple(_around(k, n) for k, n in zip(cell, shape, strict=True)))
    labels, target = strokes.of(region), np.full(region.shape, IGNORED, np.int64)
    own = tuple(
        slice(max(k * CELL - i.lo, 0), (k + 1) * CELL - i.lo) for k, i in zip(cell, region.intervals, strict=True)
    )
    for index, value in enumerate(values):
        target[own][labels[own] == value] = index
    return Example(f"the strokes in {region!r}", CroppedImage(image, region), target, scale)


def _around(number: int, size: int) -> Interval:
    """A cell and its margins, moved so that it lies inside an axis of `size`."""
    edge = min(CROP, size)
    lo = min(max(number * CELL - MARGIN, 0), size - edge)
    return Interval(lo, lo + edge)


def _is_held_out(cell: tuple[int, int]) -> bool:
    return crc32(f"{cell[0]},{cell[1]}".encode()) % HELD_OUT == 0


def _counts(examples: Sequence[Example], classes: int) -> tuple[int, ...]:
    return tuple(sum(int((example.target == k).sum()) for example in examples) for k in range(classes))
