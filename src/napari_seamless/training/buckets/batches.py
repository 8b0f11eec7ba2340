"""Batches of images of different shapes for an ordinary DataLoader.

::

    plan = plan_buckets(shapes, budget=4_000_000_000, bytes_per_pixel=bytes_per_pixel(network))
    sampler = BucketBatchSampler(plan, seed=0)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=PadCollate(stride=plan.stride))
    for epoch in range(20):
        sampler.set_epoch(epoch)
        for batch in loader:
            loss = entropy(network(batch.images, batch.mask), batch.targets)
            ...
            with linear_scaling(optimizer, len(batch.images), reference=32):
                optimizer.step()
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler, default_collate

from napari_seamless.errors import BadRequest, InputMismatch
from napari_seamless.training.buckets.plan import BucketPlan, padded_shape

Batch = list[int]


class BucketBatchSampler(Sampler[Batch]):
    """The batches of one epoch, in an order that `seed` and epoch alone decide; for ``DataLoader(batch_sampler=...)``.

    Every image comes once an epoch. Buckets are shuffled and cut into batches of even length; these are shuffled.

    With several processes (`rank` of `world`; by default those of torch.distributed, if it runs) each gets as many
    batches as the others, and at each step batches of about as many pixels, so that none waits long. To make the number
    of batches a multiple of `world` the longest are halved, so no image is left out and none comes twice; only where
    every batch is a single image already, fewer than `world` of them are repeated.

    Raises BadRequest if there are fewer images than processes, or no such rank.
    """

    def __init__(
        self,
        plan: BucketPlan,
        *,
        seed: int = 0,
        shuffle: bool = True,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        running = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.plan, self.seed, self.shuffle, self.epoch = plan, seed, shuffle, 0
        self.world = world if world is not None else torch.distributed.get_world_size() if running else 1
        self.rank = rank if rank is not None else torch.distributed.get_rank() if running else 0
        if not 0 <= self.rank < self.world:
            raise BadRequest(
                f"a rank must be at least 0 and below the number of processes; got rank {self.rank} of {self.world}; "
                "number the processes from 0"
            )
        if len(plan.shapes) < self.world:
            raise BadRequest(
                f"every process needs an image of its own; got {len(plan.shapes)} for {self.world} processes; "
                "use fewer processes"
            )

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next, as for torch's DistributedSampler."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        return iter([step[self.rank] for step in self.steps()])

    def __len__(self) -> int:
        batches = sum(-(-len(bucket.images) // bucket.batch) for bucket in self.plan.buckets)
        return -(-batches // self.world)

    def steps(self) -> list[list[Batch]]:
        """What every process computes at each step of this epoch: a batch for each."""
        random = np.random.default_rng((self.seed, self.epoch))
        batches: list[Batch] = []
        for bucket in self.plan.buckets:
            images = random.permutation(bucket.images) if self.shuffle else np.array(bucket.images)
            batches += [part.tolist() for part in np.array_split(images, -(-len(images) // bucket.batch))]
        while len(batches) % self.world:
            _add_one(batches)
        if self.world > 1:
            batches.sort(key=self.plan.bytes_of)
        steps = [batches[k : k + self.world] for k in range(0, len(batches), self.world)]
        return [steps[k] for k in random.permutation(len(steps))] if self.shuffle else steps


def _add_one(batches: list[Batch]) -> None:
    k = max(range(len(batches)), key=lambda k: len(batches[k]))
    middle = len(batches[k]) // 2
    batches[k : k + 1] = [batches[k][:middle] or batches[k], batches[k][middle:]]


class PaddedBatch(NamedTuple):
    """Images padded to the largest of them, and where they are images.

    `images` (n, c, y, x); `mask` (n, 1, y, x) bool, True on pixels of an image; `targets` as collated.
    """

    images: Tensor
    mask: Tensor
    targets: Any

    @property
    def padding(self) -> float:
        """Share of the pixels that is padding, 0 to 1."""
        return 1 - float(self.mask.float().mean())


class PadCollate:
    """Collate (image, target) pairs of a dataset into a `PaddedBatch`; for ``DataLoader(collate_fn=...)``.

    Images are tensors (c, y, x) of one number of channels and one dtype; they lie in the upper left corner, with zeros
    beyond them. Targets that are tensors of their image's (y, x) are padded alike with `ignore`; all others are
    collated as torch does by default.

    Raises InputMismatch for images that are not (c, y, x) or differ in channels.
    """

    def __init__(self, stride: int = 1, ignore: int = -100) -> None:
        self.stride, self.ignore = stride, ignore

    def __call__(self, samples: Sequence[tuple[Tensor, Any]]) -> PaddedBatch:
        images, targets = [s[0] for s in samples], [s[1] for s in samples]
        kinds = {(image.dim(), image.shape[0], image.dtype) for image in images}
        if len(kinds) > 1 or images[0].dim() != 3:
            found = " and ".join(sorted({f"{tuple(i.shape)} {str(i.dtype).removeprefix('torch.')}" for i in images}))
            raise InputMismatch(
                f"the images of a batch must be (channels, y, x) with the same channels and dtype; got {found}; "
                "convert them in the dataset"
            )
        shape = padded_shape([(i.shape[1], i.shape[2]) for i in images], self.stride)
        mask = torch.stack([_padded(torch.ones(i.shape[1:], dtype=torch.bool), shape, 0) for i in images])
        if all(isinstance(t, Tensor) and t.shape == i.shape[1:] for i, t in zip(images, targets, strict=True)):
            together = torch.stack([_padded(t, shape, self.ignore) for t in targets])
        else:
            together = default_collate(targets)
        return PaddedBatch(torch.stack([_padded(i, shape, 0) for i in images]), mask[:, None], together)


def _padded(image: Tensor, shape: tuple[int, int], value: int) -> Tensor:
    full = image.new_full((*image.shape[:-2], *shape), value)
    full[..., : image.shape[-2], : image.shape[-1]] = image
    return full


@contextmanager
def linear_scaling(optimizer: torch.optim.Optimizer, images: int, reference: int) -> Iterator[float]:
    """Step with learning rates times `images` / `reference`; gives that factor and puts the rates back.

    Goyal et al. (2017, arXiv 1706.02677): with k times the images in a batch, k times the rate. `reference` is
    the batch for which the optimiser's rates were chosen; `images` those of this batch, of all processes together.
    torch's SGD applies the rate after the momentum (their equation 9), so momentum needs no correction. Schedulers work
    as ever.
    """
    if images < 1 or reference < 1:
        raise BadRequest(
            f"the linear scaling rule needs batches of at least 1 image; got {images} for a reference of {reference}; "
            "count the images of the batch"
        )
    rates = [group["lr"] for group in optimizer.param_groups]
    try:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * images / reference
        yield images / reference
    finally:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
