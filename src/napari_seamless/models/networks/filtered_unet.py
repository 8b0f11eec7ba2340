"""A network that is of use after seconds: fixed filters, a small classifier of pixels on them, and a U-Net beside it.

::

    x -- filters -- conv 1 -- sum -- norm, ReLU, conv 1, norm, ReLU --+-- conv 1 -------------- sum -> logits
    | mean 2                   | x2                                   '-- mean 2, U-Net, x2 ---'
      -- filters -- conv 1 -- sum
    | mean 2                   | x2
    ...                       ...

What pixels look like around themselves, at several sizes, is given and need not be learned, as in classifiers of pixels
by random forests (Berg et al. 2019, ilastik); every pixel that is painted then teaches three small layers. The U-Net
gives nothing at first, and learns what lies further away. All operators are local.

The filters of a size are derivatives of a Gaussian, combined so that turning the image turns them: smoothed values,
length of the gradient, and sum and difference of the eigenvalues of the Hessian.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from napari_seamless.models.networks.unet import PixelNorm, UNet

RADIUS = 3
"""Of the filters, in pixels; the Gaussian's deviation is one pixel."""
TINY = 1e-6


class Filters(nn.Module):
    """(n, c, y, x) -> (n, 5 * c, y, x): values, and four filters of each channel. The image goes on as at its edge."""

    kernels: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        at = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
        smooth = torch.exp(-(at**2) / 2)
        smooth = smooth / smooth.sum()
        kernels = torch.stack([smooth, -at * smooth, (at**2 - 1) * smooth]).float()
        self.register_buffer("kernels", kernels, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = functional.pad(x, (RADIUS,) * 4, mode="replicate")
        plain, down, twice_down = (self._along(wide, order, axis=2) for order in range(3))
        smooth, right, twice_right = (self._along(plain, order, axis=3) for order in range(3))
        down, across = (self._along(down, order, axis=3) for order in range(2))
        twice_down = self._along(twice_down, 0, axis=3)
        slope = (right**2 + down**2 + TINY).sqrt()
        bend = twice_right + twice_down
        spread = ((twice_right - twice_down) ** 2 + 4 * across**2 + TINY).sqrt()
        return torch.cat([x, smooth, slope, bend, spread], dim=1)

    def _along(self, x: torch.Tensor, order: int, axis: int) -> torch.Tensor:
        """A derivative of the Gaussian along one axis, of every channel by itself."""
        channels = x.shape[1]
        shape = (1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)
        kernel = self.kernels[order].reshape(shape).expand(channels, -1, -1, -1)
        return functional.conv2d(x, kernel, groups=channels)


class FilteredUNet(nn.Module):
    """(n, inputs, y, x) -> (n, outputs, y, x) logits; each side must be a multiple of `stride`.

    `sizes` is at how many sizes the image is filtered, each twice the one before; `width` is that of the classifier of
    pixels, `widths` those of the U-Net at half the size.
    """

    def __init__(
        self, inputs: int, outputs: int, sizes: int = 4, width: int = 32, widths: Sequence[int] = (16, 24, 32, 48)
    ) -> None:
        super().__init__()
        self.stride = max(2 ** len(widths), 2 ** (sizes - 1))
        self.filters = Filters()
        self.halve = nn.AvgPool2d(2)
        self.read = nn.ModuleList(nn.Conv2d(5 * inputs, width, kernel_size=1) for _ in range(sizes))
        self.think = nn.Sequential(
            PixelNorm(width), nn.ReLU(), nn.Conv2d(width, width, kernel_size=1), PixelNorm(width), nn.ReLU()
        )
        self.decide = nn.Conv2d(width, outputs, kernel_size=1)
        self.look_around = UNet(width, outputs, widths, norm="pixel")
        nn.init.zeros_(self.look_around.head.weight)
        if self.look_around.head.bias is not None:
            nn.init.zeros_(self.look_around.head.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the same size as `x`."""
        shrunk = [x]
        for _ in self.read[1:]:
            shrunk.append(self.halve(shrunk[-1]))
        features = self.read[-1](self.filters(shrunk[-1]))
        for read, x in zip(reversed(self.read[:-1]), reversed(shrunk[:-1]), strict=True):
            features = _doubled(features) + read(self.filters(x))
        pixels = self.think(features)
        around = self.look_around(self.halve(pixels))
        logits: torch.Tensor = self.decide(pixels) + _doubled(around)
        return logits


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear")
