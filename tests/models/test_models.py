"""The models that ship: what they find, what their cards say, and how wrong input is refused."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from napari_seamless.errors import InputNotFound, ModelError, NotTrusted, UnknownModel, WeightsMismatch
from napari_seamless.models import ClassInfo, Model, describe, load_model, names
from napari_seamless.models.bundled import TITLES
from napari_seamless.models.card import card_of

TRAINING_SCRIPT = Path(__file__).parents[2] / "examples" / "train_nuclei.py"

HISTOLOGY = ((225, 165, 200), (85, 50, 125))
FLUORESCENCE = ((8, 8, 8), (95, 95, 95))
"""Colours of background and nuclei."""


@pytest.fixture(scope="module")
def nuclei() -> Model:
    return load_model("nuclei")


def blobs(side: int, every: int, colours: tuple[tuple[int, ...], ...]) -> tuple[np.ndarray, np.ndarray]:
    """A grid of round nuclei, softened, with noise: uint8 (y, x, 3) and their numbers (y, x)."""
    y, x = np.mgrid[:side, :side]
    offset = np.hypot(y % every - every // 2, x % every - every // 2)
    numbers = np.where(offset < every / 4, 1 + y // every * (side // every) + x // every, 0)
    share = ndimage.gaussian_filter((numbers > 0).astype(float), 1.0)[..., None]
    ground, nucleus = (np.array(colour, float) for colour in colours)
    noise = np.random.default_rng(0).normal(0, 2, (side, side, 3))
    return (ground + share * (nucleus - ground) + noise).clip(0, 255).astype(np.uint8), numbers


def as_input(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (y, x, c) -> float32 (1, c, y, x), values as they are."""
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


@pytest.mark.parametrize("colours", [HISTOLOGY, FLUORESCENCE], ids=["histology", "fluorescence"])
def test_shipped_weights_find_dark_nuclei_on_tissue_and_bright_ones_on_black(
    nuclei: Model, colours: tuple[tuple[int, ...], ...]
) -> None:
    pixels, numbers = blobs(side=256, every=32, colours=colours)
    with torch.inference_mode():
        classes = nuclei.module(as_input(pixels))[0].numpy()
    found = np.unique(numbers[(classes == 1) & (numbers > 0)]).size
    assert found >= 0.9 * numbers.max()
    assert (classes[numbers == 0] > 0).mean() < 0.1


def test_nuclei_gives_one_class_number_per_pixel(nuclei: Model) -> None:
    classes = nuclei.module(torch.zeros(1, 3, 48, 80))
    assert (classes.shape, classes.dtype) == ((1, 48, 80), torch.uint8)
    assert nuclei.kind == "labels"
    assert nuclei.channels == 3
    assert [one.value for one in nuclei.classes] == [0, 1, 2]


def test_a_pixel_far_away_has_no_influence(nuclei: Model) -> None:
    logits = nuclei.module.logits
    image = torch.rand(1, 3, 32, 384) * 255
    changed = image.clone()
    changed[..., :16] = 255 - changed[..., :16]
    with torch.inference_mode():
        difference = (logits(image) - logits(changed)).abs()[0].amax(dim=(0, 1))
    assert difference[:16].max() > 0
    assert difference[192:].max() == 0


def test_the_shipped_network_is_small(nuclei: Model) -> None:
    assert sum(p.numel() for p in nuclei.module.parameters()) <= 1_250_000
    assert not nuclei.module.training


def test_the_card_states_licences_limits_and_held_out_figures(nuclei: Model) -> None:
    card = nuclei.card
    assert card["data_licence"] == "CC0-1.0"
    assert card["limits"]
    assert card["classes"] == [vars(one) for one in nuclei.classes]
    for group in ("all", "histology", "fluorescence"):
        figures = card["held_out"][group]
        assert 0.8 < figures["dice"] <= 1
        assert 0.0 < figures["f1_at_0.5_iou"] <= 1


def test_stain_separation_agrees_with_scikit_image() -> None:
    from skimage.color import rgb2hed

    colour = np.array([150, 90, 160], np.uint8)
    with torch.inference_mode():
        ours = load_model("stain").module(as_input(np.full((16, 16, 3), colour)))[0]
    # scikit-image divides the natural logarithm by ln(1e-6), that is the decimal one by 6
    expected = rgb2hed(colour[None, None] / 255)[0, 0, :2] * 6 * np.array([170, 340])
    assert ours.dtype == torch.uint8
    assert ours[:, 8, 8].numpy() == pytest.approx(expected, abs=1.5)
    assert (ours == ours[:, :1, :1]).all(), "a plain image stays plain up to its edges"


def test_stain_separation_puts_each_stain_in_its_own_channel() -> None:
    haematoxylin, eosin = 256 * 10 ** -np.array([[0.65, 0.70, 0.29], [0.07 / 2, 0.99 / 2, 0.11 / 2]]) - 1
    image = np.concatenate([np.full((16, 16, 3), haematoxylin), np.full((16, 16, 3), eosin)], axis=1)
    left, right = load_model("stain").module(as_input(image))[0, :, 8, [4, 28]].T.tolist()
    assert left == [170, 0]
    assert right == [0, 170]


def test_every_bundled_model_is_listed_described_and_loads() -> None:
    assert names()[:4] == ("nuclei-he", "nuclei-fluorescence", "nuclei", "stain")
    for name in names():
        model = load_model(name)
        assert (model.name, model.title) == (name, describe(name))


def test_listing_models_does_not_load_torch() -> None:
    code = "import sys, napari_seamless.models as m; m.describe(m.names()[0]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_check_for_torch_can_fail() -> None:
    code = "import sys, napari_seamless.models as m; m.load_model; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 1


def test_a_model_passes_through(nuclei: Model) -> None:
    assert load_model(nuclei) is nuclei


def test_a_module_is_wrapped_and_one_in_training_mode_is_copied_but_for_its_weights() -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3), torch.nn.Dropout()).train()
    model = load_model(module)
    assert not model.module.training
    assert module.training
    assert model.module[0].weight is module[0].weight  # type: ignore[index]
    assert load_model(module.eval()).module is module
    assert (model.name, model.kind, model.channels) == ("Sequential", "image", None)


@pytest.mark.parametrize("ask", [load_model, describe])
def test_an_unknown_name_is_answered_with_the_list_and_the_nearest(ask: object) -> None:
    with pytest.raises(UnknownModel, match=r"one of nuclei-he, .*, stain, .*got 'nuclie': did you mean 'nuclei'\?"):
        ask("nuclie")


def test_a_name_like_no_other_gets_the_list_alone() -> None:
    with pytest.raises(UnknownModel, match=r"nuclei-he, .*, stain, .*got 'xyz': choose one of these"):
        load_model("xyz")


def test_a_missing_file_of_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"none at .*mine.pth"):
        load_model(tmp_path / "mine.pth")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(b"not weights at all")
    with pytest.raises(ModelError, match=r"holds a state dict.*mine\.\w+ holds something damaged"):
        load_model(path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Conv2d(1, 1, 1), tmp_path / "mine.pt")
    with pytest.raises(NotTrusted, match=r"only if you say so; mine\.pt would run the Python objects in it"):
        load_model(tmp_path / "mine.pt")


def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "mine.pt")
    with pytest.raises(ModelError, match=r"holds a state dict.*mine\.pt holds a list of something else"):
        load_model(tmp_path / "mine.pt")


def test_weights_of_another_network_hear_of_the_architecture(tmp_path: Path) -> None:
    torch.save(torch.nn.Conv2d(1, 1, 1).state_dict(), tmp_path / "mine.pt")
    with pytest.raises(
        WeightsMismatch,
        match=r"mine.pt has 2 tensors \(weight, bias\) of none that comes with this package; name its architecture",
    ):
        load_model(str(tmp_path / "mine.pt"))


def test_weights_of_another_shape_are_named(nuclei: Model, tmp_path: Path) -> None:
    state = nuclei.module.state_dict() | {"unet.head.bias": torch.zeros(5)}
    torch.save(state, tmp_path / "mine.pt")
    with pytest.raises(WeightsMismatch, match=r"1 of another shape \(unet.head.bias\)"):
        load_model(tmp_path / "mine.pt")


def test_weights_saved_by_torch_give_the_same_network(nuclei: Model, tmp_path: Path) -> None:
    torch.save(nuclei.module.state_dict(), tmp_path / "copy.pt")
    copy = load_model(tmp_path / "copy.pt")
    image = torch.rand(1, 3, 32, 32) * 255
    assert copy.name == "copy"
    assert torch.equal(copy.module.logits(image), nuclei.module.logits(image))


def test_class_colours_are_written_as_hex(nuclei: Model) -> None:
    assert ClassInfo(0, "background", "#000000") in nuclei.classes
    assert all(len(one.colour) == 7 and int(one.colour[1:], 16) >= 0 for one in nuclei.classes)


def test_the_training_script_trains_scores_and_writes_weights_that_load(tmp_path: Path) -> None:
    archive = tiny_archive(tmp_path / "tiny.zip")
    command = [sys.executable, str(TRAINING_SCRIPT), str(archive), "--steps", "2", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert load_model(tmp_path / "nuclei.safetensors").module(torch.zeros(1, 3, 32, 32)).shape == (1, 32, 32)
    card = json.loads((tmp_path / "nuclei.json").read_text())
    assert card["training"]["steps"] == 2
    assert card["held_out"]["all"]["nuclei"] == card["held_out"]["histology"]["nuclei"] * 2


def tiny_archive(path: Path) -> Path:
    """An archive as the training script wants it: two images of each of two kinds."""
    index = io.StringIO()
    rows = csv.writer(index)
    rows.writerow(["id", "kind"])
    with zipfile.ZipFile(path, "w") as archive:
        for kind, colours in (("histology-purple", HISTOLOGY), ("fluorescence", FLUORESCENCE)):
            pixels, numbers = blobs(side=96, every=24, colours=colours)
            for copy in range(2):
                rows.writerow([f"{kind}{copy}", kind])
                archive.writestr(f"images/{kind}{copy}.png", as_png(pixels))
                archive.writestr(f"labels/{kind}{copy}.png", as_png(numbers.astype(np.uint16)))
        archive.writestr("index.csv", index.getvalue())
    return path


def as_png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, format="png")
    return file.getvalue()


@pytest.mark.parametrize("name", TITLES)
def test_every_bundled_model_says_what_of_how_good_and_what_it_is_bad_at(name: str) -> None:
    model = load_model(name)
    card = card_of(model)
    headings = {section.heading: section.lines for section in card.sections}
    assert {"What it does", "Input and output", "Data", "Licence", "On held-out images", "Bad at"} <= set(headings)
    assert {"data", "data_licence", "weights_licence", "held_out", "limits"} <= set(model.card)
    assert str(card).startswith(f"{name}: {describe(name)}")
    shown = {line.partition(":")[0].strip() for section in card.sections for line in section.lines}
    assert {key.replace("_", " ") for key in model.card} - {"name", "classes", "ndim"} <= shown, "nothing is left out"
