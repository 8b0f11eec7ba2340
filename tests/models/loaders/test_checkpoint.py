"""Checkpoints as trainings write them: the weights in them are found, told, and nothing else in them is run."""

from __future__ import annotations

import argparse
import os
import pathlib
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import napari_seamless as ns
from napari_seamless.errors import ModelError, NotTrusted, WeightsMismatch
from napari_seamless.models.architecture import build
from napari_seamless.models.loaders.recipe_folder import save_recipe

RAN: list[str] = []


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Sequential(nn.Conv2d(3, 2, 1)))


def states() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    return network().state_dict(), network().state_dict()


def named(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state.items()}


def run_it(what: str) -> None:
    RAN.append(what)


class Runs:
    """Says that it was run when it is read."""

    def __reduce__(self) -> Any:
        return run_it, ("ran",)


def checkpoints() -> dict[str, Any]:
    good, other = states()
    optimiser = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1}]}
    infix = {key.replace("2.0.", "2._orig_mod.0."): value for key, value in good.items()}
    return {
        "bare": good,
        "lightning": {"state_dict": named("model.", good), "epoch": 1, "callbacks": {"x": {"y": torch.ones(1)}}},
        "lightning, loss weights": {"state_dict": {**named("net.", good), "loss.weight": torch.ones(2)}},
        "loss beside": {**good, "criterion.weight": torch.ones(2)},
        "compiled": named("_orig_mod.", good),
        "compiled part": infix,
        "compiled, in lightning": {"state_dict": named("model._orig_mod.", good)},
        "parallel and compiled": named("module._orig_mod.", good),
        "averaged": {"n_averaged": torch.tensor(3), **named("module.", good)},
        "nnunet": {"network_weights": good, "optimizer_state": optimiser, "current_epoch": 3},
        "timm": {"state_dict": other, "state_dict_ema": good, "optimizer": optimiser},
        "basicsr": {"params": other, "params_ema": good},
        "two in lightning": {"state_dict": {**named("model.", other), **named("ema_model.", good)}},
        "ema without buffers": {"ema": {"shadow": torch.ones(2)}, "model": good},
        "nested": {"checkpoint": {"model_state_dict": OrderedDict(good)}},
        "arguments": {"state_dict": good, "args": argparse.Namespace(lr=1), "where": pathlib.PurePosixPath("/x")},
        "code": {"state_dict": good, "evil": Runs()},
    }


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("kind", list(checkpoints()))
def test_the_weights_of_a_checkpoint_are_found(kind: str, is_zip: bool, tmp_path: Path) -> None:
    RAN.clear()
    torch.save(checkpoints()[kind], tmp_path / "c.pth", _use_new_zipfile_serialization=is_zip)
    model = ns.load_model(tmp_path / "c.pth", architecture=f"{__name__}:network")
    good, _ = states()
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, good[key])
    assert not RAN


@pytest.mark.parametrize(("kind", "said"), [("timm", "'state_dict_ema'"), ("two in lightning", "'ema_model.'")])
def test_which_weights_were_taken_is_told(kind: str, said: str, tmp_path: Path) -> None:
    torch.save(checkpoints()[kind], tmp_path / "c.pth")
    (notice,) = ns.load_model(tmp_path / "c.pth", architecture=f"{__name__}:network").notices
    assert said in notice


def test_a_recipe_tells_which_weights_of_its_file_were_taken(tmp_path: Path) -> None:
    good = build("unet", {"inputs": 1, "outputs": 2, "widths": [4, 6]})
    fields = {
        "name": "cells",
        "network": {"architecture": "unet", "arguments": {"inputs": 1, "outputs": 2, "widths": [4, 6]}},
        "input": {"channels": ["grey"]},
        "output": {"kind": "probabilities", "activation": "sigmoid"},
    }
    folder = save_recipe(tmp_path / "cells", good, fields)
    torch.save({"state_dict": named("module.", good.state_dict()), "ema": good.state_dict()}, folder / "w.pth")
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(re.sub("sha256 = .*\n", "", text.replace("weights.safetensors", "w.pth")))
    (notice,) = ns.load_model(folder).notices
    assert "those under 'ema'" in notice


@pytest.mark.parametrize(("content", "says"), [(b"hello", "damaged"), (b"", "damaged"), (b"\x80\x02K\x01.", "damaged")])
def test_what_is_no_file_of_weights_is_refused_in_a_sentence(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "c.pth").write_bytes(content)
    with pytest.raises(ModelError, match=says):
        ns.load_model(tmp_path / "c.pth")


def test_a_module_that_was_pickled_before_torch_1_6_needs_a_yes_like_any_other(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(NotTrusted, match="a pickled module"):
        ns.load_model(tmp_path / "c.pth")
    assert isinstance(ns.load_model(tmp_path / "c.pth", trust=True).module, nn.Sequential)


def test_an_encoder_is_not_taken_for_the_network(tmp_path: Path) -> None:
    good, _ = states()
    torch.save({**named("encoder.", good), **named("decoder.", good)}, tmp_path / "c.pth")
    with pytest.raises(WeightsMismatch):
        ns.load_model(tmp_path / "c.pth", architecture=f"{__name__}:network")


def test_a_larger_variant_is_not_cut_to_size(tmp_path: Path) -> None:
    good, _ = states()
    torch.save({**named("model.", good), "model.3.weight": torch.ones(2)}, tmp_path / "c.pth")
    with pytest.raises(WeightsMismatch, match=r"1 unexpected \(3.weight\)"):
        ns.load_model(tmp_path / "c.pth", architecture=f"{__name__}:network")


def test_a_file_that_would_call_the_system_is_refused(tmp_path: Path) -> None:
    class Calls:
        def __reduce__(self) -> Any:
            return os.system, ("exit 3",)

    good, _ = states()
    torch.save({"state_dict": good, "evil": Calls()}, tmp_path / "c.pth")
    with pytest.raises(ModelError):
        ns.load_model(tmp_path / "c.pth", architecture=f"{__name__}:network")


def test_bare_weights_hear_of_the_architecture_and_not_of_another_network(tmp_path: Path) -> None:
    torch.save(states()[0], tmp_path / "c.pth")
    with pytest.raises(WeightsMismatch, match=r"do not say of which network they are.*--architecture unet") as refusal:
        ns.load_model(tmp_path / "c.pth")
    assert "nuclei" not in str(refusal.value)
