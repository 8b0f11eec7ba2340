"""A painting's manner on any picture, in one pass through a network.

The architecture is that of J. Johnson, A. Alahi and L. Fei-Fei, "Perceptual losses for real-time style transfer and
super-resolution" (ECCV 2016), with the instance norm of D. Ulyanov, A. Vedaldi and V. Lempitsky, "Instance
normalization: the missing ingredient for fast stylization" (arXiv:1607.08022), and enlargement by repeated pixels.
The names of its parts are those under which trained weights are passed around, so that these load as they are:

    conv1 9x9 3->32 · conv2 3x3/2 ->64 · conv3 3x3/2 ->128     each followed by in1, in2, in3 and relu
    res1 .. res5                                               conv1, in1, relu, conv2, in2, and its input added
    deconv1 x2, 3x3 ->64 · deconv2 x2, 3x3 ->32                followed by in4, in5 and relu
    deconv3 9x9 ->3                                            pixel values

Instance norm looks at whole planes: colours and contrast of a pixel depend on all of the picture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files

import torch
from safetensors.torch import load
from torch import nn
from torch.nn import functional

from napari_seamless.models.bundled import describe
from napari_seamless.models.loaders.weight_matching import check_weights
from napari_seamless.models.model import Model

UNUSED_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Names that instance norm once saved and never used; they come with many weights and are left out."""


class MirroredConv(nn.Module):
    """A convolution over a plane that goes on, mirrored, beyond its edges; enlarged first by repeated pixels."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, enlarge: int = 1) -> None:
        super().__init__()
        self.enlarge = enlarge
        self.margin = size // 2
        self.conv2d = nn.Conv2d(inputs, outputs, size, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, y, x) -> (n, outputs, ceil(y * enlarge / stride), ceil(x * enlarge / stride))."""
        if self.enlarge > 1:
            x = functional.interpolate(x, scale_factor=float(self.enlarge), mode="nearest")
        y: torch.Tensor = self.conv2d(functional.pad(x, (self.margin,) * 4, mode="reflect"))
        return y


class Residual(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = MirroredConv(channels, channels, 3)
        self.in1 = nn.InstanceNorm2d(channels, affine=True)
        self.conv2 = MirroredConv(channels, channels, 3)
        self.in2 = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, y, x) -> the same shape."""
        y: torch.Tensor = x + self.in2(self.conv2(functional.relu(self.in1(self.conv1(x)))))
        return y


class StyleNetwork(nn.Module):
    """float32 (1, 3, y, x) RGB in 0..255 -> uint8 (1, 3, y, x) RGB.

    Each side must have 5 pixels at least, as mirroring needs them. Where a side is no multiple of 4, the pixels that
    the enlargement makes beyond the far edge are cut off; nothing else changes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = MirroredConv(3, 32, 9)
        self.in1 = nn.InstanceNorm2d(32, affine=True)
        self.conv2 = MirroredConv(32, 64, 3, stride=2)
        self.in2 = nn.InstanceNorm2d(64, affine=True)
        self.conv3 = MirroredConv(64, 128, 3, stride=2)
        self.in3 = nn.InstanceNorm2d(128, affine=True)
        self.res1 = Residual(128)
        self.res2 = Residual(128)
        self.res3 = Residual(128)
        self.res4 = Residual(128)
        self.res5 = Residual(128)
        self.deconv1 = MirroredConv(128, 64, 3, enlarge=2)
        self.in4 = nn.InstanceNorm2d(64, affine=True)
        self.deconv2 = MirroredConv(64, 32, 3, enlarge=2)
        self.in5 = nn.InstanceNorm2d(32, affine=True)
        self.deconv3 = MirroredConv(32, 3, 9)

    def paint(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, y, x) in 0..255 -> float (n, 3, y, x), about 0..255 and neither clamped nor rounded: for training."""
        height, width = x.shape[-2:]
        y = functional.relu(self.in1(self.conv1(x)))
        y = functional.relu(self.in2(self.conv2(y)))
        y = functional.relu(self.in3(self.conv3(y)))
        for residual in (self.res1, self.res2, self.res3, self.res4, self.res5):
            y = residual(y)
        y = functional.relu(self.in4(self.deconv1(y)))
        y = functional.relu(self.in5(self.deconv2(y)))
        painted: torch.Tensor = self.deconv3(y)[..., :height, :width]
        return painted

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The painted picture in 8 bits."""
        return self.paint(x).clamp(0.0, 255.0).round().to(torch.uint8)


def bundled_style(name: str) -> Model:
    """The network with weights that come with the package, and their card."""
    folder = files("napari_seamless.models") / "weights"
    return style_from(
        load((folder / f"{name}.safetensors").read_bytes()),
        name=name,
        title=describe(name),
        card=json.loads((folder / f"{name}.json").read_text(encoding="utf-8")),
    )


def is_style(state: Mapping[str, torch.Tensor]) -> bool:
    """Whether most names are those of a style network: then differences are told against it."""
    names = set(StyleNetwork().state_dict())
    return sum(key in names for key in state) > len(state) / 2


def without_unused(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights without what instance norm once saved along with its own."""
    return {key: value for key, value in state.items() if key.rpartition(".")[2] not in UNUSED_STATISTICS}


def style_from(
    state: Mapping[str, torch.Tensor], name: str, title: str, card: Mapping[str, object] | None = None
) -> Model:
    """The network with the weights in `state`, in any floating type; stale names are left out.

    Raises `WeightsMismatch`, with the names that differ, for the state of another network.
    """
    network = StyleNetwork().eval()
    weights = without_unused(state)
    check_weights(weights, network.state_dict(), "a style network (conv1.conv2d.weight, in1.weight, ...)")
    network.load_state_dict(weights)
    return Model(
        name=name,
        module=network,
        title=title,
        channels=3,
        kind="image",
        value_range=(0.0, 255.0),
        channel_names=("red", "green", "blue"),
        card=dict(card or {}),
    )
