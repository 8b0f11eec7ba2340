"""Augmentation: the same pixels differ each time that they are learned from.

::

    raw pixels --turn, flip--> --stain--> --scale of the image--> --light--> what the network gets
    target     --turn, flip----------------------------------------------->  what should come out

All of it works region by region, so that what is augmented may be a whole slide. What is drawn depends on numbers only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_seamless.geometry import Interval, Region

WHITE = 255.0


@dataclass(frozen=True)
class Augmentation:
    """How far the same pixels may differ each time they are learned from.

    `flips` and `turns` (by 90 degrees) are of the plane (y, x). `light` is how far contrast may be off (a share) and
    brightness (in units of the scaled image); `stain` how far the optical density of each colour may be off (a share),
    for bright-field images with 255 as white.
    """

    flips: bool = True
    turns: bool = True
    light: float = 0.1
    stain: float = 0.0


@dataclass(frozen=True)
class AugmentationSample:
    """One draw of an augmentation: how an image that is learned from differs from what lies in the file."""

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False
    densities: tuple[float, ...] | None = None
    gain: float = 1.0
    offset: float = 0.0

    @classmethod
    def draw(
        cls, random: np.random.Generator, options: Augmentation, channels: int, *, square: bool
    ) -> AugmentationSample:
        """One at random. Quarter turns are for squares, so that a whole image keeps its shape."""
        flips = random.random(3) < 0.5
        light, stain = random.uniform(-1, 1, 2), random.uniform(-1, 1, channels)
        transposed = bool(options.turns and square and flips[0])
        upside_down = bool((options.flips or options.turns) and flips[1])
        # without flips only turns: an odd number of flips goes with a transposition
        mirrored = bool(flips[2]) if options.flips else bool(options.turns and upside_down != transposed)
        return cls(
            transposed,
            upside_down,
            mirrored,
            densities=tuple(float(1 + options.stain * s) for s in stain) if options.stain else None,
            gain=float(1 + options.light * light[0]),
            offset=float(options.light * light[1]),
        )

    def shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The augmented image's, from that of what lies in the file."""
        return (*shape[:-2], shape[-1], shape[-2]) if self.transposed else tuple(shape)

    def source(self, region: Region, shape: Sequence[int]) -> Region:
        """Where a region of the augmented image lies in the file; `shape` is the augmented image's own."""
        *front, y, x = region.intervals
        if self.upside_down:
            y = Interval(shape[-2] - y.hi, shape[-2] - y.lo)
        if self.mirrored:
            x = Interval(shape[-1] - x.hi, shape[-1] - x.lo)
        return Region((*front, x, y) if self.transposed else (*front, y, x))

    def orient(self, values: Tensor) -> Tensor:
        """Turned and flipped."""
        if self.transposed:
            values = values.transpose(-1, -2)
        turned = [d for d, wanted in ((-2, self.upside_down), (-1, self.mirrored)) if wanted]
        return values.flip(turned) if turned else values

    def recolour(self, raw: Tensor, scale: Callable[[Tensor], Tensor]) -> Tensor:
        """Raw values, float32 (c, [z,] y, x), stained differently, scaled, and in another light."""
        if self.densities is not None:
            share = torch.tensor(self.densities, dtype=raw.dtype).reshape(-1, *[1] * (raw.dim() - 1))
            raw = ((raw + 1) / (WHITE + 1)).clamp(min=1e-6) ** share * (WHITE + 1) - 1
        x = scale(raw)
        return x if self.gain == 1.0 and self.offset == 0.0 else x * self.gain + self.offset
