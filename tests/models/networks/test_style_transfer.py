"""Style networks: the weights that people have load, the shipped styles paint, and training makes more of them."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage.data import chelsea
from torch.nn.functional import avg_pool2d

import napari_seamless.models
from napari_seamless.errors import WeightsMismatch
from napari_seamless.models import load_model, names
from napari_seamless.models.networks.style_transfer import StyleNetwork

RESIDUALS = ("res1", "res2", "res3", "res4", "res5")
CONVOLUTIONS = (
    *("conv1.conv2d", "conv2.conv2d", "conv3.conv2d", "deconv1.conv2d", "deconv2.conv2d", "deconv3.conv2d"),
    *(f"{residual}.{conv}.conv2d" for residual in RESIDUALS for conv in ("conv1", "conv2")),
)
NORMS = (
    *("in1", "in2", "in3", "in4", "in5"),
    *(f"{residual}.{norm}" for residual in RESIDUALS for norm in ("in1", "in2")),
)
"""Names in the files that are passed around."""


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return StyleNetwork().state_dict()


def picture(height: int, width: int) -> torch.Tensor:
    """float32 (1, 3, y, x) in 0..255."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1)) * 255


def test_the_names_are_those_of_the_weights_that_people_have() -> None:
    expected = {f"{name}.{kind}" for name in (*CONVOLUTIONS, *NORMS) for kind in ("weight", "bias")}
    assert set(weights()) == expected


def test_the_shapes_are_those_of_the_published_architecture() -> None:
    shapes = {name: tuple(value.shape) for name, value in weights().items()}
    assert shapes["conv1.conv2d.weight"] == (32, 3, 9, 9)
    assert shapes["conv3.conv2d.weight"] == (128, 64, 3, 3)
    assert shapes["res5.conv2.conv2d.weight"] == (128, 128, 3, 3)
    assert shapes["deconv1.conv2d.weight"] == (64, 128, 3, 3)
    assert shapes["deconv3.conv2d.weight"] == (3, 32, 9, 9)
    assert sum(value.numel() for value in weights().values()) == 1_679_235


def published_form(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The same network written out, layer by layer, with torch's functions: the oracle."""
    f = torch.nn.functional

    def conv(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"{name}.conv2d.weight"]
        x = f.pad(x, [weight.shape[-1] // 2] * 4, mode="reflect")
        return f.conv2d(x, weight, state[f"{name}.conv2d.bias"], stride)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(dim=(2, 3), keepdim=True)
        x = centred / (centred.square().mean(dim=(2, 3), keepdim=True) + 1e-5).sqrt()
        return x * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]

    for i, stride in ((1, 1), (2, 2), (3, 2)):
        x = norm(conv(x, f"conv{i}", stride), f"in{i}").relu()
    for r in RESIDUALS:
        inner = norm(conv(x, f"{r}.conv1"), f"{r}.in1").relu()
        x = norm(conv(inner, f"{r}.conv2"), f"{r}.in2") + x
    for i, k in ((1, 4), (2, 5)):
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = norm(conv(x, f"deconv{i}"), f"in{k}").relu()
    return conv(x, "deconv3")


def test_the_network_computes_what_the_published_one_does() -> None:
    state = weights() | {"deconv3.conv2d.weight": weights()["deconv3.conv2d.weight"] * 200}
    network = StyleNetwork()
    network.load_state_dict(state)
    with torch.inference_mode():
        expected = published_form(state, picture(44, 60))
        assert torch.allclose(network.paint(picture(44, 60)), expected, atol=1e-3, rtol=1e-4)
        assert torch.equal(network(picture(44, 60)), network.paint(picture(44, 60)).clamp(0, 255).round().byte())
    assert expected.std() > 20, "a picture that the comparison can fail on"


@pytest.mark.parametrize("size", [(5, 5), (33, 47), (38, 41), (64, 35)], ids=str)
def test_a_picture_of_any_size_keeps_it(size: tuple[int, int]) -> None:
    with torch.inference_mode():
        painted = StyleNetwork().eval()(picture(*size))
    assert painted.shape == (1, 3, *size)
    assert painted.dtype == torch.uint8


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_weights_that_people_have_load_by_their_file_alone(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mosaic{suffix}"
    save_file(weights(), path) if suffix == ".safetensors" else torch.save(weights(), path)
    model = load_model(path)
    assert (model.name, model.kind, model.channels) == ("mosaic", "image", 3)
    assert model.channel_names == ("red", "green", "blue")
    assert model.title == f"The style of mosaic{suffix}"
    assert not model.module.training
    assert all(torch.equal(value, weights()[name]) for name, value in model.module.state_dict().items())


def test_stale_moments_of_old_files_are_left_out(tmp_path: Path) -> None:
    stale = {f"{name}.running_{kind}": torch.rand(8) for name in NORMS for kind in ("mean", "var")}
    stale["in1.num_batches_tracked"] = torch.tensor(3)
    torch.save(weights() | stale, tmp_path / "candy.pth")
    state = load_model(tmp_path / "candy.pth").module.state_dict()
    assert set(state) == set(weights())


def test_names_given_by_data_parallel_are_understood(tmp_path: Path) -> None:
    torch.save({f"module.{name}": value for name, value in weights().items()}, tmp_path / "udnie.pth")
    assert isinstance(load_model(tmp_path / "udnie.pth").module, StyleNetwork)


def test_half_precision_weights_load_as_float32(tmp_path: Path) -> None:
    save_file({name: value.half() for name, value in weights().items()}, tmp_path / "half.safetensors")
    network = load_model(tmp_path / "half.safetensors").module
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}


def test_a_style_network_of_another_make_is_refused_in_one_sentence(tmp_path: Path) -> None:
    state = weights()
    del state["in1.weight"]
    state["conv4.conv2d.weight"] = torch.zeros(3, 3)
    state["deconv3.conv2d.weight"] = torch.zeros(3, 32, 3, 3)
    torch.save(state, tmp_path / "other.pth")
    differences = (
        "other.pth: weights must have the names and shapes of a style network (conv1.conv2d.weight, in1.weight, ...); "
        "got 1 missing (in1.weight), 1 unexpected (conv4.conv2d.weight), 1 of another shape (deconv3.conv2d.weight)"
    )
    with pytest.raises(WeightsMismatch, match=f"^{re.escape(differences)};[^\n]*pass the module itself"):
        load_model(tmp_path / "other.pth")


def test_weights_of_neither_network_are_not_taken_for_a_style(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "mine.pth")
    with pytest.raises(WeightsMismatch, match=r"mine.pth has 2 tensors \(weight, bias\) of none .*--architecture"):
        load_model(tmp_path / "mine.pth")


# --- the shipped styles -------------------------------------------------------------------

WEIGHTS = Path(napari_seamless.models.__file__).parent / "weights"
SHIPPED = [name for name in names() if name.startswith("style-")]


def photograph() -> torch.Tensor:
    """A cat, float32 (1, 3, 201, 263) in 0..255: sides that four does not divide."""
    return torch.from_numpy(chelsea()[40:241, 90:353].astype(np.float32)).permute(2, 0, 1)[None]


def test_styles_are_shipped() -> None:
    assert "style-wave" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_style_paints_a_picture_of_the_same_size_and_keeps_what_it_shows(name: str) -> None:
    model = load_model(name)
    with torch.inference_mode():
        painted = model.module(photograph())
    assert (painted.shape, painted.dtype) == (photograph().shape, torch.uint8)
    assert painted.float().std() > 25, "neither grey nor empty"
    before, after = (avg_pool2d(x.float().mean(dim=1), 8).flatten() for x in (photograph(), painted))
    assert torch.corrcoef(torch.stack([before, after]))[0, 1] > 0.5, "light stays light, dark stays dark"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_style_is_small_and_says_where_it_comes_from(name: str) -> None:
    assert (WEIGHTS / f"{name}.safetensors").stat().st_size <= 7_000_000
    card = load_model(name).card
    assert card["name"] == name
    assert card["painting"]
    assert {"steps", "seed", "judged_by"} <= set(card["training"])
    assert f"`{name}.safetensors`" in (WEIGHTS / "README.md").read_text(encoding="utf-8")


def test_shipped_styles_differ_in_colour() -> None:
    with torch.inference_mode():
        means = [load_model(name).module(photograph()).float().mean(dim=(0, 2, 3)) for name in SHIPPED]
    distances = [float((a - b).norm()) for i, a in enumerate(means) for b in means[:i]]
    assert min(distances) > 10


# --- the training script ------------------------------------------------------------------

TRAINING_SCRIPT = Path(__file__).parents[3] / "examples" / "train_style.py"


def script() -> ModuleType:
    """The training script as a module."""
    spec = importlib.util.spec_from_file_location("train_style", TRAINING_SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_png(path: Path, colour: tuple[int, int, int], seed: int) -> Path:
    """A picture of one colour, unevenly lit."""
    light = np.random.default_rng(seed).uniform(0.2, 1.0, (80, 90, 1))
    Image.fromarray((light * colour).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the results of a short training on a blue painting."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "content").mkdir()
    as_png(folder / "content" / "one.png", (200, 180, 160), seed=0)
    painting = as_png(folder / "blue.png", (20, 60, 250), seed=1)
    files = ["--style", painting, "--content", folder / "content", "--output", folder / "weights"]
    numbers = ["--size", "64", "--short", "64", "--steps", "20", "--seed", "7", "--threads", "1"]
    command = [sys.executable, str(TRAINING_SCRIPT), "--painting", "Nobody", *map(str, files), *numbers]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "weights"


def test_training_brings_the_colours_of_the_painting(trained: Path) -> None:
    with torch.inference_mode():
        painted = load_model(trained / "style-blue.safetensors").module(picture(64, 64))
    red, green, blue = painted[0].float().mean(dim=(1, 2)).tolist()
    assert blue > green + 20 > red + 20


def test_training_writes_a_card_that_says_how(trained: Path) -> None:
    card = json.loads((trained / "style-blue.json").read_text())
    assert card["painting"] == "Nobody"
    assert (card["training"]["steps"], card["training"]["seed"]) == (20, 7)
    assert "--steps 20 --seed 7" in card["reproduce"]
    assert str(trained.parent) not in json.dumps(card), "no path of this machine"


def test_what_is_asked_is_least_for_the_painting_itself() -> None:
    train_style = script()
    torch.manual_seed(0)
    painting = torch.nn.functional.avg_pool2d(torch.rand(1, 3, 130, 130), 3, stride=1)
    judge = train_style.Slices(painting, tone=0.3)
    same, _ = judge(painting, painting)
    other, _ = judge(painting.flip(1) * 0.5, painting)
    assert same < 0.2 * other


def test_structure_is_kept_by_other_colours_and_lost_by_another_picture() -> None:
    train_style = script()
    crop = torch.nn.functional.interpolate(torch.rand(1, 3, 16, 16), size=(128, 128), mode="bilinear")
    assert train_style.structure(crop * 0.5 + 0.3, crop) < 0.1 * train_style.structure(crop.flip(3), crop)


def test_vgg_is_used_if_its_weights_are_there_and_only_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_style = script()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    painting = torch.rand(1, 3, 64, 64)
    assert train_style.judge_of(painting, None, 0.3).name == "random filters"
    (tmp_path / "checkpoints").mkdir()
    torch.save(vgg_weights(), tmp_path / "checkpoints" / train_style.VGG_FILE)
    judge = train_style.judge_of(painting, None, 0.3)
    assert judge.name == "VGG-16"
    style, content = judge(painting, painting)
    assert float(style) == pytest.approx(0, abs=1e-6)
    assert float(content) == 0
    assert judge(painting.flip(1), painting)[1] > 0


def vgg_weights() -> dict[str, torch.Tensor]:
    """Random numbers under the names of torchvision's VGG-16, up to its tenth convolution."""
    numbers = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)
    widths = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512)
    state = {"classifier.0.bias": torch.zeros(3)}
    for number, inputs, outputs in zip(numbers, widths, widths[1:], strict=False):
        state[f"features.{number}.weight"] = torch.randn(outputs, inputs, 3, 3) / (9 * inputs) ** 0.5
        state[f"features.{number}.bias"] = torch.zeros(outputs)
    return state
