"""PatchGD against plain training on images made smaller, at the same memory: the sum of digits on a large noisy canvas.

    python benchmarks/patchgd.py --steps 1000 --seeds 3

A task like UltraMNIST (Gupta et al. 2022) of real handwritten digits, those that come with scikit-learn: one or two of
the digits 0 to 3, of different sizes, lie on a canvas of noise, and their sum is to be told. Canvases are made anew for
every batch; those of the test bear samples of digits that training never sees. With --select a third part of the
samples, and other seeds, take the test's place: settings are chosen by these.

The network is an encoder, begun on single digits in a tile as the paper begins with a network trained on other images,
and a head. All ways start from the same weights, learn from the same canvases with the same optimiser, and
change the weights once for each batch:

- PatchGD: the canvas as it is; gradients through a share of its tiles at a time;
- small: the canvas made smaller, so that a step keeps no more bytes than an inner step of PatchGD; convolutions run
  over the whole of it, without borders between tiles. Once for as many batches, once for as much processor time;
- whole: the canvas as it is, gradients through all tiles, with as much memory as that takes (first seed only).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from statistics import mean, stdev
from time import process_time

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from napari_seamless.training.patchgd import PatchGD

CANVAS, TILE = 256, 64
SMALLEST, LARGEST = 9, 30
MOST_DIGITS, KINDS = 2, 4
WIDTH, BATCH = 24, 16
SHARE, INNER = 1 / 16, 4
TRAINING, SELECTION = 0.7, 0.8
"""Up to where in the samples of digits these reach; the rest is for the test."""


# --- the task -----------------------------------------------------------------------------


def digits(part: str) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, 8, 8) in 0..1 and the digits they show, for "training", "selection" or "test"."""
    data = load_digits(n_class=KINDS)
    first, second = (round(len(data.images) * share) for share in (TRAINING, SELECTION))
    cut = {"training": slice(first), "selection": slice(first, second), "test": slice(second, None)}[part]
    return data.images[cut].astype(np.float32) / 16, data.target[cut]


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


def batches(part: str, count: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """float32 (count, 1, CANVAS, CANVAS) and int64 sums, for ever."""
    images, names = digits(part)
    random = np.random.default_rng((seed, part == "test"))
    while True:
        pictures, sums = zip(*(canvas(images, names, random) for _ in range(count)), strict=True)
        yield torch.from_numpy(np.stack(pictures)), torch.tensor(sums)


def crops(count: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """float32 (count, 1, TILE, TILE) that show one digit of any size or only noise, and its name or KINDS."""
    images, names = digits("training")
    random = np.random.default_rng((seed, 2))
    while True:
        made = [crop(images, names, random) for _ in range(count)]
        yield torch.from_numpy(np.stack([c for c, _ in made])), torch.tensor([n for _, n in made])


def crop(images: np.ndarray, names: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, int]:
    picture = random.uniform(0, 0.35, (1, TILE, TILE)).astype(np.float32)
    number = random.integers(len(images) + len(images) // 10)
    if number >= len(images):
        return picture, KINDS
    side = round(np.exp(random.uniform(np.log(SMALLEST / 4), np.log(LARGEST))))
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
    return nn.Sequential(unit(1, 12, 2), unit(12, WIDTH, 2), unit(WIDTH, WIDTH, 1))


def encoder(trunk: nn.Module) -> nn.Sequential:
    """Tiles (k, 1, TILE, TILE) -> (k, WIDTH): the largest value of each feature."""
    return nn.Sequential(trunk, nn.AdaptiveMaxPool2d(1), nn.Flatten())


class Head(nn.Module):
    """Z (n, WIDTH, rows, columns) -> sums (n,): neighbouring tiles meet, then what all say is added up."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(WIDTH, 48, 3, padding=1), nn.ReLU(), nn.Conv2d(48, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 1)
        )
        nn.init.zeros_(self.layers[-1].weight)

    def forward(self, z: Tensor) -> Tensor:
        said: Tensor = self.layers(z).sum((1, 2, 3))
        return said


class Plain(nn.Module):
    """The same trunk over a whole image of any side, its features pooled to as many vectors as a canvas has tiles."""

    def __init__(self, trunk: nn.Module, head: nn.Module, side: int) -> None:
        super().__init__()
        self.trunk, self.head, self.side = trunk, head, side

    def forward(self, images: Tensor) -> Tensor:
        if self.side < CANVAS:
            images = functional.interpolate(images, size=(self.side, self.side), mode="bilinear", antialias=True)
        answers: Tensor = self.head(functional.adaptive_max_pool2d(self.trunk(images), CANVAS // TILE))
        return answers


# --- training -----------------------------------------------------------------------------


def begun(seconds: float) -> dict[str, Tensor]:
    """Weights of a trunk that tells single digits in a tile apart."""
    torch.manual_seed(0)
    base = trunk()
    network = nn.Sequential(encoder(base), nn.Linear(WIDTH, KINDS + 1))
    optimizer, made, spent = torch.optim.Adam(network.parameters(), lr=3e-3), crops(64, seed=0), 0.0
    while spent < seconds:
        tiles, kinds = next(made)
        begin = process_time()
        optimizer.zero_grad()
        functional.cross_entropy(network(tiles), kinds).backward()
        optimizer.step()
        spent += process_time() - begin
    return base.state_dict()


def rate_at(progress: float) -> float:
    return 3e-3 * (1 - progress) + 1e-4


def plain(base: nn.Module, side: int) -> tuple[nn.Module, Steps]:
    """A network for images of a side, and a step of its training, which takes the rate from the optimiser."""
    network = Plain(base, Head(), side)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate_at(0))

    def step(images: Tensor, sums: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.smooth_l1_loss(network(images), sums).backward()
        optimizer.step()

    return network, Steps(step, optimizer)


def by_tiles(base: nn.Module) -> tuple[PatchGD, Steps]:
    """The same with PatchGD."""
    parts = encoder(base), Head()
    optimizer = torch.optim.Adam([p for part in parts for p in part.parameters()], lr=rate_at(0))
    model = PatchGD(
        *parts, optimizer, tile=TILE, share=SHARE, inner_steps=INNER, accumulate=INNER, loss=functional.smooth_l1_loss
    )
    return model, Steps(model.step, optimizer)


def way(name: str, base: nn.Module, side: int) -> tuple[Callable[[Tensor], Tensor], Steps]:
    """How to answer, and how to take a step."""
    if name == "PatchGD":
        model, step = by_tiles(base)
        return model.predict, step
    return plain(base, side if name.startswith("small") else CANVAS)


class Steps:
    """Steps of a training whose rate falls from first to last."""

    def __init__(self, step: Callable[[Tensor, Tensor], object], optimizer: torch.optim.Optimizer) -> None:
        self.step, self.optimizer = step, optimizer

    def __call__(self, images: Tensor, sums: Tensor, progress: float = 0.0) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(progress)
        self.step(images, sums)


def trained(step: Steps, seed: int, *, steps: int | None = None, seconds: float = 0.0) -> tuple[float, int]:
    """Train for so many batches, or so many seconds; gives the processor time, without the making of canvases, and the
    number of batches."""
    made, spent, number = batches("training", BATCH, seed), 0.0, 0
    while (progress := spent / seconds if steps is None else number / steps) < 1:
        images, sums = next(made)
        begin = process_time()
        step(images, sums.float(), progress)
        spent += process_time() - begin
        number += 1
    return spent, number


def accuracy(answer: Callable[[Tensor], Tensor], part: str, canvases: int = 960) -> float:
    """Share of canvases of which the sum, rounded, is right."""
    made, right = batches(part, BATCH, seed=0), 0
    with torch.no_grad():
        for _ in range(canvases // BATCH):
            images, sums = next(made)
            right += int((answer(images).round() == sums).sum())
    return right / canvases


def chance(part: str, canvases: int = 960) -> float:
    """What saying the most frequent sum always would score on the same canvases."""
    made = batches(part, BATCH, seed=0)
    sums = torch.cat([next(made)[1] for _ in range(canvases // BATCH)])
    return int(sums.bincount().max()) / canvases


def kept_bytes(step: Callable[[Tensor, Tensor], object]) -> int:
    """The most bytes that any one loss of a step keeps for its backward pass."""
    held: dict[int, int] = {}
    most = [0]

    def keep(tensor: Tensor) -> Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        most[0] = max(most[0], sum(held.values()))
        return tensor

    def use(tensor: Tensor) -> Tensor:
        held.clear()  # a backward pass has begun
        return tensor

    images, sums = next(batches("training", BATCH, seed=0))
    with torch.autograd.graph.saved_tensors_hooks(keep, use):
        step(images, sums.float())
    return most[0]


def side_within(memory: int) -> int:
    """The largest side, a multiple of 4, at which plain training keeps no more bytes than that."""
    sides = range(CANVAS, 8, -4)
    return next(side for side in sides if kept_bytes(plain(trunk(), side)[1]) <= memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="batches of each training")
    parser.add_argument("--begin", type=float, default=10.0, help="processor time of the encoder's first training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--select", action="store_true", help="not on the test: to choose settings")
    given = parser.parse_args()
    torch.set_num_threads(1)
    part, first = ("selection", 100) if given.select else ("test", 0)
    side = side_within(kept_bytes(by_tiles(trunk())[1]))
    start = begun(given.begin)
    print(
        f"canvas {CANVAS}, tiles of {TILE}, {SHARE:.1%} of them at a time; small is {side}; batches of {BATCH}; always "
        f"the most frequent sum: {chance(part):.1%}"
    )
    found: dict[str, list[float]] = {}
    for seed in range(first, first + given.seeds):
        seconds = 0.0
        ways = ["PatchGD", f"small ({side})", f"small ({side}), as long", *(["whole"] if seed == first else [])]
        for name in ways:
            torch.manual_seed(seed)
            base = trunk()
            base.load_state_dict(start)
            answer, step = way(name, base, side)
            until = {"seconds": seconds} if name.endswith("as long") else {"steps": given.steps}
            spent, number = trained(step, seed, **until)
            seconds = seconds or spent
            found.setdefault(name, []).append(accuracy(answer, part))
            kept = f"{kept_bytes(way(name, trunk(), side)[1]) / 1e6:.1f} MB"
            says = f"{number:5} batches {spent:5.0f} s   right {found[name][-1]:6.1%}   keeps {kept}"
            print(f"  seed {seed}  {name:<20} {says}", flush=True)
    for name, shares in found.items():
        spread = stdev(shares) if len(shares) > 1 else 0.0
        print(f"{name:<20} {mean(shares):6.1%} +- {spread:.1%}")


if __name__ == "__main__":
    main()
