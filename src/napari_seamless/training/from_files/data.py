"""From files to examples: found, checked, and split into what is learned from and what is held out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_seamless.errors import BadRequest, InputMismatch, RunCancelled
from napari_seamless.interfaces import ImageInfo
from napari_seamless.models.recipe_file import Normal, Range, Scaling
from napari_seamless.training.data.examples import Example
from napari_seamless.training.from_files.checks import CheckedPair, PairChecker
from napari_seamless.training.from_files.files import FileImage, OpenFiles, Pair, pairs_in, pairs_of
from napari_seamless.training.from_files.masks import MaskTarget, ValueTarget
from napari_seamless.training.from_files.scaling import ImageScaling
from napari_seamless.training.from_files.training_file import ClassEntry, TrainingFile


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


def load_data(
    config: TrainingFile, base: Path, files: OpenFiles, on_checked: Callable[[int, int], None], stop: Callable[[], bool]
) -> TrainingData:
    """Find, open and check all images and masks. Raises InputNotFound, InputUnreadable, InputMismatch, BadRequest."""
    pairs = _pairs(config.data, base)
    elsewhere = _pairs(config.validation, base, config.data.ending) if config.validation.is_elsewhere else []
    classes = config.classes or (_classes_of([*pairs, *elsewhere]) if config.data.table is not None else ())
    checker = PairChecker(config, classes, files)
    checked = []
    for number, pair in enumerate([*pairs, *elsewhere]):
        if stop():
            raise RunCancelled("the training was stopped while it looked at the images; start it again")
        on_checked(number, len(pairs) + len(elsewhere))
        checked.append(checker.check(pair))
    on_checked(len(checked), len(checked))
    if elsewhere:
        learned, held_out = checked[: len(pairs)], checked[len(pairs) :]
    else:
        learned, held_out = split(checked, config.validation.share, config.training.seed)
    _require_fitting_crop(config.training.crop, learned)
    counts = tuple(sum(column) for column in zip(*(one.counts for one in learned), strict=True)) if classes else ()
    notices = _require_classes(classes, counts, learned)
    info = checker.info
    assert info is not None
    scaling = config.input.scaling or (
        Range(kind="range", low=0, high=255) if info.dtype == np.uint8 else Normal(kind="own-mean-std")
    )
    make = _ExampleMaker(config, files, scaling, checker)
    return TrainingData(
        tuple(map(make.of, learned)),
        tuple(map(make.of, held_out)),
        classes,
        counts,
        info,
        config.input.channels or _channel_names(info),
        scaling,
        checker.outputs,
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


def split(checked: Sequence[CheckedPair], share: float, seed: int) -> tuple[list[CheckedPair], list[CheckedPair]]:
    """Images to learn from and held-out ones: of those with the same classes in them the same share, by lot.

    Where a share is wanted at least one image is held out, and one is learned from. Raises BadRequest.
    """
    if not share:
        return list(checked), []
    if len(checked) < 2:
        raise BadRequest(
            "a share of the images is held out, so that there must be two at least; got 1; add images, or set "
            "validation.share = 0"
        )
    kinds: dict[tuple[bool, ...], list[int]] = defaultdict(list)
    for k, one in enumerate(checked):
        kinds[tuple(n > 0 for n in one.counts)].append(k)
    random = np.random.default_rng((seed, 3))
    shuffled = [[members[i] for i in random.permutation(len(members))] for _, members in sorted(kinds.items())]
    # images of all kinds, spread evenly over 0..1: the first ones are a fair share
    spread = sorted(
        (((k + 0.5) / len(members)), kind, i) for kind, members in enumerate(shuffled) for k, i in enumerate(members)
    )
    count = min(max(round(share * len(checked)), 1), len(checked) - 1)
    out = {i for _, _, i in spread[:count]}
    return [one for k, one in enumerate(checked) if k not in out], [one for k, one in enumerate(checked) if k in out]


def _require_fitting_crop(crop: int | Literal["whole"], learned: Sequence[CheckedPair]) -> None:
    """Raise BadRequest where crops would be made of reflections mostly, and be slow."""
    largest = max(learned, key=lambda one: (max(one.shape), prod(one.shape)))
    if crop != "whole" and crop > 2 * max(largest.shape):
        raise BadRequest(
            f"a crop must not be more than twice as large as every image; the largest of the {len(learned)} that are "
            f"learned from, {largest.pair.name}, has {' x '.join(map(str, largest.shape))}, and the crop is {crop} a "
            f'side; set training.crop to {min(largest.shape[-2:])} or less, or to "whole"'
        )


def _require_classes(
    classes: Sequence[ClassEntry], counts: Sequence[int], learned: Sequence[CheckedPair]
) -> tuple[str, ...]:
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


@dataclass(frozen=True)
class _ExampleMaker:
    """Makes examples of checked images, with targets."""

    config: TrainingFile
    files: OpenFiles
    scaling: Scaling
    checker: PairChecker

    def of(self, checked: CheckedPair) -> Example:
        pair, level = checked.pair, self.config.data.level
        assert self.checker.info is not None
        image = FileImage(self.files, pair.image, (self.checker.info.channels, *checked.shape), level)
        target: Any
        if pair.mask is None:
            target = self.checker.label(pair)
        elif self.checker.values is not None:
            target = MaskTarget(self.files, pair.mask, checked.shape, self.checker.values)
        else:
            target = ValueTarget(self.files, pair.mask, (self.checker.outputs, *checked.shape))
        return Example(pair.name, image, target, ImageScaling(self.scaling, self.files, pair.image, level))


def class_shares(names: Sequence[str], counts: Sequence[int]) -> str:
    """Classes with their shares of the pixels, for a person."""
    total = max(sum(counts), 1)
    return ", ".join(f"{name} {100 * n / total:.3g} %" for name, n in zip(names, counts, strict=True))
