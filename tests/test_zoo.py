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
from oracle import Tiled, relative_error, whole

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "zoo.py"


def zoo() -> ModuleType:
    """The benchmark that holds the list of architectures."""
    spec = importlib.util.spec_from_file_location("zoo", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["zoo"] = module
    spec.loader.exec_module(module)
    return module


SMALL = {
    "monai": ("UNet 2-D", "UNet 3-D", "BasicUNet 2-D", "AttentionUnet 2-D", "DynUNet 2-D",
              "DynUNet 3-D", "BasicUNet 2-D, pixelshuffle", "SegResNet 2-D, group norm"),
    "torchvision": ("lraspp_mobilenet_v3", "squeezenet1_1 features", "shufflenet_v2 stages"),
    "timm": ("resnet18", "mobilenetv3_small_050", "convnext_atto"),
    "smp": ("Unet, resnet18", "Linknet, resnet18", "FPN, resnet18"),
}  # fmt: skip
"""Those that take seconds; `python benchmarks/zoo.py` runs all."""


@pytest.mark.zoo
@pytest.mark.parametrize("package", SMALL)
def test_no_network_of_another_package_is_computed_wrong(package: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = zoo()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other packages' own
        entries = [e for e in module.catalogue((package,)) if e.name in SMALL[package]]
        verdicts = [module.judge(entry) for entry in entries]
    with capsys.disabled():
        said = module.summary([v.kind for v in verdicts]) if verdicts else "not installed, none tried"
        print(f"\n{package}: {said}")
        print(*verdicts, sep="\n")
    assert [str(v) for v in verdicts if v.kind == "wrong"] == []
    assert [str(v) for v in verdicts if v.kind == "refused" and not v.reason] == []
    if package == "monai":  # it comes with the test extra
        assert sum(v.kind == "exact" for v in verdicts) >= 6


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
}


@pytest.mark.parametrize("name", OPERATORS)
def test_tiles_give_the_whole_image_for(name: str) -> None:
    torch.manual_seed(0)
    network, image = Function(OPERATORS[name]), torch.randn(1, 4, 40, 37)
    assert relative_error(Tiled.of(network, image).in_tiles(15), whole(network, image)) <= 1e-5


def test_a_tensor_that_tracing_loses_sight_of_is_refused_and_not_taken_for_a_weight() -> None:
    network = Function(lambda x: torch.cat([torch.Tensor._make_subclass(torch.Tensor, x), x], 1))
    with pytest.raises(TraceFailed, match="must be a weight or be computed from the image"):
        Tiled.of(network, torch.randn(1, 4, 40, 37))
