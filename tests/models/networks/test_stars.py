"""The network for star-convex polygons, and the script that trains it."""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import runpy
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from stardist.matching import matching_dataset

from napari_seamless.models.load import load_model
from napari_seamless.models.networks.stars import StarNetwork
from napari_seamless.postprocess.polygons.step import StarPolygons

EXAMPLES = Path(__file__).parents[3] / "examples"
OWN = ("images", "variation", "scores", "training", "recipes")
"""The modules of the script."""
KINDS = ("histology-purple", "fluorescence")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Gives a module of the script."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "train_stars"))
    yield importlib.import_module
    for name in OWN:
        sys.modules.pop(name, None)


def nuclei(seed: int, side: int = 96) -> np.ndarray:
    """Numbers (y, x) of round nuclei."""
    places = np.random.default_rng(seed).integers(8, side - 8, (14, 2))
    marks = np.zeros((side, side), bool)
    marks[tuple(places.T)] = True
    return ndimage.label(ndimage.distance_transform_edt(~marks) < 7)[0]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Annotated images as train_nuclei.py wants them, 14 of each kind: bright nuclei, and dark ones."""
    table = ["id,kind,height,width,nuclei,saturation,brightness"]
    path = tmp_path / "nuclei.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(28):
            kind, labels = KINDS[number % 2], nuclei(number)
            bright = np.where(labels > 0, 200, 10) if kind == "fluorescence" else np.where(labels > 0, 90, 230)
            pixels = np.repeat(bright.astype(np.uint8)[..., None], 3, axis=2)
            for folder, array in (("images", pixels), ("labels", labels.astype(np.uint16))):
                buffer = io.BytesIO()
                Image.fromarray(array).save(buffer, "PNG")
                file.writestr(f"{folder}/n{number:02}.png", buffer.getvalue())
            table.append(f"n{number:02},{kind},96,{96 + number % 4 // 2},0,0,0")
        file.writestr("index.csv", "\n".join(table))
    return path


# --- the network --------------------------------------------------------------------------


def test_the_network_gives_the_channels_that_polygons_take_for_every_second_pixel() -> None:
    network = StarNetwork(inputs=1).eval()
    with torch.inference_mode():
        output = network(torch.rand(1, 1, 64, 96))
    assert output.shape == (1, StarPolygons().channels, 32, 48)
    assert 0 < float(output[:, 0].min()) <= float(output[:, 0].max()) < 1


def test_the_network_weighs_less_than_4_megabytes() -> None:
    assert sum(value.numel() * value.element_size() for value in StarNetwork().state_dict().values()) < 4e6


# --- what it is trained on ----------------------------------------------------------------


def test_the_images_that_are_held_out_are_those_of_the_other_script(
    archive: Path, script: Callable[[str], ModuleType]
) -> None:
    spec = importlib.util.spec_from_file_location("train_nuclei", EXAMPLES / "train_nuclei.py")
    assert spec is not None
    assert spec.loader is not None
    other = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = other
    spec.loader.exec_module(other)
    _, theirs = other.split(other.read_pictures(archive), seed=0)
    images = script("images")
    held_out = [p for kind in images.INPUTS for p in images.split(images.read_pictures([archive], kind), None)[1]]
    assert sorted(p.name for p in held_out) == sorted(p.name for p in theirs)
    assert len(held_out) == 4


def test_a_source_that_is_left_out_is_not_trained_on(archive: Path, script: Callable[[str], ModuleType]) -> None:
    images = script("images")
    pictures = images.read_pictures([archive], "fluorescence")
    narrow, wide = "DSB2018 fluorescence 96 x 96", "DSB2018 fluorescence 96 x 97"
    assert images.sources(pictures) == [narrow, wide]
    training, held_out = images.split(pictures, wide)
    assert {p.source for p in training} == {narrow}
    assert {p.source for p in held_out} == {wide}
    with pytest.raises(SystemExit, match="no source is called 'PUMA'; there are: DSB2018"):
        images.split(pictures, "PUMA")


@pytest.mark.parametrize("kind", ["stained", "fluorescence"])
def test_targets_lie_where_the_nuclei_of_a_crop_are(
    kind: str, archive: Path, script: Callable[[str], ModuleType]
) -> None:
    picture, crop = script("images").read_pictures([archive], kind)[0], script("variation").crop
    agreements = []
    for seed in range(12):
        pixels, target = crop(picture, kind, np.random.default_rng(seed))
        assert pixels.shape == (3 if kind == "stained" else 1, 192, 192)
        middle = pixels.mean(dim=0)[::2, ::2]
        inside = target[0] > 0.5
        agreements.append(bool(middle[inside].mean() > middle[target[0] == 0].mean()))
    assert sum(agreements) >= 11


def test_a_batch_depends_on_the_number_of_the_step_alone(archive: Path, script: Callable[[str], ModuleType]) -> None:
    pictures = script("images").read_pictures([archive], "fluorescence")
    crops = script("variation").Crops(pictures, "fluorescence", count=2, seed=3)
    first = crops.batch(7)
    assert not torch.equal(crops.batch(8)[0], first[0])
    for part, again in zip(first, script("variation").Crops(pictures, "fluorescence", 2, 3).batch(7), strict=True):
        assert torch.equal(part, again)


# --- the loop -----------------------------------------------------------------------------


def test_training_that_goes_on_from_its_checkpoint_ends_where_one_run_does(
    archive: Path, tmp_path: Path, script: Callable[[str], ModuleType]
) -> None:
    training = script("training")
    pictures = script("images").read_pictures([archive], "fluorescence")
    crops = script("variation").Crops(pictures, "fluorescence", count=1, seed=0)

    at_once = training.Training.begin(1, 1e-3, seed=0)
    lost = list(training.train(at_once, crops, steps=4, rate=1e-3))
    first = training.Training.begin(1, 1e-3, seed=0)
    steps = training.train(first, crops, steps=4, rate=1e-3)
    assert [next(steps), next(steps)] == lost[:2]
    first.save(tmp_path / "checkpoint.pt")
    second = training.Training.begin(1, 1e-3, seed=1)
    second.load(tmp_path / "checkpoint.pt")
    assert list(training.train(second, crops, steps=4, rate=1e-3)) == lost[2:]
    for name, value in at_once.averaged.state_dict().items():
        assert torch.equal(value, second.averaged.state_dict()[name]), name


def test_a_network_learns_a_crop_by_heart(archive: Path, script: Callable[[str], ModuleType]) -> None:
    training = script("training")
    picture = script("images").read_pictures([archive], "fluorescence")[0]
    x, target = (part[None] for part in script("variation").crop(picture, "fluorescence", np.random.default_rng(1)))
    started = training.Training.begin(1, 1e-3, seed=0)
    lost = [training._update(started, (x, target)) for _ in range(15)]
    assert lost[-1][0] < 0.6 * lost[0][0]
    assert lost[-1][1] < 0.6 * lost[0][1]


def test_the_script_writes_a_recipe_with_figures_and_goes_on_when_called_again(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights"
    for steps in ("1", "2"):
        arguments = [str(archive), "--kind", "fluorescence", "--output", str(weights), "--steps", steps]
        monkeypatch.setattr(sys, "argv", ["train_stars", *arguments, "--batch", "1", "--threads", "1"])
        runpy.run_path(str(EXAMPLES / "train_stars"), run_name="__main__")
    assert "12 images to train on, 2 held out" in (said := capsys.readouterr().out)
    assert "goes on from step 1" in said
    model = load_model(weights / "nuclei-fluorescence")
    scores = model.card["held_out"]
    assert model.card["training"]["steps"] == 2
    assert {"all", "DSB2018 fluorescence 96 x 97"} <= scores.keys()
    assert 0 <= scores["all"]["ap_0.5_to_0.9"][0] <= scores["all"]["f1_at_0.5_iou"] <= 1
    assert model.postprocess.rays == 32


# --- scores -------------------------------------------------------------------------------


def test_scores_are_those_of_stardist(script: Callable[[str], ModuleType]) -> None:
    scores = script("scores")
    real = [nuclei(seed) for seed in range(4)]
    found = [np.roll(nuclei(seed), seed, axis=0) * (nuclei(seed + 50) == 0) for seed in range(4)]
    figures = scores.summary([scores.agreement(a, b) for a, b in zip(real, found, strict=True)])
    more_than_half = np.nextafter(0.5, 1)
    for threshold in scores.THRESHOLDS:
        theirs = matching_dataset(real, found, thresh=max(threshold, more_than_half), show_progress=False)
        assert figures[f"ap_{threshold:g}"] == pytest.approx(theirs.accuracy, abs=1e-4)
    at_half = matching_dataset(real, found, thresh=more_than_half, show_progress=False)
    assert figures["f1"] == pytest.approx(at_half.f1, abs=1e-4)
    assert figures["pq"] == pytest.approx(at_half.panoptic_quality, abs=1e-4)


def test_the_aggregated_jaccard_index_counts_the_best_match_of_each_nucleus_and_all_that_none_has(
    script: Callable[[str], ModuleType],
) -> None:
    scores = script("scores")
    real = np.array([[1, 1, 1, 1, 0, 2, 2, 0, 0, 0, 3]])
    found = np.array([[0, 1, 1, 1, 1, 2, 0, 0, 4, 4, 0]])
    # 1 and 1 share 3 of 5, 2 and 2 share 1 of 2; 3 has none (1 pixel), and 4 (2 pixels) is nobody's
    assert scores.summary([scores.agreement(real, found)])["aji"] == pytest.approx((3 + 1) / (5 + 2 + 1 + 2), abs=1e-4)


def test_scores_of_images_without_nuclei_are_zero(script: Callable[[str], ModuleType]) -> None:
    scores, nothing = script("scores"), np.zeros((4, 4), int)
    assert scores.summary([scores.agreement(nothing, nothing)])["f1"] == 0
    assert scores.summary([scores.agreement(nothing, nothing)])["objects"] == 0
    assert json.dumps(scores.summary([]))
