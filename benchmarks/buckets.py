"""How much of a batch is padding, and what that costs: images of many shapes batched in three ways.

    python benchmarks/buckets.py --picture buckets.png

Shapes are drawn like those of Parés et al. (2021): sides of 500 to 4000 pixels, evenly on a log scale, without relation
to each other. All three ways keep within the same memory budget:

- at random: images in random order; a batch takes the next one as long as the padded whole fits;
- by aspect ratio: buckets of like aspect ratio alone, as many as the third way has in all;
- buckets in buckets: super-buckets by pixel count, in each of them buckets by aspect ratio.

Padding is of the true shapes. Images per second are of training steps (forward, backward, step) with every side divided
by --scale, as a CPU cannot do the true ones; the ways take turns, one thread unless --threads. The picture shows the
memory of each batch of one epoch: predicted, and counted by torch's allocator for some of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from napari_seamless.training.buckets.batches import BucketBatchSampler, PadCollate, PaddedBatch
from napari_seamless.training.buckets.bytes_per_pixel import bytes_per_pixel
from napari_seamless.training.buckets.plan import BucketPlan, Shape, padded_shape, plan_buckets
from napari_seamless.training.buckets.pyramid_classifier import PyramidClassifier

Batches = list[list[int]]
SUPERS, BUCKETS = 6, 6


def drawn(count: int, seed: int) -> list[Shape]:
    """Shapes with sides of 500 to 4000 pixels."""
    sides = np.exp(np.random.default_rng(seed).uniform(np.log(500), np.log(4000), (count, 2)))
    return [(round(h), round(w)) for h, w in sides]


def at_random(plan: BucketPlan, seed: int) -> Batches:
    """Images in random order; a batch ends where the next image would take it over the budget."""
    batches: Batches = [[]]
    for image in np.random.default_rng(seed).permutation(len(plan.shapes)).tolist():
        if batches[-1] and plan.bytes_of([*batches[-1], image]) > plan.budget:
            batches.append([])
        batches[-1].append(image)
    return batches


def ways(shapes: Sequence[Shape], budget: int, per_pixel: float, seed: int) -> tuple[BucketPlan, dict[str, Batches]]:
    """The plan of buckets in buckets, and one epoch's batches in each way."""
    nested = plan_buckets(shapes, budget=budget, bytes_per_pixel=per_pixel, supers=SUPERS, buckets=BUCKETS)
    flat = plan_buckets(shapes, budget=budget, bytes_per_pixel=per_pixel, supers=1, buckets=SUPERS * BUCKETS)
    return nested, {
        "at random": at_random(nested, seed),
        "by aspect ratio": list(BucketBatchSampler(flat, seed=seed)),
        "buckets in buckets": list(BucketBatchSampler(nested, seed=seed)),
    }


def batch_of(shapes: Sequence[Shape], images: Sequence[int]) -> PaddedBatch:
    return PadCollate()([(torch.rand(3, *shapes[i]), i % 10) for i in images])


def step(network: nn.Module, optimizer: torch.optim.Optimizer, batch: PaddedBatch) -> None:
    optimizer.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(network(batch.images, batch.mask), batch.targets).backward()
    optimizer.step()


def seconds(network: nn.Module, shapes: Sequence[Shape], batches: Batches) -> float:
    """Processor time of one epoch's steps, the making of the images left out."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    spent = 0.0
    for images in batches:
        batch = batch_of(shapes, images)
        begin = process_time()
        step(network, optimizer, batch)
        spent += process_time() - begin
    return spent


def counted(network: nn.Module, batch: PaddedBatch) -> int:
    """Peak bytes of a step by the allocator's own count."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        step(network, optimizer, batch)
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    inputs = sum(t.numel() * t.element_size() for t in (batch.images, batch.mask))
    return inputs + int(np.cumsum([e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]).max())


def draw(path: Path, plan: BucketPlan, epochs: dict[str, Batches], network: nn.Module) -> list[float]:
    """The memory profile of one epoch as a picture; gives counted / predicted of the batches that were counted."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(15, 4.2), sharey=True, layout="constrained")
    ratios = []
    for axis, (name, batches) in zip(axes, epochs.items(), strict=True):
        predicted = np.array([plan.bytes_of(b) for b in batches]) / 1e6
        padding = np.array([plan.padding([b]) for b in batches])
        axis.bar(range(len(batches)), predicted, width=1.0, color="#4477aa", label="pixels of images")
        axis.bar(
            range(len(batches)), predicted * padding, bottom=predicted * (1 - padding), width=1.0, color="#ee6677",
            label="padding",
        )  # fmt: skip
        some = range(0, len(batches), max(1, len(batches) // 12))
        measured = [counted(network, batch_of(plan.shapes, batches[k])) / 1e6 for k in some]
        ratios += [m / predicted[k] for m, k in zip(measured, some, strict=True)]
        axis.plot(some, measured, "k_", markersize=9, label="counted by the allocator")
        axis.axhline(plan.budget / 1e6, color="black", linewidth=0.8, linestyle="--", label="budget")
        axis.set_title(f"{name}: {plan.padding(batches):.0%} padding, {len(batches)} batches")
        axis.set_xlabel("batch of the epoch")
    axes[0].set_ylabel("memory of a training step, MB")
    axes[0].legend(loc="lower right")
    figure.savefig(path, dpi=100)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="for the share of padding")
    parser.add_argument("--timed", type=int, default=400, help="images of the timed part")
    parser.add_argument("--scale", type=int, default=16, help="the timed part divides every side by this")
    parser.add_argument("--batch", type=int, default=8, help="images of the largest size that the budget holds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--picture", type=Path, help="where to draw the memory profile")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    network = PyramidClassifier(3, 10)
    per_pixel = bytes_per_pixel(network, 3, masked=True)
    print(f"a training step takes {per_pixel:.0f} bytes a pixel")

    shapes = drawn(given.images, seed=0)
    height, width = padded_shape(shapes)
    budget = round(given.batch * height * width * per_pixel)
    plan, epochs = ways(shapes, budget, per_pixel, seed=0)
    print(f"{given.images} shapes of 500 to 4000 pixels a side, budget {budget / 1e9:.0f} GB")
    for name, batches in epochs.items():
        print(f"  {name:<20} padding {plan.padding(batches):6.1%}   {len(batches)} batches")

    small = [(h // given.scale, w // given.scale) for h, w in drawn(given.timed, seed=1)]
    height, width = padded_shape(small)
    plan, epochs = ways(small, round(given.batch * height * width * per_pixel), per_pixel, seed=1)
    print(f"{given.timed} images of {min(map(min, small))} to {max(map(max, small))} pixels a side, "
          f"budget {plan.budget / 1e6:.0f} MB")  # fmt: skip
    spent: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(given.rounds):
        for name, batches in epochs.items():
            spent[name].append(seconds(network, small, batches))
    for name, batches in epochs.items():
        print(f"  {name:<20} padding {plan.padding(batches):6.1%}   {given.timed / median(spent[name]):6.1f} images/s")
    if given.picture:
        ratios = draw(given.picture, plan, epochs, network)
        print(f"counted / predicted memory: {min(ratios):.2f} to {max(ratios):.2f}; drawn to {given.picture}")


if __name__ == "__main__":
    main()
