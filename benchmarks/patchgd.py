"""PatchGD against plain training on images made smaller, at the same memory: the sum of digits on a large noisy canvas.

    python benchmarks/patchgd.py --minutes 2.5 --seeds 3

A task like UltraMNIST (Gupta et al. 2022) of real handwritten digits, those that come with scikit-learn: one to three digits
of very different sizes lie on a canvas of noise, and the class is their sum, 0 to 27. Canvases are made anew for every batch;
the test's canvases bear digits of other writers' samples, which training never sees.

All ways train the same encoder and head for the same processor time, from the same weights, with the same optimiser:

- PatchGD: the canvas as it is; gradients through a share of its tiles at a time;
- small: the canvas made smaller, so that a step keeps no more bytes than an inner step of PatchGD; convolutions run over
  the whole of it, without borders between tiles;
- whole: the canvas as it is, gradients through all tiles, with as much memory as that takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

CANVAS, TILE = 192, 32
SMALLEST, LARGEST = 10, 40
MOST_DIGITS, CLASSES = 2, 19
WIDTH = 32


# --- the task -----------------------------------------------------------------------------


def digits(test: bool) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, 8, 8) in 0..1 and the digits they show; the last fifth is for the test."""
    data = load_digits()
    cut = len(data.images) * 4 // 5
    part = slice(cut, None) if test else slice(cut)
    return data.images[part].astype(np.float32) / 16, data.target[part]


def canvas(images: np.ndarray, names: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, int]:
    """float32 (1, CANVAS, CANVAS) with digits that do not overlap, and their sum."""
    picture = random.uniform(0, 0.35, (CANVAS, CANVAS)).astype(np.float32)
    taken = np.zeros((CANVAS, CANVAS), dtype=bool)
    total = 0
    for _ in range(random.integers(1, MOST_DIGITS + 1)):
        number = random.integers(len(images))
        side = round(np.exp(random.uniform(np.log(SMALLEST), np.log(LARGEST))))
        digit = torch.from_numpy(images[number])[None, None]
        digit = functional.interpolate(digit, size=(side, side), mode="bilinear")[0, 0].numpy()
        while True:
            top, left = random.integers(0, CANVAS - side, 2)
            place = (slice(top, top + side), slice(left, left + side))
            if not taken[place].any():
                break
        taken[place] = True
        picture[place] += digit
        total += int(names[number])
    return picture[None], total


def batches(test: bool, count: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """float32 (count, 1, CANVAS, CANVAS) and int64 sums, for ever."""
    images, names = digits(test)
    random = np.random.default_rng((seed, test))
    while True:
        pictures, sums = zip(*(canvas(images, names, random) for _ in range(count)), strict=True)
        yield torch.from_numpy(np.stack(pictures)), torch.tensor(sums)


def crops(count: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """float32 (count, 1, TILE, TILE) that show one digit of any size or only noise, and its name or 10."""
    images, names = digits(test=False)
    random = np.random.default_rng((seed, 2))
    while True:
        made = [crop(images, names, random) for _ in range(count)]
        yield torch.from_numpy(np.stack([c for c, _ in made])), torch.tensor([n for _, n in made])


def crop(images: np.ndarray, names: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, int]:
    picture = random.uniform(0, 0.35, (1, TILE, TILE)).astype(np.float32)
    number = random.integers(len(images) + len(images) // 10)
    if number >= len(images):
        return picture, 10
    side = round(np.exp(random.uniform(np.log(SMALLEST / 2), np.log(TILE))))
    digit = torch.from_numpy(images[number])[None, None]
    digit = functional.interpolate(digit, size=(side, side), mode="bilinear", antialias=True)[0, 0].numpy()
    top, left = random.integers(0, TILE - side + 1, 2)
    picture[0, top : top + side, left : left + side] += digit
    return picture, int(names[number])


# --- the network --------------------------------------------------------------------------


def unit(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.GroupNorm(4, outputs), nn.ReLU()
    )


def trunk() -> nn.Sequential:
    """(n, 1, y, x) -> (n, WIDTH, y / 4, x / 4)."""
    return nn.Sequential(unit(1, 16, 2), unit(16, WIDTH, 1), unit(WIDTH, WIDTH, 2), unit(WIDTH, WIDTH, 1))


def head() -> nn.Sequential:
    """Z (n, WIDTH, rows, columns) -> (n, CLASSES): neighbouring tiles meet, then all are added up."""
    return nn.Sequential(
        nn.Conv2d(WIDTH, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES),
    )  # fmt: skip


class Plain(nn.Module):
    """The same trunk over a whole image, its features pooled to as many vectors as there are tiles, and the head."""

    def __init__(self, trunk: nn.Module, head: nn.Module, side: int) -> None:
        super().__init__()
        self.trunk, self.head, self.side = trunk, head, side

    def forward(self, images: Tensor) -> Tensor:
        small = functional.interpolate(images, size=(self.side, self.side), mode="bilinear", antialias=True)
        answers: Tensor = self.head(functional.adaptive_max_pool2d(self.trunk(small), CANVAS // TILE))
        return answers


def kept_bytes(work: Callable[[], object]) -> int:
    """Bytes that are kept for the backward pass while `work` runs: the most at any time, as each step frees its own."""
    held: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = work()
    del result
    return sum(held.values())
