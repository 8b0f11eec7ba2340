"""What a network learns from: images with what should come out, augmented, whole or as crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_seamless.geometry import Region
from napari_seamless.training.data.augmentation import AugmentationSample
from napari_seamless.training.gradients.images import TrainingImage
from napari_seamless.training.gradients.targets import as_tensor_or_labels

IGNORED = -1
"""In a target: a pixel that nothing is said about."""


def unscaled(x: Tensor) -> Tensor:
    """Values as they are."""
    return x


@dataclass(frozen=True)
class Example:
    """One image and what should come out.

    `image` has shape (c, [z,] y, x), raw values. `target` is the number of the class of the whole image; or anything
    with a shape that gives parts of itself when sliced: whole numbers ([z,] y, x), the index of each pixel's class or
    IGNORED, or values (k, [z,] y, x). `scale` takes raw values (..., c, [z,] y, x) as float32 to what the network gets.
    Asked for pixels in the thread that trains.
    """

    name: str
    image: TrainingImage
    target: Any
    scale: Callable[[Tensor], Tensor] = unscaled

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape ((z,) y, x)."""
        return tuple(self.image.shape[1:])

    @property
    def is_labelled_whole(self) -> bool:
        return isinstance(self.target, int)


@dataclass(frozen=True)
class AugmentedImage:
    """A whole image as the network gets it: an Image, with its target beside it."""

    example: Example
    sample: AugmentationSample = field(default_factory=AugmentationSample)

    @property
    def shape(self) -> tuple[int, ...]:
        """(c, [z,] y, x)."""
        return (self.example.image.shape[0], *self.sample.shape(self.example.shape))

    def read(self, region: Region) -> Tensor:
        """float32 (c, *region.shape)."""
        raw = self.example.image.read(self.sample.source(region, self.shape[1:])).float()
        return self.sample.recolour(self.sample.orient(raw), self.example.scale)

    def target(self, shape: Sequence[int], origin: Sequence[int]) -> AugmentedTarget:
        """The target on the grid of the network's output: `shape` ((z,) y, x), with its first pixel at `origin`."""
        return AugmentedTarget(self, tuple(origin), tuple(shape))


@dataclass(frozen=True)
class AugmentedTarget:
    """The target of an augmented image, that can be sliced as an array (..., [z,] y, x)."""

    image: AugmentedImage
    origin: tuple[int, ...]
    inner: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        front = self.image.example.target.shape[: -len(self.inner)]
        return (*(int(n) for n in front), *self.inner)

    def __getitem__(self, at: Any) -> Tensor:
        slices = at[-len(self.inner) :]
        region = Region.of(*((s.start, s.stop) for s in slices)).shift(self.origin)
        sample, target = self.image.sample, self.image.example.target
        source = sample.source(region, self.image.shape[1:])
        return sample.orient(as_tensor(target[(..., *source.slices())]))

    def whole(self) -> Tensor:
        """All of it."""
        return self[tuple(slice(0, n) for n in self.inner)]


def as_tensor(values: Any) -> Tensor:
    """An array or tensor as a tensor; whole numbers become int64."""
    return values if isinstance(values, Tensor) else as_tensor_or_labels(np.asarray(values))


def random_crop(
    example: Example, size: int, sample: AugmentationSample, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A crop at a random place: float32 (c, [z,] size, size) and its target.

    Volumes are cut along z, too. Where the image is smaller than the crop it goes on mirrored.
    """
    sizes = (size,) * len(example.shape)
    at = [int(random.integers(max(n - s, 0) + 1)) for n, s in zip(example.shape, sizes, strict=True)]
    region = Region.of(*((lo, min(lo + s, n)) for lo, s, n in zip(at, sizes, example.shape, strict=True)))
    raw = _mirrored_to(example.image.read(region).float(), sizes)
    pixels = sample.recolour(sample.orient(raw), example.scale)
    if example.is_labelled_whole:
        return pixels.contiguous(), torch.tensor(example.target)
    target = _mirrored_to(as_tensor(example.target[(..., *region.slices())]), sizes)
    return pixels.contiguous(), sample.orient(target).contiguous()


def _mirrored_to(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """(..., *smaller) -> (..., *sizes), mirrored beyond the far edges."""
    own = values.shape[-len(sizes) :]
    missing = [(0, max(s - n, 0)) for s, n in zip(sizes, own, strict=True)]
    if not any(n for _, n in missing):
        return values
    front = [(0, 0)] * (values.dim() - len(sizes))
    return torch.from_numpy(np.pad(values.numpy(), [*front, *missing], mode="symmetric"))
