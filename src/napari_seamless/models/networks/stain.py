"""Haematoxylin and eosin apart, with no training: fixed convolutions only.

Light is absorbed exponentially, so stains that lie on top of each other add up in optical
density, -log10 of the transmitted share. Each stain has a direction in the (red, green, blue)
space of optical densities; the inverse of the matrix of these directions, a 1x1 convolution,
gives the amount of each stain.

The directions are those of A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical
staining by color deconvolution", Analytical and Quantitative Cytology and Histology 23 (2001)
291-299. The third of their stains, DAB, takes up what is neither haematoxylin nor eosin.
"""

from __future__ import annotations

import torch
from torch import nn

from napari_seamless.models.bundled import describe
from napari_seamless.models.model import Model

DIRECTIONS = (
    (0.65, 0.70, 0.29),  # haematoxylin
    (0.07, 0.99, 0.11),  # eosin
    (0.27, 0.57, 0.78),  # DAB
)
"""Optical density in red, green and blue of one unit of each stain."""

GREY_VALUES = (170.0, 340.0)
"""Per unit of haematoxylin and of eosin: 255 is 1.5, a very dark nucleus, and 0.75, dense collagen."""


class OpticalDensity(nn.Module):
    """8-bit transmitted light -> optical density."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, y, x) in 0..255 -> the same shape, 0 for white to 2.4 for black."""
        # the one keeps black finite
        return -torch.log10((x.clamp(0.0, 255.0) + 1.0) / 256.0)


class Gaussian(nn.Sequential):
    """A Gaussian of `sigma` pixels on each channel, along x and then y; edges are mirrored."""

    def __init__(self, channels: int, sigma: float) -> None:
        reach = round(3 * sigma)
        steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
        taps = torch.exp(-(steps**2) / (2 * sigma**2))
        taps = taps / taps.sum()
        super().__init__(_along(channels, taps[None, :]), _along(channels, taps[:, None]))


class StainSeparation(nn.Module):
    """float32 (1, 3, y, x) RGB in 0..255 -> uint8 (1, 2, y, x): haematoxylin, eosin.

    255 stands for an optical density of 1.5 (haematoxylin) and 0.75 (eosin) or more, 0 for none;
    negative amounts, which colours outside the stains give, are cut off. Each side must have
    4 pixels at least, as mirroring needs them.
    """

    def __init__(self, sigma: float = 1.0) -> None:
        super().__init__()
        self.density = OpticalDensity()
        self.separate = _fixed(nn.Conv2d(3, 2, kernel_size=1, bias=False), _unmixing())
        self.smooth = Gaussian(2, sigma)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The density of both stains in grey values."""
        amounts = self.smooth(self.separate(self.density(x)))
        grey: torch.Tensor = amounts.clamp(0.0, 255.0).round().to(torch.uint8)
        return grey


def bundled_stain() -> Model:
    """The stain separation as a model."""
    return Model(
        name="stain",
        module=StainSeparation().eval(),
        title=describe("stain"),
        channels=3,
        kind="image",
        value_range=(0.0, 255.0),
        channel_names=("haematoxylin", "eosin"),
        card={
            "task": "density of haematoxylin and eosin in bright-field histology",
            "source": "Ruifrok & Johnston, Anal Quant Cytol Histol 23 (2001) 291-299",
            "output": "uint8, 255 is an optical density of 1.5 (haematoxylin) or 0.75 (eosin), sigma 1 pixel",
            "data": "none: nothing is trained; the directions of the dyes are the published ones",
            "data_licence": "none: no data",
            "weights_licence": "none: no weights",
            "held_out": "no figures: there is nothing to predict; agrees with scikit-image's rgb2hed to a grey value",
            "limits": [
                "stain directions are fixed; other laboratories' dyes and scanners differ somewhat",
                "pigment, ink and dirt show up in one stain or the other",
            ],
        },
    )


def _unmixing() -> torch.Tensor:
    """(2, 3, 1, 1): optical density of red, green, blue -> haematoxylin, eosin in grey values."""
    inverse: torch.Tensor = torch.linalg.inv(torch.tensor(DIRECTIONS, dtype=torch.float64))
    scaled = inverse[:, :2] * torch.tensor(GREY_VALUES, dtype=torch.float64)
    return scaled.T[:, :, None, None].float()


def _along(channels: int, taps: torch.Tensor) -> nn.Conv2d:
    """A convolution of every channel with the same `taps`, (1, n) along x or (n, 1) along y."""
    height, width = taps.shape
    convolution = nn.Conv2d(
        channels,
        channels,
        kernel_size=(height, width),
        padding=(height // 2, width // 2),
        padding_mode="reflect",
        groups=channels,
        bias=False,
    )
    return _fixed(convolution, taps.expand(channels, 1, -1, -1))


def _fixed(convolution: nn.Conv2d, weight: torch.Tensor) -> nn.Conv2d:
    """The convolution with these weights, which training leaves alone."""
    convolution.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    return convolution
