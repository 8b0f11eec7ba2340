"""Every image and mask is opened and read once before the first step: all must be alike, every value of a class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from napari_seamless.errors import InputMismatch
from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.interfaces import ImageInfo
from napari_seamless.training.data.examples import IGNORED
from napari_seamless.training.from_files.files import OpenFiles, Pair
from napari_seamless.training.from_files.masks import MaskTarget, MaskValues
from napari_seamless.training.from_files.training_file import ClassEntry, TrainingFile

COUNT_EDGE = 2048
"""Side of the regions in which pixels of masks are counted."""


@dataclass(frozen=True)
class CheckedPair:
    """What was found in an image and its mask: how many pixels of each class."""

    pair: Pair
    shape: tuple[int, ...]
    counts: tuple[int, ...]


class PairChecker:
    """One image after another; all must be alike in channels, type of values and dimensions."""

    def __init__(self, config: TrainingFile, classes: Sequence[ClassEntry], files: OpenFiles) -> None:
        self._config, self._classes, self._files = config, classes, files
        self._labels = {one.label or one.name: k for k, one in enumerate(classes)}
        self.values = MaskValues(classes, config.data.ignore) if classes and config.data.table is None else None
        self.info: ImageInfo | None = None
        self.outputs = len(classes)

    def check(self, pair: Pair) -> CheckedPair:
        source = self._files.source(pair.image)
        self._require_alike(pair, source.info)
        shape = source.info.levels.shape(self._config.data.level)
        if pair.mask is None:
            return CheckedPair(pair, shape, tuple(int(k == self.label(pair)) for k in range(len(self._classes))))
        mask = self._files.source(pair.mask)
        if mask.info.levels.shape(0) != shape:
            own, theirs = (" x ".join(map(str, s)) for s in (shape, mask.info.levels.shape(0)))
            raise InputMismatch(
                f"an image and its mask have the same size; {pair.name} has {own}"
                f"{f' at level {self._config.data.level}' if self._config.data.level else ''}, and its mask "
                f"{self._files.name(pair.mask)} {theirs}; make the mask again, or move both away"
            )
        if self.values is None:
            self._require_values(pair, mask.info)
            return CheckedPair(pair, shape, ())
        return CheckedPair(pair, shape, self._counted(MaskTarget(self._files, pair.mask, shape, self.values)))

    def label(self, pair: Pair) -> int:
        """The class that a label means."""
        if pair.label not in self._labels:
            raise InputMismatch(
                f"labels are those of the classes, {', '.join(self._labels)} here; {pair.name} has {pair.label!r}; "
                "name it in a class, or correct the table"
            )
        return self._labels[pair.label]

    def _require_alike(self, pair: Pair, info: ImageInfo) -> None:
        level = self._config.data.level
        if level >= len(info.levels):
            raise InputMismatch(
                f"images need the level that is learned from, {level} here; {pair.name} has {len(info.levels)} "
                "level(s), numbered from 0; choose another level"
            )
        if self.info is None:
            self.info = info
            named = self._config.input.channels
            if named and len(named) != info.channels:
                raise InputMismatch(
                    f"every channel has a name; {len(named)} are named, and {pair.name} has {info.channels}; correct "
                    "input.channels"
                )
            return
        first = self.info
        for what, own, theirs in (
            ("channels", info.channels, first.channels),
            ("type of pixel values", info.dtype.name, first.dtype.name),
            ("number of dimensions", info.ndim, first.ndim),
        ):
            if own != theirs:
                raise InputMismatch(
                    f"all images of a training have the same {what}; {pair.name} has {own}, {first.name} has {theirs}; "
                    "convert one of them, or move it away"
                )

    def _require_values(self, pair: Pair, info: ImageInfo) -> None:
        if self.outputs and info.channels != self.outputs:
            raise InputMismatch(
                f"all images of values have the same channels; that of {pair.name} has {info.channels}, others have "
                f"{self.outputs}; convert it, or move it away"
            )
        self.outputs = info.channels

    def _counted(self, target: MaskTarget) -> tuple[int, ...]:
        """How many pixels each class has."""
        total = np.zeros(len(self._classes) + 1, np.int64)
        for region in _count_regions(target.shape):
            total += np.bincount((target[region.slices()] - IGNORED).ravel(), minlength=len(total))
        return tuple(int(n) for n in total[1:])


def _count_regions(shape: Sequence[int]) -> Iterator[Region]:
    """Regions of a bounded size that an image is made of."""
    grid = Grid(tuple(shape), tuple(min(COUNT_EDGE if k >= len(shape) - 2 else 16, n) for k, n in enumerate(shape)))
    return (grid.region(cell) for cell in cells_of(Region.from_shape(grid.counts)))
