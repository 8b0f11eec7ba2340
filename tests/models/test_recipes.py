"""Recipes: what is written comes back, and pre-processing, resolution and classes are part of the exact program."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

import napari_seamless as ns
from napari_seamless.cli import main
from napari_seamless.errors import (
    BadRequest,
    InputMismatch,
    InputNotFound,
    ModelError,
    OutputExists,
    PixelSizeUnknown,
    WeightsMismatch,
)
from napari_seamless.models import load_model
from napari_seamless.models.add_model import add_model
from napari_seamless.models.loaders.recipe_folder import save_recipe
from napari_seamless.models.networks.unet import UNet
from napari_seamless.models.preprocessing.resolution import AtResolution

ARGUMENTS = {"inputs": 1, "outputs": 3, "widths": [4, 4]}
CLASSES = [
    {"value": 0, "name": "ground"},
    {"value": 5, "name": "cell", "colour": "#123456"},
    {"value": 2, "name": "rim"},
]


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAPARI_SEAMLESS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def network() -> UNet:
    torch.manual_seed(0)
    return UNet(1, 3, (4, 4)).eval()


def fields(**changes: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe, with tables that are changed in part."""
    base: dict[str, dict[str, Any]] = {
        "network": {"architecture": "unet", "arguments": ARGUMENTS},
        "input": {"channels": ["grey"], "multiple_of": 2},
        "output": {"kind": "image"},
    }
    for table, change in changes.items():
        base[table] = {**base.get(table, {}), **change}
    return {"name": "mine", **base}


def pixels(shape: tuple[int, ...] = (1, 90, 118)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def tiled(model: object, image: np.ndarray, **options: object) -> np.ndarray:
    return np.asarray(ns.run(model, image, axes="cyx", tile=64, scheduler="serial", device="cpu", **options))


def whole(module: nn.Module, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return module(torch.from_numpy(image)[None].float())[0].numpy()


def test_a_saved_recipe_gives_the_same_network_and_card(network: UNet, tmp_path: Path) -> None:
    card = {"licence": "CC0-1.0", "citation": "Somebody 2026", "limits": ["nothing but this"], "magnification": 20}
    model = load_model(save_recipe(tmp_path / "mine", network, fields(card=card)))
    assert np.array_equal(whole(model.module, pixels()), whole(network, pixels()))
    assert {**model.card, **card} == model.card
    assert model.card["input"] == "grey (any type, none)"
    assert (model.name, model.channels, model.ndim) == ("mine", 1, 2)


def scale_expected(kind: str, x: torch.Tensor) -> torch.Tensor:
    match kind:
        case "range":
            return (x - 20) / 180 * 2 - 1
        case "mean-std":
            return (x / 255 - 0.4) / 0.2
        case "percentile":
            low, high = (torch.quantile(x.double(), q).float() for q in (0.02, 0.98))
            return (x - low) / (high - low)
        case "own-mean-std":
            return (x - x.mean()) / x.std(correction=0)
    return x


@pytest.mark.parametrize(
    "scaling",
    [
        {"kind": "none"},
        {"kind": "range", "low": 20, "high": 200, "to": [-1, 1]},
        {"kind": "mean-std", "mean": [0.4], "std": 0.2, "unit": 255},
        {"kind": "percentile", "low": 2, "high": 98},
        {"kind": "own-mean-std"},
    ],
    ids=lambda scaling: scaling["kind"],
)
def test_scaling_is_what_it_says_and_exact_in_tiles(network: UNet, tmp_path: Path, scaling: dict[str, Any]) -> None:
    model = load_model(save_recipe(tmp_path / "mine", network, fields(input={"scaling": scaling})))
    with torch.inference_mode():
        expected = network(scale_expected(scaling["kind"], torch.from_numpy(pixels())[None].float()))[0].numpy()
    assert np.abs(tiled(model, pixels()) - expected).max() < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("size", [0.5, 0.31, 0.2, [0.3, 0.4]], ids=str)
def test_an_image_of_another_resolution_is_resampled_exactly_and_the_result_is_on_its_own_pixels(
    network: UNet, tmp_path: Path, size: float | list[float]
) -> None:
    recipe = fields(resolution={"pixel_size": size, "tolerance": 0.05})
    model = load_model(save_recipe(tmp_path / "mine", network, recipe))
    ratio = [0.25 / s for s in (size if isinstance(size, list) else [size, size])]
    expected = whole(AtResolution(network, ratio, 2), pixels())
    found = tiled(model, pixels(), pixel_size=0.25)
    assert found.shape == (3, 90, 118)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    # another resolution, another result
    assert np.abs(found - whole(network, pixels())).max() > 0.01 * np.abs(expected).max()


def test_resampling_keeps_the_place_of_things() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[..., 24:40, 32:48] = 1
    back = AtResolution(nn.Identity(), (0.5, 0.5))(image)
    y, x = (float((back.sum(d) * torch.arange(64)).sum() / back.sum()) for d in (3, 2))
    assert (y, x) == pytest.approx((31.5, 39.5), abs=1e-3)


def test_class_numbers_are_brought_back_from_the_nearest_pixel() -> None:
    class Numbers(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x[:, 0] > 0.5).to(torch.uint8) * 7

    found = AtResolution(Numbers(), (0.5, 0.5))(torch.rand(1, 1, 33, 40))
    assert (found.shape, found.dtype, set(found.unique().tolist())) == ((1, 33, 40), torch.uint8, {0, 7})


def test_an_image_within_the_tolerance_is_taken_as_it_is(network: UNet, tmp_path: Path) -> None:
    recipe = fields(resolution={"pixel_size": 0.5, "tolerance": 0.1})
    model = load_model(save_recipe(tmp_path / "mine", network, recipe))
    assert np.abs(tiled(model, pixels(), pixel_size=0.46) - whole(network, pixels())).max() < 1e-2


def test_an_unknown_pixel_size_is_asked_for_and_never_guessed(network: UNet, tmp_path: Path) -> None:
    model = load_model(save_recipe(tmp_path / "mine", network, fields(resolution={"pixel_size": 0.5})))
    with pytest.raises(
        PixelSizeUnknown,
        match=r"'mine' works at 0\.5 x 0\.5 um per pixel.*does not say it; say it with pixel_size=0\.25",
    ) as asked:
        ns.prepare(model, ns.open_image(pixels(), axes="cyx"))
    assert (asked.value.model, asked.value.image, asked.value.works_at) == ("mine", "array", (0.5, 0.5))
    assert ns.prepare(model, ns.open_image(pixels(), axes="cyx"), pixel_size=0.5).output_shape == pixels().shape[1:]


@pytest.mark.parametrize("size", [0, -1, float("nan"), [0.5], [0.5, 0.5, 0.5]])
def test_a_pixel_size_that_cannot_be_is_refused(network: UNet, tmp_path: Path, size: object) -> None:
    model = load_model(save_recipe(tmp_path / "mine", network, fields(resolution={"pixel_size": 0.5})))
    with pytest.raises(BadRequest, match=r"a pixel size is micrometres per pixel, one number above zero"):
        ns.prepare(model, ns.open_image(pixels(), axes="cyx"), pixel_size=size)


def test_labels_have_the_values_names_and_colours_of_the_recipe(network: UNet, tmp_path: Path) -> None:
    recipe = fields(output={"kind": "labels", "activation": "softmax", "classes": CLASSES})
    model = load_model(save_recipe(tmp_path / "mine", network, recipe))
    expected = np.array([0, 5, 2], np.uint8)[whole(network, pixels()).argmax(0)]
    assert np.array_equal(tiled(model, pixels()).squeeze(), expected)
    assert model.kind == "labels"
    assert [(c.value, c.name) for c in model.classes] == [(0, "ground"), (5, "cell"), (2, "rim")]
    assert model.classes[1].colour == "#123456"


def test_a_threshold_leaves_unsure_pixels_to_the_first_class(network: UNet, tmp_path: Path) -> None:
    scores = torch.from_numpy(whole(network, pixels())).softmax(0)
    threshold = float(scores.amax(0).median())
    recipe = fields(output={"kind": "labels", "activation": "softmax", "classes": CLASSES, "threshold": threshold})
    model = load_model(save_recipe(tmp_path / "mine", network, recipe))
    expected = np.where(scores.amax(0) >= threshold, np.array([0, 5, 2])[scores.argmax(0)], 0)
    assert (tiled(model, pixels()).squeeze() != expected).mean() < 1e-3


def test_of_two_scores_the_larger_one_counts_though_both_are_negative(tmp_path: Path) -> None:
    network = UNet(1, 2, (4, 4)).eval()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor([-3.0, -2.0]))
    arguments = {**ARGUMENTS, "outputs": 2}
    output = {"kind": "labels", "classes": CLASSES[:2]}
    told = fields(network={"arguments": arguments}, output=output)
    model = load_model(save_recipe(tmp_path / "two", network, told))
    assert model.module(torch.zeros(1, 1, 4, 4)).unique().tolist() == [5]


@pytest.mark.parametrize(("activation", "threshold", "logit"), [("sigmoid", 0.7, 0.8473), ("none", None, 0.0)])
def test_one_channel_of_scores_means_two_classes(
    tmp_path: Path, activation: str, threshold: float | None, logit: float
) -> None:
    torch.manual_seed(0)
    network = UNet(1, 1, (4, 4)).eval()
    output = {"kind": "labels", "activation": activation, "classes": CLASSES[:2]}
    given = {**output, **({} if threshold is None else {"threshold": threshold})}
    recipe = fields(
        network={"arguments": {**ARGUMENTS, "outputs": 1}}, output=given, input={"scaling": {"kind": "own-mean-std"}}
    )
    model = load_model(save_recipe(tmp_path / "mine", network, recipe))
    x = torch.from_numpy(pixels())[None].float()
    with torch.inference_mode():
        scores = network(scale_expected("own-mean-std", x))[0, 0].numpy()
    assert (tiled(model, pixels()).squeeze() != np.where(scores > logit, 5, 0)).mean() < 2e-3


def test_probabilities_and_images_have_the_type_of_the_recipe(network: UNet, tmp_path: Path) -> None:
    soft = load_model(
        save_recipe(tmp_path / "a", network, fields(output={"kind": "probabilities", "activation": "softmax"}))
    )
    assert whole(soft.module, pixels()).sum(0) == pytest.approx(1, abs=1e-5)
    grey = load_model(save_recipe(tmp_path / "b", network, fields(output={"kind": "image", "dtype": "uint8"})))
    expected = whole(network, pixels()).clip(0, 255).round()
    assert np.abs(whole(grey.module, pixels()).astype(float) - expected).max() == 0


def test_an_image_of_another_type_than_the_scaling_is_meant_for_is_refused(network: UNet, tmp_path: Path) -> None:
    model = load_model(save_recipe(tmp_path / "mine", network, fields(input={"dtype": "uint8"})))
    with pytest.raises(InputMismatch, match=r"'mine' was made for pixel values 0 to 255; .* has uint16 from"):
        ns.prepare(model, ns.open_image(pixels().astype(np.uint16) * 3, axes="cyx"))
    model = load_model(save_recipe(tmp_path / "more", network, fields(input={"dtype": "uint16"})))
    with pytest.raises(InputMismatch, match=r"scales pixel values of type uint16; .* has uint8; convert"):
        ns.prepare(model, ns.open_image(pixels().astype(np.uint8), axes="cyx"))


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"output": {"kind": "labels"}}, r"output: .*at least two classes; got 0"),
    ({"output": {"kind": "labels", "classes": [CLASSES[0], CLASSES[0]]}}, r"every class needs a value of its own"),
    ({"output": {"kind": "image", "threshold": 0.5}}, r"classes and a threshold belong to labels"),
    ({"output": {"kind": "probabilities"}}, r"made by sigmoid or softmax"),
    ({"output": {"kind": "picture"}}, r"output\.kind: Input should be 'labels'"),
    ({"input": {"channels": []}}, r"input\.channels"),
    ({"input": {"scale": 3}}, r"input\.scale: Extra inputs"),
    ({"input": {"scaling": {"kind": "range", "low": 2, "high": 1}}}, r"from a smaller to a larger number; got 2 to 1"),
    ({"input": {"scaling": {"kind": "mean-std", "mean": 0, "std": 0}}}, r"a standard deviation is above zero"),
    ({"resolution": {"pixel_size": 0}}, r"resolution\.pixel_size.*greater than 0"),
    ({"resolution": {"pixel_size": [1, 1, 1]}}, r"one for each of 2 axes"),
    ({"network": {"sha256": "xyz"}}, r"network\.sha256"),
]


@pytest.mark.parametrize(("change", "says"), FAULTS, ids=[says[:24] for _, says in FAULTS])
def test_a_faulty_recipe_names_the_place(network: UNet, tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=rf"a recipe must follow its schema; .*{says}"):
        save_recipe(tmp_path / "mine", network, fields(**change))


@pytest.mark.parametrize("name", ["../weights.pt", "/etc/passwd", "a/b.pt", "c:weights", ".hidden"])
def test_weights_outside_of_the_recipes_folder_are_refused(network: UNet, tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"weights must be the name of a file beside the recipe"):
        save_recipe(tmp_path / "mine", network, fields(), weights=name)


def saved(network: UNet, tmp_path: Path) -> Path:
    return save_recipe(tmp_path / "mine", network, fields())


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("schema = 1", "schema = 2", r"'schema = 1', the version known here; .* says 2"),
        ("schema = 1", "", r"says None; add it"),
        ("schema = 1", "schema = ", r"cannot be read as one"),
        ('kind = "image"', 'kind = "image"\ncolour = "red"', r"output\.colour: Extra inputs"),
    ],
)
def test_a_recipe_file_that_was_edited_wrongly_is_explained(
    network: UNet, tmp_path: Path, old: str, new: str, says: str
) -> None:
    file = saved(network, tmp_path) / "recipe.toml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ModelError, match=says):
        load_model(file.parent)


def test_other_weights_under_the_same_name_are_noticed(network: UNet, tmp_path: Path) -> None:
    folder = saved(network, tmp_path)
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelError, match=r"weights\.safetensors has another sha256 than the recipe says"):
        load_model(folder)
    weights.unlink()
    with pytest.raises(InputNotFound, match=r"has no weights\.safetensors; copy it there"):
        load_model(folder)


def test_a_recipe_is_not_written_over_something_else_or_for_another_network(network: UNet, tmp_path: Path) -> None:
    folder = saved(network, tmp_path)
    with pytest.raises(OutputExists, match=r"mine is not empty; name another"):
        save_recipe(folder, network, fields())
    with pytest.raises(WeightsMismatch, match=r"of another shape"):
        save_recipe(tmp_path / "other", network, fields(network={"arguments": {**ARGUMENTS, "outputs": 2}}))


def shown(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(["models", *command]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_a_model_is_added_listed_shown_run_by_name_and_removed(
    network: UNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = fields(card={"licence": "CC0-1.0", "limits": ["blurred images"]}) | {"title": "Rings"}
    folder = save_recipe(tmp_path / "theirs", network, recipe)
    assert shown(capsys, "add", str(folder), "--name", "rings").strip() == "rings"
    assert "rings" in ns.model_names()
    assert re.search(r"^rings +Rings \(added\)$", shown(capsys, "list"), flags=re.MULTILINE)
    card = shown(capsys, "show", "rings")
    assert re.search(r"rings: Rings.*licence: CC0-1\.0.*limits: blurred images", card, flags=re.DOTALL)
    assert np.array_equal(whole(ns.load_model("rings").module, pixels()), whole(network, pixels()))
    assert main(["models", "add", str(folder), "--name", "rings"]) == 7
    shown(capsys, "remove", "rings")
    assert "rings" not in ns.model_names()


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (["add", "nowhere"], 3, "there is none at nowhere"),
        (["remove", "nuclei"], 5, "nuclei comes with the package"),
        (["remove", "nothing"], 5, "got 'nothing'"),
        (["show", "../data"], 5, "got '../data'"),
        (["show", "nuclei", "--arguments", "[1]"], 2, "arguments are a JSON object"),
    ],
)
def test_a_command_about_models_that_cannot_be_is_answered_in_one_sentence(
    command: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", *command]) == code
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../../out", "", "a b", ".hidden", "nuclei"])
def test_a_name_that_leads_elsewhere_or_is_taken_is_refused(network: UNet, tmp_path: Path, name: str) -> None:
    folder = save_recipe(tmp_path / "theirs", network, fields())
    with pytest.raises((ModelError, OutputExists), match=r"a model's name is|is taken"):
        add_model(folder, name)


@pytest.mark.parametrize("name", ns.model_names())
def test_the_card_of_a_bundled_model_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "licence" in shown(capsys, "show", name)


def test_the_command_line_asks_for_a_pixel_size_and_takes_one(
    network: UNet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_recipe(tmp_path / "theirs", network, fields(resolution={"pixel_size": 0.5}))
    tifffile.imwrite(tmp_path / "image.tif", pixels()[0])
    command = ["explain", str(tmp_path / "image.tif"), "--model", str(folder), "--device", "cpu"]
    assert main(command) == 4
    assert "(--pixel-size 0.25)" in capsys.readouterr().err
    assert main([*command, "--pixel-size", "0.25"]) == 0
    assert "upsample" in capsys.readouterr().out
