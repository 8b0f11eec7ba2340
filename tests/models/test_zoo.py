"""Networks of other packages: exact or refused with a reason, never wrong. And operators that they are made of."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_seamless.errors import TraceFailed
from napari_seamless.program.passes import plan_passes
from napari_seamless.program.trace import trace
from oracle import Tiled, by_passes, relative_error, whole

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "zoo.py"


def zoo() -> ModuleType:
    """The benchmark that holds the list of architectures."""
    spec = importlib.util.spec_from_file_location("zoo", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["zoo"] = module
    spec.loader.exec_module(module)
    return module


ZOO = zoo()
SMALL = ("UNet 2-D", "UNet 3-D", "BasicUNet 2-D", "AttentionUnet 2-D", "DynUNet 2-D", "DynUNet 3-D",
         "BasicUNet 2-D, pixelshuffle", "SegResNet 2-D, group norm")  # fmt: skip
"""Those of MONAI that take seconds; `python benchmarks/zoo.py` runs all, and those of other packages."""


@pytest.mark.zoo
@pytest.mark.parametrize("name", SMALL)
def test_a_network_of_monai_is_computed_exactly(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's own
        (entry,) = (e for e in ZOO.catalogue(("monai",)) if e.name == name)
        verdict = ZOO.judge(entry)
    assert verdict.kind == "exact", verdict


class Function(nn.Module):
    """A convolution, and something done to its result."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(4, 4, 3, padding=1), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x))


OPERATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "hardswish": F.hardswish,
    "log sigmoid": F.logsigmoid,
    "gated linear unit": lambda x: F.glu(x, 1),
    "other names of arithmetic": lambda x: torch.divide(torch.multiply(x, x), torch.subtract(x.abs(), -2.0)),
    "other names of comparisons": lambda x: torch.greater(x, 0.1).float() - torch.not_equal(x, x.round()).float(),
    "arctan2": lambda x: torch.arctan2(x, x + 1),
    "floor division": lambda x: (4 * x) // 2,
    "masked fill": lambda x: x.masked_fill(x > 0, torch.tensor(0.5)),
    "concat": lambda x: torch.concat([x, -x], 1),
    "channel shuffle": lambda x: F.channel_shuffle(x, 2),
    "root mean square norm": lambda x: F.rms_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2),
    "cosine similarity": lambda x: F.cosine_similarity(x, x + 1, dim=1)[:, None],
    "turned by half": lambda x: torch.rot90(x, 2, (2, 3)),
    "mirrored": lambda x: torch.fliplr(x.permute(0, 2, 1, 3)).permute(0, 2, 1, 3),
    "data without its history": lambda x: torch.cat([x.data, x[:, :1]], 1),
    "tile along channels": lambda x: torch.tile(x, (1, 2, 1, 1)),
    "einsum along channels": lambda x: torch.einsum("nchw,cd->ndhw", x, torch.eye(4)[[1, 0, 3, 2]]),
    "pixel shuffle by hand": lambda x: x.view(1, 1, 2, 2, 40, 32).permute(0, 1, 4, 2, 5, 3).reshape(1, 1, 80, 64),
    "pixel unshuffle by hand": lambda x: x.view(1, 4, 20, 2, 16, 2).permute(0, 1, 3, 5, 2, 4).reshape(1, 16, 20, 16),
    "means of squares": lambda x: x.view(1, 4, 5, 8, 4, 8).mean((3, 5)),
    "attention in windows": lambda x: in_windows(x, 8, 0),
    "attention in shifted windows": lambda x: in_windows(torch.tanh(in_windows(x, 8, 4)) + x, 4, 2),
    "torch's own attention in windows": lambda x: in_windows(x, 8, 0, fused=True),
    "codes of positions": lambda x: x.flatten(2).add(torch.linspace(-1, 1, 40 * 32)).view_as(x),
}
LOOKING_AT_THE_WHOLE: dict[str, Callable[[Tensor], Tensor]] = {
    "a count": lambda x: x * (x > 0).sum((2, 3), keepdim=True) / 100,
    "a masked mean": lambda x: x - (x * (x > 0)).sum((2, 3), keepdim=True) / (x > 0).sum((2, 3), keepdim=True),
    "whether there is any": lambda x: x * (x > 0.5).any() + (x > -9).all(),
    "least and most": lambda x: (x - torch.aminmax(x).min) / torch.aminmax(x.flatten(2), dim=2).max[..., None, None],
    "moments at once": lambda x: (x - torch.std_mean(x)[1]) / torch.std_mean(x, (2, 3), keepdim=True)[0],
    "a norm": lambda x: x / torch.linalg.norm(x),
    "a length of flattened positions": lambda x: F.normalize(x.flatten(2), dim=-1).view_as(x),
    "products of channels": lambda x: x + torch.einsum("nchw,ndhw->ncd", x, x).sum((1, 2)).sigmoid().view(1, 1, 1, 1),
    "a mean position": lambda x: x + (x.flatten(2).softmax(-1) * torch.linspace(0, 1, 1280)).sum(-1)[..., None, None],
    "pooled tokens": lambda x: x + pooled_tokens(x),
    "rows of bins": lambda x: x + F.adaptive_avg_pool2d(x, (None, 1)),
}


def in_windows(x: Tensor, size: int, shift: int, *, fused: bool = False) -> Tensor:
    """Two-headed attention in squares of the grid, shifted around the border and masked there (Liu et al. 2021)."""
    h, w = x.shape[2:]
    x = torch.roll(x, (-shift, -shift), (2, 3))
    tokens = windows(x, size).view(-1, size * size, 2, 2).permute(0, 2, 1, 3)
    scores = tokens @ tokens.transpose(-2, -1)
    if shift:
        part = x.new_zeros((1, 1, h, w))
        part[:, :, -shift:] = 1
        part[:, :, :, -shift:] += 2
        parts = windows(part, size).squeeze(-1)
        mask = (parts.unsqueeze(1) != parts.unsqueeze(2)) * -100.0
        scores = scores.view(1, mask.shape[0], 2, size * size, size * size) + mask[None, :, None]
    found = scores.view(-1, 2, size * size, size * size).softmax(-1) @ tokens
    if fused:
        found = F.scaled_dot_product_attention(tokens, tokens, tokens)
    found = (
        found.transpose(1, 2)
        .reshape(1, h // size, w // size, size, size, 4)
        .permute(0, 1, 3, 2, 4, 5)
        .reshape(1, h, w, 4)
    )
    return torch.roll(found.permute(0, 3, 1, 2), (shift, shift), (2, 3))


def windows(x: Tensor, size: int) -> Tensor:
    """(1, c, y, x) -> (squares, size * size, c)."""
    _, c, h, w = x.shape
    squares = x.permute(0, 2, 3, 1).view(1, h // size, size, w // size, size, c).permute(0, 1, 3, 2, 4, 5)
    return squares.reshape(-1, size * size, c)


def pooled_tokens(x: Tensor) -> Tensor:
    """Attention to 6 x 6 pooled tokens."""
    tokens = F.adaptive_avg_pool2d(x, 6).flatten(2).transpose(1, 2)
    scores = x.flatten(2).transpose(1, 2) @ tokens.transpose(1, 2)
    again = F.scaled_dot_product_attention(x.flatten(2).transpose(1, 2), tokens, tokens)
    return (scores.softmax(-1) @ tokens + again).transpose(1, 2).reshape(x.shape)


@pytest.mark.parametrize("name", OPERATORS)
def test_tiles_give_the_whole_image_for(name: str) -> None:
    torch.manual_seed(0)
    network, image = Function(OPERATORS[name]), torch.randn(1, 4, 40, 32)
    tiled = Tiled.of(network, image)
    expected = whole(network, image)
    assert relative_error(tiled.in_tiles(15), expected) <= 1e-5
    assert relative_error(tiled.in_tiles(8), expected) <= 1e-5


@pytest.mark.parametrize("name", LOOKING_AT_THE_WHOLE)
def test_passes_give_the_whole_image_for(name: str) -> None:
    torch.manual_seed(0)
    network, image = Function(LOOKING_AT_THE_WHOLE[name]), torch.randn(1, 4, 40, 32)
    program = trace(network, tuple(image.shape))
    assert len(plan_passes(program)) > 1
    for tile in (15, 8):
        assert relative_error(by_passes(program, image, tile).numpy(), whole(network, image)) <= 1e-5


def test_a_tensor_that_tracing_loses_sight_of_is_refused_and_not_taken_for_a_weight() -> None:
    network = Function(lambda x: torch.cat([torch.Tensor._make_subclass(torch.Tensor, x), x], 1))
    with pytest.raises(TraceFailed, match="must be a weight or be computed from the image"):
        Tiled.of(network, torch.randn(1, 4, 40, 37))
