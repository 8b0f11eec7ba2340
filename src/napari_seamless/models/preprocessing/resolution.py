"""A network at the resolution it was made for, on an image of any other.

The image is resampled as a whole, the network sees it as if it had been scanned like that, and its scores are brought
back to the image's own pixels. Both steps are operators of the program, so that tiles of the result are those of the
whole image, to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

Multiples = int | Sequence[int]
"""One number for all axes, or one each."""

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class AtResolution(nn.Module):
    """`network` on an image resampled by `ratio` (model pixels per image pixel, one an axis), and back.

    The output gets the image's size. Scores and pixel values are interpolated linearly, with a low-pass filter when
    shrinking a plane; class numbers are taken from the nearest pixel. With `multiple_of` the resampled image is padded
    by reflection at its far edges to a multiple, and the output is cropped. Without `back` the output stays as the
    network gives it.
    """

    def __init__(
        self, network: nn.Module, ratio: Sequence[float], multiple_of: Multiples = 1, *, back: bool = True
    ) -> None:
        super().__init__()
        self.network, self.ratio, self.multiple_of, self.back = network, tuple(ratio), multiple_of, back

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(1, c, [z,] y, x) -> (1, [k,] [z,] y, x) of the same size, or of the network's."""
        sizes = x.shape[2:]
        output = padded(self.network, resized(x, inner_sizes(sizes, self.ratio)), self.multiple_of)
        return resized(output, list(sizes)) if self.back else output


def inner_sizes(sizes: Sequence[int], ratio: Sequence[float]) -> list[int]:
    """The size of an image as the network sees it."""
    return [max(round(n * r), 1) for n, r in zip(sizes, ratio, strict=True)]


class PadToMultiple(nn.Module):
    """`network` on an image that is padded to a multiple of a number, by reflection at the far edges; then cropped."""

    def __init__(self, network: nn.Module, multiple_of: Multiples) -> None:
        super().__init__()
        self.network, self.multiple_of = network, multiple_of

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the network gives, of the image's size."""
        return padded(self.network, x, self.multiple_of)


def padded(network: nn.Module, x: torch.Tensor, multiple: Multiples) -> torch.Tensor:
    """The network's output for an image of any size, of that image's size times the network's own scale."""
    sizes = x.shape[2:]
    multiples = (multiple,) * len(sizes) if isinstance(multiple, int) else multiple
    ends = [-n % m for n, m in zip(sizes, multiples, strict=True)]
    if not any(ends):
        found: torch.Tensor = network(x)
        return found
    # an image smaller than its padding cannot be reflected
    mode = "reflect" if all(end < n for end, n in zip(ends, sizes, strict=True)) else "replicate"
    wide = functional.pad(x, [n for end in reversed(ends) for n in (0, end)], mode=mode)
    found = network(wide)
    first = found.dim() - len(sizes)
    for k, size in enumerate(sizes):
        keep = -(-found.shape[first + k] * size // wide.shape[2 + k])
        found = found.narrow(first + k, 0, keep)
    return found


def resized(x: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """An image or class numbers at another size; the same tensor where that is its own."""
    ndim = len(sizes)
    if list(x.shape[-ndim:]) == list(sizes):
        return x
    if not x.is_floating_point():
        planes = x if x.dim() == ndim + 2 else x.unsqueeze(1)
        near = functional.interpolate(planes.float(), size=list(sizes), mode="nearest-exact").to(x.dtype)
        return near if x.dim() == ndim + 2 else near.squeeze(1)
    planes = x if x.dim() == ndim + 2 else x.unsqueeze(1)
    antialias = ndim == 2 and any(new < old for new, old in zip(sizes, x.shape[-ndim:], strict=True))
    out = functional.interpolate(planes, size=list(sizes), mode=LINEAR[ndim], antialias=antialias)
    return out if x.dim() == ndim + 2 else out.squeeze(1)
