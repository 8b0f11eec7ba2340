"""A classifier of images of any size, in which padding never changes the answer.

Convolutions only, then spatial pyramid pooling (He et al. 2015, arXiv 1406.4729): the features of an image are
divided into 4 x 4, 2 x 2 and 1 x 1 bins, however large it is, and the largest value in each goes to a linear layer.

In a padded batch three things could leak from the padding into an image: convolutions that look over its border, norms
that average over the padding, and bins that lie on it. So features are set to zero outside an image before every
convolution (alone it would see its own zero padding there), norms are of each image's own pixels, and bins divide its
own features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_seamless.errors import BadRequest, InputMismatch


class MaskedGroupNorm(nn.Module):
    """Group norm (Wu and He, arXiv 1803.08494) of (n, c, y, x) by the moments of each image's pixels alone."""

    def __init__(self, groups: int, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` (n, 1, y, x) of the dtype of `x`: 1 on an image, 0 elsewhere; the result is 0 there."""
        if mask is None:
            return functional.group_norm(x, self.groups, self.weight, self.bias, self.eps)
        grouped = x.view(len(x), self.groups, -1, *x.shape[2:])  # (n, groups, c / groups, y, x)
        inside = mask[:, None]
        count = inside.sum((2, 3, 4), keepdim=True) * grouped.shape[2]
        mean = (grouped * inside).sum((2, 3, 4), keepdim=True) / count
        centred = (grouped - mean) * inside
        variance = centred.square().sum((2, 3, 4), keepdim=True) / count
        normal = (centred * (variance + self.eps).rsqrt()).flatten(1, 2)
        return torch.addcmul(self.bias[:, None, None], normal, self.weight[:, None, None]) * mask


class MaskedUnit(nn.Module):
    """3 x 3 convolution, group norm, ReLU; `stride` 2 halves the size, rounding up."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, groups: int = 4) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm = MaskedGroupNorm(groups, outputs)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(n, c, y, x) that is 0 outside the mask, and its mask -> the same of the result."""
        # a pixel of the result lies on the image where the middle of its kernel does
        mask = None if mask is None else mask[..., :: self.stride, :: self.stride]
        return functional.relu(self.norm(self.conv(x), mask)), mask


class SpatialPyramidPool(nn.Module):
    """The largest feature in each of n x n bins, for each n of `levels`: (n, c, y, x) -> (n, c * bins).

    Bin i of n spans floor(i * size / n) to ceil((i + 1) * size / n).
    """

    def __init__(self, levels: Sequence[int] = (4, 2, 1)) -> None:
        super().__init__()
        if not levels or min(levels) < 1:
            raise BadRequest(f"a spatial pyramid needs levels of at least 1 bin; got {tuple(levels)}; use (4, 2, 1)")
        self.levels = tuple(levels)
        self.bins = sum(n * n for n in levels)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` (n, 1, y, x): each image lies in the upper left corner, and its own features are divided."""
        if mask is None:
            return torch.cat([functional.adaptive_max_pool2d(x, n).flatten(1) for n in self.levels], dim=1)
        heights = mask[:, 0].any(dim=2).sum(dim=1).tolist()
        widths = mask[:, 0].any(dim=1).sum(dim=1).tolist()
        return torch.cat([self(x[k : k + 1, :, :h, :w]) for k, (h, w) in enumerate(zip(heights, widths, strict=True))])


class PyramidClassifier(nn.Module):
    """(n, c, y, x) of any size, and the mask of a `PaddedBatch` -> (n, classes) logits.

    Parameters
    ----------
    inputs, classes
        Channels of the images, and classes to tell apart.
    widths
        Channels after each pair of units, multiples of 4; each pair halves the size.
    levels
        Bins a side of the spatial pyramid.
    """

    def __init__(
        self, inputs: int, classes: int, widths: Sequence[int] = (16, 32, 64), levels: Sequence[int] = (4, 2, 1)
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.units = nn.ModuleList()
        for before, width in zip((inputs, *widths), widths, strict=False):
            self.units += [MaskedUnit(before, width, stride=2), MaskedUnit(width, width)]
        self.pool = SpatialPyramidPool(levels)
        self.head = nn.Linear(widths[-1] * self.pool.bins, classes)

    def forward(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Without a mask all of `images` is image. Raises InputMismatch for other channels or another mask."""
        if images.dim() != 4 or images.shape[1] != self.inputs:
            raise InputMismatch(
                f"the network takes images of (n, {self.inputs}, y, x); got {tuple(images.shape)}; convert them first"
            )
        if mask is not None and mask.shape != (len(images), 1, *images.shape[2:]):
            raise InputMismatch(
                f"a mask must be (n, 1, y, x) of its images; got {tuple(mask.shape)} for {tuple(images.shape)}; "
                "use the mask of the batch"
            )
        inside = None if mask is None else mask.to(images.dtype)
        x = images if inside is None else images * inside
        for unit in self.units:
            x, inside = unit(x, inside)
        logits: Tensor = self.head(self.pool(x, inside))
        return logits
