"""Nuclei in stained histology and in fluorescence, with one network and no switch.

Pre-processing and post-processing are modules of the network: it takes pixel values as they
lie in the file and gives class numbers. Nothing in it looks at the image as a whole, so the
class of a pixel depends on its neighbourhood alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files

import torch
from safetensors.torch import load
from torch import nn

from napari_seamless.models.bundled import describe
from napari_seamless.models.loaders.weight_matching import check_weights
from napari_seamless.models.model import ClassInfo, Model
from napari_seamless.models.networks.unet import UNet

CLASSES = (
    ClassInfo(0, "background", "#000000"),
    ClassInfo(1, "nucleus", "#1fd160"),
    ClassInfo(2, "boundary", "#ffe119"),
)
"""What the numbers in the output stand for."""


class Intensity(nn.Module):
    """Raw 8-bit values -> the values twice, on a linear and on a logarithmic scale, in [-1, 1].

    Stained tissue is told apart on the linear scale; nuclei of a fluorescence image may be a
    few grey values above a black ground, which only the logarithmic scale spreads out.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, y, x) in 0..255 -> (n, 2*c, y, x) in [-1, 1]; values outside are clamped."""
        x = x.clamp(0.0, 255.0)
        linear = x / 127.5 - 1.0
        logarithmic = torch.log2(x + 1.0) / 4.0 - 1.0
        return torch.cat([linear, logarithmic], dim=1)


class ClassMap(nn.Module):
    """Logits -> the number of the most likely class."""

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """(n, k, y, x) -> uint8 (n, y, x) in 0..k-1."""
        return logits.argmax(dim=1).to(torch.uint8)


class NucleiNetwork(nn.Module):
    """float32 (1, 3, y, x) RGB in 0..255 -> uint8 (1, y, x): 0 background, 1 nucleus, 2 boundary.

    *Boundary* is the rim of a nucleus: its own pixels that lie within two pixels (in a 5x5
    neighbourhood) of background or of another nucleus. Nucleus and boundary together are
    the area of the nuclei; nucleus alone falls apart into one piece per nucleus, also where
    nuclei touch. y and x must be multiples of 16.
    """

    def __init__(self) -> None:
        super().__init__()
        self.intensity = Intensity()
        self.unet = UNet(inputs=6, outputs=3)
        self.class_map = ClassMap()

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, y, x) in 0..255 -> (n, 3, y, x), what training works on."""
        logits: torch.Tensor = self.unet(self.intensity(x))
        return logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The class of every pixel."""
        classes: torch.Tensor = self.class_map(self.logits(x))
        return classes


def bundled_nuclei() -> Model:
    """The network with the weights that come with the package, and their card."""
    folder = files("napari_seamless.models") / "weights"
    return nuclei_from(
        load((folder / "nuclei.safetensors").read_bytes()),
        name="nuclei",
        title=describe("nuclei"),
        card=json.loads((folder / "nuclei.json").read_text(encoding="utf-8")),
    )


def nuclei_from(
    state: Mapping[str, torch.Tensor], name: str, title: str, card: Mapping[str, object] | None = None
) -> Model:
    """The network with the weights in `state`, a complete state dict of `NucleiNetwork`.

    Raises `WeightsMismatch`, with the names that differ, for the state of another network.
    """
    network = NucleiNetwork().eval()
    check_weights(state, network.state_dict(), "the nuclei network")
    network.load_state_dict(dict(state))
    return Model(
        name=name,
        module=network,
        title=title,
        channels=3,
        kind="labels",
        classes=CLASSES,
        card=dict(card or {}),
        value_range=(0.0, 255.0),
    )
