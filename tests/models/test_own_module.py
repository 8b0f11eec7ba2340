"""Modules as authors hand them over: in training mode, compiled, wrapped, scripted, in half or double precision."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import napari_seamless as ns
from napari_seamless.errors import ModelError, SeamlessError

KINDS = (
    "compiled",
    "compiled in place",
    "compiled forward",
    "parallel",
    "compiled and parallel",
    "scripted",
    "by jit",
)
IMAGE = np.random.default_rng(0).random((1, 70, 90)).astype(np.float32)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    made[1].running_mean += torch.arange(4) / 10
    return made


def whole(module: nn.Module) -> np.ndarray:
    with torch.no_grad():
        return copy.deepcopy(module).eval().float()(torch.from_numpy(IMAGE)[None])[0].numpy()


def run(module: Any) -> ns.Result:
    return ns.run(module, IMAGE, tile=64, scheduler="serial")


class Nested(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.last = inner, nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.inner(x))


def modes(module: nn.Module) -> list[bool]:
    return [one.training for one in module.modules()]


def test_training_mode_is_said_and_the_module_stays_as_it_was() -> None:
    module = network().train()
    module[3].eval()
    before, state = modes(module), copy.deepcopy(module.state_dict())
    result = run(module)
    assert modes(module) == before
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())
    assert any("training mode" in notice for notice in result.notices)
    assert any("training mode" in notice for notice in result.report.notices)
    np.testing.assert_allclose(np.asarray(result), whole(module), rtol=0, atol=1e-6)


def test_a_module_that_is_refused_stays_in_its_mode_too() -> None:
    class Refused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network().train()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x) if x.mean() > 0 else x

    module = Refused().train()
    with pytest.raises(SeamlessError):
        run(module)
    assert all(modes(module))


def test_a_mode_that_changes_nothing_is_not_said() -> None:
    assert run(nn.Conv2d(1, 2, 3).train()).notices == ()


def test_a_blended_run_is_in_eval_mode_and_leaves_the_module_in_training_mode() -> None:
    class Blended(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x) + torch.fft.ifft2(torch.fft.fft2(x)).real

    module = Blended().train()
    result = ns.run(module, IMAGE, scheduler="serial", approximate=True)
    assert all(modes(module))
    expected = ns.run(Blended().eval(), IMAGE, scheduler="serial", approximate=True)
    np.testing.assert_array_equal(np.asarray(result), np.asarray(expected))


def wrappers() -> dict[str, nn.Module]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled_in_place, compiled_forward = network(), network()
        compiled_in_place.compile()
        compiled_forward.forward = torch.compile(compiled_forward.forward)
        return {
            "compiled": torch.compile(network()),
            "compiled in place": compiled_in_place,
            "compiled forward": compiled_forward,
            "parallel": nn.DataParallel(network()),
            "compiled and parallel": nn.DataParallel(torch.compile(network())),
            "scripted": torch.jit.script(network()),
            "by jit": torch.jit.trace(network(), torch.zeros(1, 1, 16, 16)),
        }


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_network_in_a_wrapper_is_run_and_said(kind: str) -> None:
    result = run(wrappers()[kind])
    np.testing.assert_allclose(np.asarray(result), whole(network()), rtol=0, atol=1e-6)
    (notice,) = result.notices
    assert "computes the same" in notice


@pytest.mark.parametrize("kind", ["compiled", "compiled in place", "parallel", "scripted"])
def test_a_wrapper_inside_a_network_is_found(kind: str) -> None:
    torch.manual_seed(1)
    module = Nested(wrappers()[kind])
    plain = Nested(network())
    plain.last.load_state_dict(module.last.state_dict())
    np.testing.assert_allclose(np.asarray(run(module.eval())), whole(plain), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_float_types_are_taken_as_float32_and_said(dtype: torch.dtype) -> None:
    module = network().to(dtype)
    result = run(module)
    np.testing.assert_allclose(np.asarray(result), whole(module), rtol=0, atol=1e-6)
    assert any(str(dtype).removeprefix("torch.") in notice for notice in result.notices)
    assert {p.dtype for p in module.parameters()} == {dtype}


def test_an_exported_program_is_run_as_it_is() -> None:
    exported = torch.export.export(network(), (torch.zeros(1, 1, 70, 90),))
    for given in (exported, exported.module()):
        np.testing.assert_allclose(np.asarray(run(given)), whole(network()), rtol=0, atol=1e-6)


def test_names_of_torchs_own_methods_do_for_layers() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = network()
            self.modules = nn.ModuleList([self.a])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x)

    np.testing.assert_allclose(np.asarray(run(Named().eval())), whole(network()), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["parameters", "named_modules"])
@pytest.mark.parametrize(
    "use",
    [
        run,
        lambda module: run(ns.Model("own", module, "My own")),
        lambda module: ns.StreamedGradient(nn.Sequential(module)),
    ],
    ids=["module", "Model", "StreamedGradient"],
)
def test_attributes_with_the_names_of_torchs_methods_are_refused_in_a_sentence(
    name: str, use: Callable[[Any], object]
) -> None:
    module = network()
    setattr(module, name, [nn.Conv2d(1, 1, 1)])
    with pytest.raises(ModelError, match=f"attribute of its own named '{name}'; rename it"):
        use(module)


@pytest.mark.parametrize(
    ("given", "words"),
    [(lambda x: x, "the function <lambda>"), (nn.Conv2d, "make one: Conv2d\\(\\)"), (3, "got a int")],
)
def test_what_is_no_module_is_refused_in_a_sentence(given: object, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        run(given)
