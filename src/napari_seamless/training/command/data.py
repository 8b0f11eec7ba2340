"""From files to what a network learns from: everything is looked at once before the first step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from napari_seamless.errors import BadRequest, InputMismatch, RunCancelled
from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.interfaces import ImageInfo
from napari_seamless.models.recipe_file import Normal, Range, Scaling
from napari_seamless.training.command.files import OpenFiles, Pair, pairs_in, pairs_of
from napari_seamless.training.command.masks import MaskTarget, MaskValues, ValueTarget
from napari_seamless.training.command.scaling import ScaleOf
from napari_seamless.training.command.training_file import ClassEntry, TrainingFile
from napari_seamless.training.sampling.pieces import IGNORED, Example

LOOKED_AT = 2048
"""Side of the parts in which masks are looked at."""


@dataclass(frozen=True)
class Seen:
    """What was found in an image and its mask: how many pixels of each class."""

    pair: Pair
    shape: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class TrainingData:
    """Everything that is learned from, and what is the same for all of it."""

    learned: tuple[Example, ...]
    held_out: tuple[Example, ...]
    classes: tuple[ClassEntry, ...]
    counts: tuple[int, ...]
    info: ImageInfo
    channel_names: tuple[str, ...]
    scaling: Scaling
    outputs: int
    notices: tuple[str, ...]

    @property
    def is_labelled_whole(self) -> bool:
        return self.learned[0].is_labelled_whole

    @property
    def names(self) -> list[str]:
        """Of the images, those that are learned from first, for telling one set from another."""
        return [e.name for e in self.learned] + ["|"] + [e.name for e in self.held_out]


class SourceImage:
    """A level of an image on the shelf, as what training reads."""

    def __init__(self, shelf: OpenFiles, path: str, shape: tuple[int, ...], level: int) -> None:
        self._shelf, self._path, self.shape, self._level = shelf, path, shape, level

    def read(self, region: Region) -> Tensor:
        """float32 (c, *region.shape)."""
        pixels = self._shelf.source(self._path).read(region, self._level)
        return torch.from_numpy(np.ascontiguousarray(pixels, np.float32))


def gathered(
    said: TrainingFile, base: Path, shelf: OpenFiles, on_look: Callable[[int, int], None], stop: Callable[[], bool]
) -> TrainingData:
    """Find, open and look at all images and masks. Raises InputNotFound, InputUnreadable, InputMismatch, BadRequest."""
    pairs = _pairs(said.data, base)
    elsewhere = _pairs(said.validation, base, said.data.ending) if said.validation.is_elsewhere else []
    classes = said.classes or (_classes_of([*pairs, *elsewhere]) if said.data.table is not None else ())
    looking = _Looking(said, classes, shelf)
    seen = []
    for number, pair in enumerate([*pairs, *elsewhere]):
        if stop():
            raise RunCancelled("the training was stopped while it looked at the images; start it again")
        on_look(number, len(pairs) + len(elsewhere))
        seen.append(looking.at(pair))
    on_look(len(seen), len(seen))
    if elsewhere:
        learned, held_out = seen[: len(pairs)], seen[len(pairs) :]
    else:
        learned, held_out = divided(seen, said.validation.share, said.training.seed)
    _require_held(said.training.crop, learned)
    counts = tuple(sum(column) for column in zip(*(one.counts for one in learned), strict=True)) if classes else ()
    notices = _require_classes(classes, counts, learned)
    info = looking.info
    assert info is not None
    scaling = said.input.scaling or (
        Range(kind="range", low=0, high=255) if info.dtype == np.uint8 else Normal(kind="own-mean-std")
    )
    make = _ExampleOf(said, classes, shelf, scaling, looking)
    return TrainingData(
        tuple(map(make.of, learned)),
        tuple(map(make.of, held_out)),
        classes,
        counts,
        info,
        said.input.channels or _channel_names(info),
        scaling,
        looking.outputs,
        notices,
    )


def _pairs(part: Any, base: Path, ending: str | None = None) -> list[Pair]:
    if part.table is not None:
        return pairs_of(base / part.table)
    return pairs_in(base / part.images, base / part.masks, part.ending if ending is None else ending)


def _classes_of(pairs: Sequence[Pair]) -> tuple[ClassEntry, ...]:
    """A class for each label, in alphabetical order."""
    labels = sorted({pair.label for pair in pairs if pair.label is not None})
    return tuple(ClassEntry(value=k, name=label) for k, label in enumerate(labels))


class _Looking:
    """One image after another; all must be alike in channels, type of values and dimensions."""

    def __init__(self, said: TrainingFile, classes: Sequence[ClassEntry], shelf: OpenFiles) -> None:
        self._said, self._classes, self._shelf = said, classes, shelf
        self._labels = {one.label or one.name: k for k, one in enumerate(classes)}
        self.values = MaskValues(classes, said.data.ignore) if classes and said.data.table is None else None
        self.info: ImageInfo | None = None
        self.outputs = len(classes)

    def at(self, pair: Pair) -> Seen:
        source = self._shelf.source(pair.image)
        self._require_alike(pair, source.info)
        shape = source.info.levels.shape(self._said.data.level)
        if pair.mask is None:
            return Seen(pair, shape, tuple(int(k == self.label(pair)) for k in range(len(self._classes))))
        mask = self._shelf.source(pair.mask)
        if mask.info.levels.shape(0) != shape:
            own, theirs = (" x ".join(map(str, s)) for s in (shape, mask.info.levels.shape(0)))
            raise InputMismatch(
                f"an image and its mask have the same size; {pair.name} has {own}"
                f"{f' at level {self._said.data.level}' if self._said.data.level else ''}, and its mask "
                f"{self._shelf.shown(pair.mask)} {theirs}; make the mask again, or move both away"
            )
        if self.values is None:
            self._require_values(pair, mask.info)
            return Seen(pair, shape, ())
        return Seen(pair, shape, self._counted(MaskTarget(self._shelf, pair.mask, shape, self.values)))

    def label(self, pair: Pair) -> int:
        """The class that a label means."""
        if pair.label not in self._labels:
            raise InputMismatch(
                f"labels are those of the classes, {', '.join(self._labels)} here; {pair.name} has {pair.label!r}; "
                "name it in a class, or correct the table"
            )
        return self._labels[pair.label]

    def _require_alike(self, pair: Pair, info: ImageInfo) -> None:
        level = self._said.data.level
        if level >= len(info.levels):
            raise InputMismatch(
                f"images need the level that is learned from, {level} here; {pair.name} has {len(info.levels)} "
                "level(s), numbered from 0; choose another level"
            )
        if self.info is None:
            self.info = info
            named = self._said.input.channels
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
        for region in parts_of(target.shape):
            total += np.bincount((target[region.slices()] - IGNORED).ravel(), minlength=len(total))
        return tuple(int(n) for n in total[1:])


def parts_of(shape: Sequence[int]) -> Iterator[Region]:
    """Regions of a bounded size that an image is made of."""
    grid = Grid(tuple(shape), tuple(min(LOOKED_AT if k >= len(shape) - 2 else 16, n) for k, n in enumerate(shape)))
    return (grid.region(cell) for cell in cells_of(Region.from_shape(grid.counts)))


def divided(seen: Sequence[Seen], share: float, seed: int) -> tuple[list[Seen], list[Seen]]:
    """Images to learn from and held-out ones: of those with the same classes in them the same share, by lot.

    Where a share is wanted at least one image is held out, and one is learned from. Raises BadRequest.
    """
    if not share:
        return list(seen), []
    if len(seen) < 2:
        raise BadRequest(
            "a share of the images is held out, so that there must be two at least; got 1; add images, or set "
            "validation.share = 0"
        )
    kinds: dict[tuple[bool, ...], list[int]] = defaultdict(list)
    for k, one in enumerate(seen):
        kinds[tuple(n > 0 for n in one.counts)].append(k)
    random = np.random.default_rng((seed, 3))
    shuffled = [[members[i] for i in random.permutation(len(members))] for _, members in sorted(kinds.items())]
    # images of all kinds, spread evenly over 0..1: the first ones are a fair share
    spread = sorted(
        (((k + 0.5) / len(members)), kind, i) for kind, members in enumerate(shuffled) for k, i in enumerate(members)
    )
    count = min(max(round(share * len(seen)), 1), len(seen) - 1)
    out = {i for _, _, i in spread[:count]}
    return [one for k, one in enumerate(seen) if k not in out], [one for k, one in enumerate(seen) if k in out]


def _require_held(crop: int | Literal["whole"], learned: Sequence[Seen]) -> None:
    """Raise BadRequest where crops would be made of reflections mostly, and be slow."""
    largest = max(learned, key=lambda one: (max(one.shape), prod(one.shape)))
    if crop != "whole" and crop > 2 * max(largest.shape):
        raise BadRequest(
            f"a crop must not be more than twice as large as every image; the largest of the {len(learned)} that are "
            f"learned from, {largest.pair.name}, has {' x '.join(map(str, largest.shape))}, and the crop is {crop} a "
            f'side; set training.crop to {min(largest.shape[-2:])} or less, or to "whole"'
        )


def _require_classes(classes: Sequence[ClassEntry], counts: Sequence[int], learned: Sequence[Seen]) -> tuple[str, ...]:
    """Notices about classes that never come. Raises InputMismatch where there is only one."""
    if not classes:
        return ()
    there = [one.name for one, n in zip(classes, counts, strict=True) if n]
    if len(there) < 2:
        what = f"all are {there[0]}" if there else "all pixels are ignored"
        raise InputMismatch(
            f"a network learns to tell classes apart, so that there must be two at least; in the {len(learned)} images "
            f"that are learned from {what}; check the masks or labels, and which values belong to which class"
        )
    missing = [one.name for one in classes if one.name not in there]
    return tuple(f"no image that is learned from has {name} in it" for name in missing)


def _channel_names(info: ImageInfo) -> tuple[str, ...]:
    if info.channel_names:
        return info.channel_names
    return ("red", "green", "blue") if info.rgb else tuple(f"channel {k}" for k in range(info.channels))


class _ExampleOf:
    """Makes examples of what was looked at."""

    def __init__(
        self, said: TrainingFile, classes: Sequence[ClassEntry], shelf: OpenFiles, scaling: Scaling, looking: _Looking
    ) -> None:
        self._said, self._classes, self._shelf, self._scaling, self._looking = said, classes, shelf, scaling, looking

    def of(self, seen: Seen) -> Example:
        pair, level = seen.pair, self._said.data.level
        assert self._looking.info is not None
        image = SourceImage(self._shelf, pair.image, (self._looking.info.channels, *seen.shape), level)
        target: Any
        if pair.mask is None:
            target = self._looking.label(pair)
        elif self._looking.values is not None:
            target = MaskTarget(self._shelf, pair.mask, seen.shape, self._looking.values)
        else:
            target = ValueTarget(self._shelf, pair.mask, (self._looking.outputs, *seen.shape))
        return Example(pair.name, image, target, ScaleOf(self._scaling, self._shelf, pair.image, level))


def in_words(names: Sequence[str], counts: Sequence[int]) -> str:
    """Classes with their shares of the pixels, for a person."""
    total = max(sum(counts), 1)
    return ", ".join(f"{name} {100 * n / total:.3g} %" for name, n in zip(names, counts, strict=True))
