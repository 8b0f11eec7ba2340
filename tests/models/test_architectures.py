"""Architectures to choose from, what they want to be told, and weights that are kept together with theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import napari_seamless as ns
from napari_seamless.cli import main
from napari_seamless.errors import ModelError
from napari_seamless.models import load_model
from napari_seamless.models import names as model_names
from napari_seamless.models.add_model import add_model
from napari_seamless.models.architecture import Parameter, architecture_names, parameters_of
from napari_seamless.models.networks.unet import UNet


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_SEAMLESS_DATA", str(tmp_path / "user"))


def test_names_are_ours_and_those_of_what_is_installed() -> None:
    names = architecture_names()
    assert names[0] == "unet"
    assert {"monai:BasicUNet", "monai:SegResNet"} <= set(names)
    assert len(set(names)) == len(names)


def test_an_architecture_says_what_it_wants_to_be_told() -> None:
    assert parameters_of("unet")[:2] == (Parameter("inputs", None), Parameter("outputs", None))
    assert Parameter("spatial_dims", "3") in parameters_of("monai:BasicUNet")
    assert parameters_of("torch.nn:Conv2d")[0] == Parameter("in_channels", None)
    assert Parameter("num_classes", "1000") in parameters_of("timm:resnet18")
    assert parameters_of("unknown") == ()


def test_code_that_python_does_not_find_is_refused() -> None:
    with pytest.raises(ModelError, match=r"nowhere\.at_all:Net needs the package nowhere; it cannot be imported"):
        parameters_of("nowhere.at_all:Net")


def saved(tmp_path: Path, network: torch.nn.Module) -> Path:
    path = tmp_path / "mine.safetensors"
    save_file(network.state_dict(), path)
    return path


def test_weights_are_kept_with_their_architecture_and_compute_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = UNet(inputs=2, outputs=3, widths=(4, 8)).eval()
    arguments = {"inputs": 2, "outputs": 3, "widths": [4, 8]}
    path = saved(tmp_path, network)
    assert add_model(path, architecture="unet", arguments=arguments) == "mine"
    path.unlink()
    assert "mine" in model_names()
    again = load_model("mine")
    image = torch.rand(1, 2, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(again.module(image), network(image))
    assert (again.channels, again.ndim) == (2, 2)


def test_weights_are_kept_by_a_command_and_run_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 2, 5, padding=2)
    said = ["--architecture", "torch.nn:Conv2d", "--arguments"]
    arguments = '{"in_channels": 3, "out_channels": 2, "kernel_size": 5, "padding": 2}'
    assert main(["models", "add", str(saved(tmp_path, network)), *said, "[1]"]) == 2
    assert main(["models", "add", str(saved(tmp_path, network)), "--name", "five", *said, arguments]) == 0
    assert capsys.readouterr().out.strip() == "five"
    image = torch.rand(3, 40, 50)
    with torch.inference_mode():
        expected = network(image)
    np.testing.assert_allclose(np.asarray(ns.run("five", image.numpy(), scheduler="serial")), expected, atol=1e-6)


def test_an_architecture_by_import_path_is_the_callers_own_word_and_not_asked_about_again(tmp_path: Path) -> None:
    arguments = {"in_channels": 2, "out_channels": 1, "kernel_size": 3}
    path = saved(tmp_path, torch.nn.Conv2d(**arguments))
    add_model(path, "conv", architecture="torch.nn:Conv2d", arguments=arguments)
    assert load_model("conv").channels == 2


def test_where_any_number_of_channels_would_do_a_recipe_is_not_guessed(tmp_path: Path) -> None:
    path = saved(tmp_path, torch.nn.PReLU())
    with pytest.raises(ModelError, match="a recipe says how many channels a network takes; any takes 64 of the kinds"):
        add_model(path, "any", architecture="torch.nn:PReLU")
    assert "any" not in model_names()
