"""What a network learns from: images with what should come out, and pieces of them, shown differently each time.

::

    raw pixels --turn, flip--> --stain--> --scale of the image--> --light--> what the network gets
    target     --turn, flip----------------------------------------------->  what should come out

All of it works region by region, so that a piece may be a whole slide. What is drawn depends on numbers only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_seamless.geometry import Interval, Region
from napari_seamless.training.loop.settings import Variation
from napari_seamless.training.streaming.image_reads import Image, as_tensor_or_labels

IGNORED = -1
"""In a target: a pixel that nothing is said about."""
WHITE = 255.0


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
    image: Image
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
class Look:
    """How a piece differs from what lies in the file."""

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False
    densities: tuple[float, ...] | None = None
    gain: float = 1.0
    offset: float = 0.0

    @classmethod
    def drawn(cls, random: np.random.Generator, how: Variation, channels: int, *, square: bool) -> Look:
        """A look at random. Quarter turns are for squares, so that a whole image keeps its shape."""
        flips = random.random(3) < 0.5
        light, stain = random.uniform(-1, 1, 2), random.uniform(-1, 1, channels)
        transposed = bool(how.turns and square and flips[0])
        upside_down = bool((how.flips or how.turns) and flips[1])
        # without flips only turns: an odd number of flips goes with a transposition
        mirrored = bool(flips[2]) if how.flips else bool(how.turns and upside_down != transposed)
        return cls(
            transposed,
            upside_down,
            mirrored,
            densities=tuple(float(1 + how.stain * s) for s in stain) if how.stain else None,
            gain=float(1 + how.light * light[0]),
            offset=float(how.light * light[1]),
        )

    def shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Of a piece, from that of what lies in the file."""
        return (*shape[:-2], shape[-1], shape[-2]) if self.transposed else tuple(shape)

    def source(self, region: Region, shape: Sequence[int]) -> Region:
        """Where a region of the piece lies in the file; `shape` is the piece's own."""
        *front, y, x = region.intervals
        if self.upside_down:
            y = Interval(shape[-2] - y.hi, shape[-2] - y.lo)
        if self.mirrored:
            x = Interval(shape[-1] - x.hi, shape[-1] - x.lo)
        return Region((*front, x, y) if self.transposed else (*front, y, x))

    def posed(self, values: Tensor) -> Tensor:
        """Turned and flipped."""
        if self.transposed:
            values = values.transpose(-1, -2)
        turned = [d for d, wanted in ((-2, self.upside_down), (-1, self.mirrored)) if wanted]
        return values.flip(turned) if turned else values

    def lit(self, raw: Tensor, scale: Callable[[Tensor], Tensor]) -> Tensor:
        """Raw values, float32 (c, [z,] y, x), stained differently, scaled, and in another light."""
        if self.densities is not None:
            share = torch.tensor(self.densities, dtype=raw.dtype).reshape(-1, *[1] * (raw.dim() - 1))
            raw = ((raw + 1) / (WHITE + 1)).clamp(min=1e-6) ** share * (WHITE + 1) - 1
        x = scale(raw)
        return x if self.gain == 1.0 and self.offset == 0.0 else x * self.gain + self.offset


@dataclass(frozen=True)
class Piece:
    """A whole image as the network gets it: an Image, with its target beside it."""

    example: Example
    look: Look = field(default_factory=Look)

    @property
    def shape(self) -> tuple[int, ...]:
        """(c, [z,] y, x)."""
        return (self.example.image.shape[0], *self.look.shape(self.example.shape))

    def read(self, region: Region) -> Tensor:
        """float32 (c, *region.shape)."""
        raw = self.example.image.read(self.look.source(region, self.shape[1:])).float()
        return self.look.lit(self.look.posed(raw), self.example.scale)

    def target(self, shape: Sequence[int], origin: Sequence[int]) -> PosedTarget:
        """The target on the grid of the network's output: `shape` ((z,) y, x), with its first pixel at `origin`."""
        return PosedTarget(self, tuple(origin), tuple(shape))


@dataclass(frozen=True)
class PosedTarget:
    """The target of a piece, that can be sliced as an array (..., [z,] y, x)."""

    piece: Piece
    origin: tuple[int, ...]
    inner: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        front = self.piece.example.target.shape[: -len(self.inner)]
        return (*(int(n) for n in front), *self.inner)

    def __getitem__(self, at: Any) -> Tensor:
        slices = at[-len(self.inner) :]
        region = Region.of(*((s.start, s.stop) for s in slices)).shift(self.origin)
        look, target = self.piece.look, self.piece.example.target
        source = look.source(region, self.piece.shape[1:])
        return look.posed(as_tensor(target[(..., *source.slices())]))

    def whole(self) -> Tensor:
        """All of it."""
        return self[tuple(slice(0, n) for n in self.inner)]


def as_tensor(values: Any) -> Tensor:
    """An array or tensor as a tensor; whole numbers become int64."""
    return values if isinstance(values, Tensor) else as_tensor_or_labels(np.asarray(values))


def crop_of(example: Example, size: int, look: Look, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A crop at a random place: float32 (c, [z,] size, size) and its target.

    Volumes are cut along z, too. Where the image is smaller than the crop it goes on mirrored.
    """
    sizes = (size,) * len(example.shape)
    at = [int(random.integers(max(n - s, 0) + 1)) for n, s in zip(example.shape, sizes, strict=True)]
    region = Region.of(*((lo, min(lo + s, n)) for lo, s, n in zip(at, sizes, example.shape, strict=True)))
    raw = _mirrored_to(example.image.read(region).float(), sizes)
    pixels = look.lit(look.posed(raw), example.scale)
    if example.is_labelled_whole:
        return pixels.contiguous(), torch.tensor(example.target)
    target = _mirrored_to(as_tensor(example.target[(..., *region.slices())]), sizes)
    return pixels.contiguous(), look.posed(target).contiguous()


def _mirrored_to(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """(..., *smaller) -> (..., *sizes), mirrored beyond the far edges."""
    own = values.shape[-len(sizes) :]
    missing = [(0, max(s - n, 0)) for s, n in zip(sizes, own, strict=True)]
    if not any(n for _, n in missing):
        return values
    front = [(0, 0)] * (values.dim() - len(sizes))
    return torch.from_numpy(np.pad(values.numpy(), [*front, *missing], mode="symmetric"))
