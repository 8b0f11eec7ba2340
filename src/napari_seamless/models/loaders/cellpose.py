"""Files of Cellpose 1 to 3: a state dict of its network, often without a suffix.

What Cellpose does to an image is done here to the whole of it: percentiles 1 and 99 of each channel become 0 and 1, the
image is resized so that objects are as wide as in the network's training, and gets a border of zeros. Cellpose itself
cuts images of more than 224 pixels into tiles, each with a style of its own; here the style is that of the image.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from napari_seamless.errors import ModelError, WeightsMismatch
from napari_seamless.models.architecture import build
from napari_seamless.models.loaders.archive import DAMAGE
from napari_seamless.models.loaders.state_dict import load_into, read_state
from napari_seamless.models.model import Model
from napari_seamless.models.networks.cellpose import DIAMETER, CellposeNetwork
from napari_seamless.models.preprocessing.percentile import PercentileScale

FIRST = "downsample.down.res_down_{}.conv.conv_0.2.weight"
LAST = "output.2.weight"
LOOKED_AT = 2**20
"""Bytes in which the names of a file's tensors begin."""
LOW, HIGH = 1.0, 99.0
MULTIPLE, BORDER = 16, 8
"""What sizes are multiples of, and zeros on every side, in pixels that the network sees."""
LARGEST_DIAMETER = 1000.0


class CellposeImage(nn.Module):
    """`network` on an image that it sees `ratio` times as large, with a border of zeros, scaled by percentiles.

    A single channel is that of cells; the other ones of the network are 0 then.
    """

    def __init__(self, network: CellposeNetwork, ratio: float) -> None:
        super().__init__()
        self.scale, self.network, self.ratio = PercentileScale(LOW, HIGH), network, ratio

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(1, 1 or channels, y, x) -> (1, outputs, y, x)."""
        wanted, got, sizes = self.network.channels, x.shape[1], list(x.shape[2:])
        if got not in (1, wanted):
            raise ModelError(
                f"this Cellpose network takes one channel, or {wanted} (cells, then nuclei); got {got}; choose channels"
            )
        seen = [max(int(n * self.ratio), 1) for n in sizes]
        x = _resized(self.scale(x), seen)
        more = [-n % MULTIPLE for n in seen]
        top, left = (BORDER + n // 2 for n in more)
        bottom, right = (BORDER + n - n // 2 for n in more)
        x = functional.pad(x, (left, right, top, bottom))
        if got < wanted:
            x = torch.cat([x, *[torch.zeros_like(x)] * (wanted - got)], 1)
        found = self.network(x)[:, :, top : top + seen[0], left : left + seen[1]]
        return _resized(found, sizes)


def matches(path: Path) -> bool:
    """Whether the names of Cellpose's layers stand where those of a file of torch's do; runs nothing of it."""
    if not path.is_file():
        return False
    name = FIRST.format(0).encode()
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return name in file.read(LOOKED_AT)
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [entry for entry in archive.namelist() if entry.endswith("data.pkl")][:1]
            return any(name in archive.open(entry).read(LOOKED_AT) for entry in pickles)
    except DAMAGE:
        return False


def load(path: Path, *, trust: bool) -> Model:  # noqa: ARG001
    """The model, as `Loader.load` says; needs no trust."""
    state = read_state(path)
    network = build("cellpose", _arguments(state, path.name), weights=state)
    assert isinstance(network, CellposeNetwork)
    own = {key: value for key, value in network.state_dict().items() if key.startswith("diam_")}
    try:
        notices = load_into(network, {**own, **state}, "Cellpose's network")
    except WeightsMismatch as mismatch:
        raise WeightsMismatch(f"{path.name}: {mismatch.message}", remedies=mismatch.remedies) from None
    trained, taken = (_diameter(value, path.name) for value in (network.diam_mean, network.diam_labels))
    if not own.keys() <= state.keys():
        notices = (*notices, f"{path.name} does not say how wide objects are in it; {DIAMETER:g} pixels are taken")
    told = (
        f"Cellpose's network sees objects {trained:g} pixels wide; those of the image are taken to be {taken:g} pixels "
        "wide, as in its training; where they are not, run it on a level of the image where they are",
        "Cellpose's network gives flows and a logit of cells; no objects are made of them here",
    )
    scaling = f"percentiles {LOW:g} and {HIGH:g} of each channel of the whole image become 0 and 1"
    return Model(
        name=path.stem,
        module=CellposeImage(network, trained / taken).eval(),
        title=f"Cellpose network of {path.name}",
        channel_names=("flow along y", "flow along x", "cell"),
        card={"format": "Cellpose 1 to 3", "scaling": scaling, "diameter": f"{taken:g} pixels"},
        notices=(*notices, *told),
    )


def write_example(folder: Path) -> Path:
    """A small network of two channels, whose names and tensors alone are written."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CellposeNetwork(2, 3, (4, 6))
    torch.save(network.state_dict(), folder / "example")
    return folder / "example"


def _arguments(state: Mapping[str, torch.Tensor], name: str) -> dict[str, Any]:
    """Those of the network, as its weights tell."""
    blocks = [state[key] for key in takewhile(state.__contains__, (FIRST.format(k) for k in count()))]
    if not blocks or LAST not in state or any(block.dim() != 4 for block in blocks) or state[LAST].dim() != 4:
        raise WeightsMismatch(
            f"a file of Cellpose 1 to 3 has the weights of a network of planes; {name} has others; use the file that "
            "Cellpose's training wrote"
        )
    if state[LAST].shape[0] != 3:
        raise ModelError(
            f"a network of Cellpose gives two flows and a logit; that of {name} gives {state[LAST].shape[0]} channels; "
            "those for restoring images are not run here"
        )
    return {
        "channels": blocks[0].shape[1],
        "outputs": state[LAST].shape[0],
        "widths": [block.shape[0] for block in blocks],
        "kernel": blocks[0].shape[2],
    }


def _diameter(value: torch.Tensor, name: str) -> float:
    diameter = float(value[0])
    if not 1 <= diameter <= LARGEST_DIAMETER:
        raise ModelError(
            f"objects are 1 to {LARGEST_DIAMETER:g} pixels wide; {name} says {diameter:g}; use another file"
        )
    return diameter


def _resized(x: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """By linear interpolation, without a filter, as Cellpose does it."""
    if list(x.shape[2:]) == sizes:
        return x
    return functional.interpolate(x, size=sizes, mode="bilinear", align_corners=False)
