"""Networks that give several images: one is taken, by name, number or rule, and which is said."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import napari_seamless as ns
from napari_seamless.errors import BadRequest
from napari_seamless.models.loaders.recipe_folder import model_of
from napari_seamless.models.recipe_file import checked_recipe

IMAGE = np.random.default_rng(0).random((3, 77, 90)).astype(np.float32)


class Pair(NamedTuple):
    small: Tensor
    large: Tensor


class Heads(nn.Module):
    """Two convolutions, given in one of many ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.way = way
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> object:
        a = self.a(x)
        b = self.b(a)
        ways = {
            "tuple": (b, a),
            "dict": {"aux": a, "out": b},
            "nested": {"deep": [F.avg_pool2d(b, 2), b], "count": None},
            "named tuple": Pair(F.avg_pool2d(b, 2), b),
            "side outputs": [b + 1, b + 2, b],
            "one in a dict": {"anything": b},
            "classes beside it": (a.mean((2, 3)), b),
        }
        return ways[self.way]


WAYS = ("tuple", "dict", "nested", "named tuple", "side outputs", "one in a dict", "classes beside it")


def run(way: str, **options: object) -> ns.Result:
    return ns.run(Heads(way).eval(), IMAGE, axes="cyx", tile=64, scheduler="serial", **options)


def whole(of: str = "b") -> np.ndarray:
    net, x = Heads("tuple").eval(), torch.from_numpy(IMAGE)[None]
    with torch.no_grad():
        return (net.a(x) if of == "a" else net.b(net.a(x)))[0].numpy()


@pytest.mark.parametrize("way", WAYS)
def test_the_main_output_is_taken_by_rule_and_said(way: str) -> None:
    result = run(way)
    np.testing.assert_allclose(np.asarray(result), whole(), rtol=0, atol=1e-6)
    assert any("output" in notice for notice in result.notices) == (way != "one in a dict")


@pytest.mark.parametrize(("way", "wanted"), [("dict", "aux"), ("dict", 0), ("tuple", 1), ("tuple", "1"), ("tuple", -1)])
def test_an_output_is_chosen_by_name_or_number(way: str, wanted: str | int) -> None:
    result = run(way, network_output=wanted)
    np.testing.assert_allclose(np.asarray(result), whole("a"), rtol=0, atol=1e-6)
    assert "as asked for" in result.notices[0]


class Saliency(nn.Module):
    """Side outputs, and one that is made of all of them, which comes `first` or last: as U^2-Net and HED give them."""

    def __init__(self, *, first: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = first
        self.sides = nn.ModuleList(nn.Conv2d(3, 1, 3, padding=1) for _ in range(3))
        self.fuse = nn.Conv2d(3, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        sides = [side(x) for side in self.sides]
        fused = self.fuse(torch.cat(sides, 1))
        found = [fused, *sides] if self.first else [*sides, fused]
        return tuple(torch.sigmoid(one) for one in found)


@pytest.mark.parametrize("first", [True, False])
def test_of_side_outputs_the_one_that_is_made_of_all_others_is_taken(first: bool) -> None:
    network = Saliency(first=first).eval()
    result = ns.run(network, IMAGE, axes="cyx", tile=64, scheduler="serial")
    with torch.no_grad():
        expected = network(torch.from_numpy(IMAGE)[None])[0 if first else -1][0]
    np.testing.assert_allclose(np.asarray(result), expected, rtol=0, atol=1e-6)
    assert f"the output '{0 if first else 3}' is taken, by rule" in result.notices[0]


def test_a_model_is_loaded_with_the_output_that_is_meant() -> None:
    model = ns.load_model(Heads("dict").eval(), network_output="aux")
    result = ns.run(model, IMAGE, axes="cyx", tile=64, scheduler="serial")
    np.testing.assert_allclose(np.asarray(result), whole("a"), rtol=0, atol=1e-6)
    assert ns.run(model, IMAGE, axes="cyx", tile=64, scheduler="serial", network_output="out").shape == (2, 77, 90)
    with pytest.raises(BadRequest, match="this network gives one"):
        ns.run(ns.load_model(nn.Conv2d(3, 2, 3), network_output="aux"), IMAGE, axes="cyx")


def test_outputs_that_are_not_there_are_refused_with_those_that_are() -> None:
    with pytest.raises(BadRequest, match="'aux' of 1 x 4 x 77 x 90, 'out' of"):
        run("dict", network_output="mask")
    with pytest.raises(BadRequest, match="this network gives one"):
        ns.run(nn.Conv2d(3, 2, 3), IMAGE, axes="cyx", network_output="aux")


def test_an_odd_size_is_padded_before_outputs_are_told_apart() -> None:
    class Odd(Heads):
        def forward(self, x: Tensor) -> object:
            return [F.interpolate(F.max_pool2d(y, 2), scale_factor=2.0) + y for y in super().forward(x)]  # type: ignore[attr-defined]

    result = ns.run(Odd("tuple").eval(), IMAGE, axes="cyx", tile=64, scheduler="serial")
    assert np.asarray(result).shape == (2, 77, 90)
    assert "output" in result.notices[0]


def test_explain_and_a_blended_run_take_the_same_output() -> None:
    class Blended(Heads):
        def forward(self, x: Tensor) -> object:
            return {"aux": x, "out": self.a(x) + torch.fft.ifft2(torch.fft.fft2(self.a(x))).real}

    assert "'out' is taken" in str(ns.explain(Heads("dict").eval(), IMAGE, axes="cyx"))
    result = ns.run(Blended("dict").eval(), IMAGE, axes="cyx", scheduler="serial", approximate=True)
    assert result.shape == (4, 77, 90)
    assert "'out' is taken" in result.notices[0]


@pytest.mark.parametrize(("output", "channels"), [(None, 2), ("aux", 4), (0, 4)])
def test_a_recipe_names_its_output(output: str | int | None, channels: int) -> None:
    fields = {
        "name": "heads",
        "network": {"architecture": "a:b", "weights": "w.pt", **({} if output is None else {"output": output})},
        "input": {"channels": ["r", "g", "b"]},
        "output": {"kind": "probabilities", "activation": "sigmoid"},
    }
    model = model_of(checked_recipe(fields, "here"), Heads("dict").eval())
    result = ns.run(model, IMAGE, axes="cyx", tile=64, scheduler="serial")
    assert result.shape == (channels, 77, 90)
    assert np.asarray(result).min() > 0
