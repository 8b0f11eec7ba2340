"""Training as somebody with folders of images meets it: a file in, a model out, and nothing lost on the way."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import imageio.v3
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from safetensors.torch import load_file

import napari_seamless as ns
from napari_seamless.cli import main
from napari_seamless.errors import (
    BadRequest,
    InputMismatch,
    LossNotFinite,
    NotTrusted,
    OutputExists,
    RunCancelled,
    SeamlessError,
)
from napari_seamless.file_lock import locked
from napari_seamless.training.from_files.data import CheckedPair, split
from napari_seamless.training.from_files.events import StepDone, TrainingStarted
from napari_seamless.training.from_files.files import Pair, pairs_in
from napari_seamless.training.from_files.masks import MaskValues
from napari_seamless.training.from_files.training_file import ClassEntry, checked_training, example_training
from training_images import fields, spots, write_folders, write_training, write_zarr


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_SEAMLESS_DATA", str(tmp_path / "data"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def assert_same(first: Path, second: Path) -> None:
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def log_of(folder: Path) -> list[dict[str, str]]:
    """The table of a training, without the time."""
    with (folder / "training" / "log.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


# --- from folders to a model ----------------------------------------------------------------


def test_a_model_is_learned_that_finds_what_the_masks_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_training(write_folders(tmp_path), training={"steps": 60, "validate_every": 30})
    assert main(["train", str(config)]) == 0
    said = capsys.readouterr()
    folder = Path(said.out.strip())
    assert folder == tmp_path / "spots-model"
    assert "4 images to learn from, 2 held out, 60 steps" in said.err
    pixels, labels = spots(77)
    found = np.asarray(ns.run(folder, pixels, axes="yxc", scheduler="serial", device="cpu"))
    both = 2 * ((found == 1) & (labels > 0)).sum() / ((found == 1).sum() + (labels > 0).sum())
    assert both > 0.8
    assert main(["models", "show", str(folder)]) == 0
    card = capsys.readouterr().out
    assert float(re.search(r"Dice ground [\d.]+, spot ([\d.]+)", card)[1]) > 0.8  # type: ignore[index]
    for part in (
        "4 images learned from, 2 held out",
        "3 channel(s) of uint8",
        "0 ground, 1 spot",
        "rate: 0.01",
    ):
        assert part in card
    assert main(["train", str(config)]) == 0
    assert "nothing was left to do: 60 steps" in capsys.readouterr().err


def test_it_does_not_matter_in_which_format_the_masks_are(tmp_path: Path) -> None:
    write_folders(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    for k in range(6):
        _, labels = spots(k)
        if k % 3 == 0:
            write_zarr(other / f"{k}_mask.ome.zarr", labels)
        elif k % 3 == 1:
            imageio.v3.imwrite(other / f"{k}_mask.png", labels.astype(np.uint8))
        else:
            tifffile.imwrite(other / f"{k}_mask.ome.tif", labels, tile=(16, 16), metadata={"axes": "YX"}, ome=True)
    (other / "notes.txt").write_text("no mask")
    usual = ns.train(write_training(tmp_path), steps=2)
    data = {"masks": "other", "ending": "_mask"}
    assert_same(usual, ns.train(write_training(tmp_path, data=data), steps=2, output=tmp_path / "second"))


def test_labels_of_whole_images_are_learned_from_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["image,label"]
    for k in range(8):
        pixels, _ = spots(k)
        imageio.v3.imwrite(tmp_path / f"{k}.png", pixels if k % 2 else 255 - pixels)
        rows.append(f"{k}.png,{'dark' if k % 2 else 'light'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    config = {
        "data": {"table": str(tmp_path / "labels.csv")},
        "classes": [],
        "network": {"arguments": {"widths": [8, 8]}},
        "training": {"crop": "whole", "steps": 60, "validate_every": 60, "schedule": "constant"},
    }
    told = fields(**config)
    told["data"] = config["data"]
    told["network"] = config["network"]
    folder = ns.train(told, output=tmp_path / "out")
    assert "Dice dark 1.000, light 1.000; 100.0% of all right" in str(ns.load_model(folder).card["held_out"])
    assert main(["classify", str(tmp_path / "4.png"), "--model", str(folder), "--budget", "20MB"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (first.split()[1], second.split()[1]) == ("light", "dark")
    assert float(first.split()[0]) + float(second.split()[0]) == pytest.approx(1, abs=1e-3)


def test_a_model_of_labels_is_no_classifier(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "no image is looked at", "--model", "nuclei"]) == 5
    assert "a classifier gives one number for each class; 'nuclei' gives an image; run it" in capsys.readouterr().err


def test_volumes_are_learned_from_as_images_are(tmp_path: Path) -> None:
    for k in range(3):
        ball = np.indices((12, 24, 24)).astype(float) - np.array([6, 9 + k, 12]).reshape(3, 1, 1, 1)
        mask = ((ball**2).sum(0) < 20).astype(np.uint8)
        for name, values in (("images", 50 + 150 * mask), ("masks", mask)):
            (tmp_path / name).mkdir(exist_ok=True)
            tifffile.imwrite(
                tmp_path / name / f"{k}.tif", values.astype(np.uint8), imagej=True, metadata={"axes": "ZYX"}
            )
    network = {"arguments": {"widths": [8]}}
    training = {"steps": 30, "crop": 12, "validate_every": 30}
    folder = ns.train(write_training(tmp_path, training=training, network=network))
    found = np.asarray(ns.run(folder, tmp_path / "images" / "2.tif", scheduler="serial", device="cpu"))
    truth = tifffile.imread(tmp_path / "masks" / "2.tif")
    assert 2 * ((found == 1) & (truth == 1)).sum() / ((found == 1).sum() + truth.sum()) > 0.5
    streamed = {"steps": 1, "batch": 1, "crop": "whole"}
    ns.train(write_training(tmp_path, training=streamed, network=network, validation={"share": 0}), restart=True)


def test_values_are_learned_from_images_of_values(tmp_path: Path) -> None:
    for path in sorted((write_folders(tmp_path) / "images").iterdir()):
        pixels = imageio.v3.imread(path).astype(np.float32) / 255
        tifffile.imwrite(tmp_path / "masks" / f"{path.stem}.tif", 1 - pixels.mean(-1))
    training = {"loss": "mse", "steps": 60, "augmentation": {"light": 0.0}}
    told = fields(training=training, classes=[], network={"arguments": {"widths": [8]}})
    told["data"] = {name: str(tmp_path / name) for name in ("images", "masks")}
    folder = ns.train(told, output=tmp_path / "out")
    found = np.asarray(ns.run(folder, imageio.v3.imread(tmp_path / "images" / "0.png"), axes="yxc", device="cpu"))
    truth = tifffile.imread(tmp_path / "masks" / "0.tif")
    assert found.dtype == np.float32
    assert float(np.sqrt(((found.squeeze() - truth) ** 2).mean())) < truth.std()  # of the best constant
    assert "root mean squared error" in str(ns.load_model(folder).card["held_out"])


@pytest.mark.parametrize("crop", ["whole", 32])
def test_layers_in_bfloat16_learn_about_the_same_with_weights_in_float32(tmp_path: Path, crop: Any) -> None:
    write_folders(tmp_path)
    losses = {}
    for precision in ("float32", "bfloat16"):
        training = {"crop": crop, "steps": 2, "precision": precision}
        config = write_training(tmp_path, training=training, network={"arguments": {"widths": [4]}})
        folder = ns.train(config, output=tmp_path / precision)
        losses[precision] = [float(row["loss"]) for row in log_of(folder) if row["loss"]]
        assert {t.dtype for name, t in weights(folder).items() if "batches" not in name} == {torch.float32}
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)


def test_the_code_of_a_network_runs_only_after_a_yes(tmp_path: Path) -> None:
    network = {"architecture": "training_images:pooled", "arguments": {}}
    told = {**fields(), "data": {k: str(tmp_path / k) for k in ("images", "masks")}, "network": network}
    write_folders(tmp_path)
    with pytest.raises(NotTrusted, match="the code of training_images:pooled"):
        ns.train(told, output=tmp_path / "out")
    with pytest.raises(InputMismatch, match="masks by one that does not"):
        ns.train(told, output=tmp_path / "out", trust=True)


# --- stopped, killed, and going on ------------------------------------------------------------


def waited_for(path: Path, patience: float = 280.0) -> None:
    began = monotonic()
    while not path.exists() and monotonic() - began < patience:
        sleep(0.01)


def test_a_killed_training_goes_on_to_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    long = {"steps": 60, "validate_every": 20, "checkpoint_every": 3}
    config = write_training(write_folders(tmp_path), training=long, network={"arguments": {"widths": [4, 4, 8, 8]}})
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "napari_seamless", "train", str(config), "--output", str(killed)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    waited_for(killed / "training" / "checkpoint.pt")
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (killed / "recipe.toml").exists()
    began: list[int] = []

    def watch(event: object) -> None:
        if isinstance(event, TrainingStarted):
            began.append(event.step)

    ns.train(config, output=killed, on_event=watch)
    assert 0 < began[0] < 60
    undisturbed = ns.train(config, output=tmp_path / "undisturbed")
    assert_same(undisturbed, killed)
    assert log_of(undisturbed) == log_of(killed)


def test_control_c_keeps_what_was_learned_and_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_training(write_folders(tmp_path), training={"steps": 400, "checkpoint_every": 2})
    saved = tmp_path / "spots-model" / "training" / "checkpoint.pt"

    def interrupt() -> None:
        waited_for(saved)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code = main(["train", str(config)])
    thread.join()
    said = capsys.readouterr().err
    assert code == 130
    assert re.search(r"stopped after step \d+ of 400; what it learned is kept", said)
    assert main(["train", str(config), "--steps", "2"]) == 0


def test_another_training_or_a_folder_of_something_else_is_not_written_over(tmp_path: Path) -> None:
    config = write_training(write_folders(tmp_path))
    (tmp_path / "spots-model").mkdir()
    (tmp_path / "spots-model" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputExists, match="holds something else"):
        ns.train(config, restart=True)
    assert (tmp_path / "spots-model" / "thesis.txt").read_text() == "mine"


def test_a_restart_that_is_refused_loses_nothing(tmp_path: Path) -> None:
    config = write_training(write_folders(tmp_path), training={"steps": 1})
    folder = ns.train(config)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for wrong in ({"data": {"images": "imagse"}}, {"network": {"arguments": {"wdths": [4]}}}):
        with pytest.raises(SeamlessError):
            ns.train(write_training(tmp_path, **wrong), restart=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    ns.train(write_training(tmp_path, training={"steps": 2}), restart=True)
    assert [row["step"] for row in log_of(folder)][-1] == "2"


def test_a_folder_in_which_a_training_goes_on_is_left_to_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_training(write_folders(tmp_path), training={"steps": 4})
    said: list[str] = []

    def second(event: object) -> None:
        if isinstance(event, StepDone) and event.step == 3:
            for more in ([], ["--restart"]):
                assert main(["train", str(config), *more]) == 7
                said.append(capsys.readouterr().err)

    ns.train(config, on_event=second)
    assert len(said) == 2
    assert all("one training at a time; another one is writing to" in text for text in said)
    assert [row["step"] for row in log_of(tmp_path / "spots-model")] == ["1", "2", "3", "4", "4"]  # and held-out images


def nan_in(folder: Path, name: str) -> None:
    """Images of floats, one of which has a pixel that is no number."""
    for path in (folder / "images").iterdir():
        values = imageio.v3.imread(path).astype(np.float32)
        if path.stem == name:
            values[20:30, 20:30] = np.nan
        tifffile.imwrite(path.with_suffix(".tif"), values, photometric="rgb")
        path.unlink()


@pytest.mark.parametrize("crop", ["whole", 40])
def test_a_loss_that_is_no_number_stops_keeps_the_last_good_weights_and_names_the_image(
    tmp_path: Path, crop: Any
) -> None:
    nan_in(write_folders(tmp_path), "2")
    config = write_training(
        tmp_path,
        input={"scaling": {"kind": "range", "low": 0, "high": 255}},
        validation={"share": 0},
        training={"crop": crop, "steps": 40},
    )
    steps: list[StepDone] = []
    with pytest.raises(LossNotFinite, match=r"step \d+ it was nan with the image 2\.tif.*weights from before"):
        ns.train(config, on_event=lambda e: steps.append(e) if isinstance(e, StepDone) else None)
    kept = weights(tmp_path / "spots-model")
    assert all(bool(tensor.isfinite().all()) for tensor in kept.values())
    assert kept["down.0.0.1.num_batches_tracked"] == len(steps) * (2 if crop == "whole" else 1)
    card = ns.load_model(tmp_path / "spots-model").card
    assert "training stopped before its end" in str(card["limits"])


# --- what cannot be ---------------------------------------------------------------------------


def sizes_differ(folder: Path) -> dict[str, Any]:
    tifffile.imwrite(folder / "masks" / "3.tif", np.zeros((48, 40), np.uint8))
    return {}


def unknown_value(folder: Path) -> dict[str, Any]:
    mask = np.zeros((48, 48), np.uint8)
    mask[7, 9] = 5
    tifffile.imwrite(folder / "masks" / "3.tif", mask)
    classes = [{"value": 0, "name": "ground"}, {"value": 1, "name": "spot", "mask": [1, 2, 3, 4]}]
    for k in (0, 1, 2, 4, 5):
        tifffile.imwrite(folder / "masks" / f"{k}.tif", (spots(k)[1] > 0).astype(np.uint8))
    return {"classes": classes}


def one_class(folder: Path) -> dict[str, Any]:
    for k in range(6):
        tifffile.imwrite(folder / "masks" / f"{k}.tif", np.zeros((48, 48), np.uint8))
    return {}


def no_mask(folder: Path) -> dict[str, Any]:
    (folder / "masks" / "3.tif").unlink()
    return {}


def capitals(folder: Path) -> dict[str, Any]:
    (folder / "masks" / "3.tif").unlink()
    (folder / "images" / "3.png").rename(folder / "images" / "cell.png")
    tifffile.imwrite(folder / "masks" / "Cell.tif", np.zeros((48, 48), np.uint8))
    return {}


def lossy_mask(folder: Path) -> dict[str, Any]:
    fields = unknown_value(folder)
    (folder / "masks" / "3.tif").unlink()
    imageio.v3.imwrite(folder / "masks" / "3.jpg", np.full((48, 48), 7, np.uint8))
    return fields


def palette(folder: Path) -> dict[str, Any]:
    (folder / "masks" / "3.tif").unlink()
    mask = Image.fromarray(np.eye(48, dtype=np.uint8), "P")
    mask.putpalette([0, 0, 0, 255, 0, 0])
    mask.save(folder / "masks" / "3.png")
    return {}


def another_type(folder: Path) -> dict[str, Any]:
    tifffile.imwrite(folder / "images" / "9.tif", np.zeros((48, 48, 3), np.uint16), photometric="rgb")
    tifffile.imwrite(folder / "masks" / "9.tif", np.zeros((48, 48), np.uint8))
    return {}


def damaged_image(folder: Path) -> dict[str, Any]:
    path = folder / "images" / "3.png"
    path.write_bytes(path.read_bytes()[:500])
    return {}


def no_folder(folder: Path) -> dict[str, Any]:
    return {"data": {"masks": "maks"}}


def cannot_be_streamed(folder: Path) -> dict[str, Any]:
    network = {"architecture": "training_images:Attending", "arguments": {}}
    return {"network": network, "training": {"crop": "whole"}}


def crop_too_large(folder: Path) -> dict[str, Any]:
    return {"training": {"crop": 97}, "validation": {"share": 0}}


def budget_too_small(folder: Path) -> dict[str, Any]:
    return {"training": {"crop": "whole", "budget": "1kB"}}


def unknown_field(folder: Path) -> dict[str, Any]:
    return {"training": {"learning_rate": 0.1}}


def channels_that_differ(folder: Path) -> dict[str, Any]:
    return {"network": {"arguments": {"outputs": 3}}}


@dataclass(frozen=True)
class Case:
    """What is wrong, the exit code, and words of the sentence."""

    change: Callable[[Path], dict[str, Any]]
    code: int
    match: str


CASES = [
    Case(sizes_differ, 4, r"same size; 3\.png has 48 x 48, and its mask 3\.tif 48 x 40"),
    Case(unknown_value, 4, r"3\.tif holds 5 \(at y 7, x 9\)"),
    Case(one_class, 4, r"two at least; in the 4 images that are learned from all are ground"),
    Case(no_mask, 4, r"every image needs a mask of its name; 3\.png"),
    Case(capitals, 4, r"cell\.png of \S* has none in \S* \(Cell\.tif differs in capitals\); add it"),
    Case(lossy_mask, 4, r"3\.jpg holds 7 .* \(JPEG changes values: use PNG or TIFF\)"),
    Case(palette, 4, r"3\.png has 3 that differ; name colours .* \(as which a palette is read, too\)"),
    Case(another_type, 4, r"same type of pixel values; 9\.tif has uint16, 0\.png has uint8"),
    Case(damaged_image, 3, r"3\.png"),
    Case(no_folder, 3, r"there is none at .*maks"),
    Case(cannot_be_streamed, 5, r"got aten\.matmul\.default.*\(attention[^)]*\).*; use a network without it"),
    Case(
        crop_too_large,
        2,
        r"the largest of the 6 .*, \d\.png, has 48 x 48, and the crop is 97 a side; set training.crop to 48 or",
    ),
    Case(budget_too_small, 2, r"budget"),
    Case(unknown_field, 2, r"training\.learning_rate: Extra inputs are not permitted"),
    Case(channels_that_differ, 4, r"2 here; this one gives 3"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.change.__name__)
def test_bad_input_is_one_clear_sentence(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = case.change(write_folders(tmp_path))
    assert main(["train", str(write_training(tmp_path, **changes)), "--trust"]) == case.code
    assert not (tmp_path / "spots-model").exists()
    said = capsys.readouterr().err.splitlines()
    sentence = next(line for line in said if line.startswith("napari-seamless: "))
    assert said[-1] == sentence
    assert re.search(case.match, sentence)


def test_a_refused_training_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    refused = write_training(write_folders(tmp_path), training={"crop": 97})
    (tmp_path / "models").mkdir()
    with pytest.raises(BadRequest, match="a crop must not be more than twice as large"):
        ns.train(refused, output=tmp_path / "models" / "new" / "spots")
    assert list((tmp_path / "models").iterdir()) == []
    ns.train(write_training(tmp_path), steps=2)
    before = sorted((tmp_path / "spots-model").rglob("*"))
    with pytest.raises(BadRequest, match="a crop must not be more than twice as large"):
        ns.train(write_training(tmp_path, training={"crop": 97}))
    assert sorted((tmp_path / "spots-model").rglob("*")) == before


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_on_the_file_that_took_its_place(tmp_path: Path) -> None:
    opened, path = os.open, tmp_path / "lock"

    def opened_late(path: Path, *how: int) -> int:
        patched.undo()
        file = opened(path, *how)
        path.unlink()  # as whoever had it locked may do, between our opening and locking it
        return file

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "open", opened_late)
        with locked(path) as is_alone, locked(path) as is_alone_too:
            assert is_alone
            assert not is_alone_too


def test_the_example_is_a_training_and_shows_every_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--example", str(tmp_path)]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert main(["train", "--example", str(tmp_path)]) == 7
    assert main(["train", str(path)]) == 3  # there are no images yet
    told = checked_training(fields(), "here")
    for part in (told.data, told.validation, told.network, told.input, told.training, told.training.augmentation):
        for name in type(part).model_fields:
            shown = rf"^(# )?{name} = |\(with {name} = |or {name} = |^\[training\.{name}\]"
            assert re.search(shown, example_training(), re.MULTILINE), name


# --- parts of it ------------------------------------------------------------------------------


def classes(*masks: Any) -> list[ClassEntry]:
    return [ClassEntry(value=k, name=f"class {k}", mask=mask) for k, mask in enumerate(masks)]


def test_values_and_colours_in_masks_are_classes() -> None:
    numbers = MaskValues(classes(0, (3, 4), "others"), [255])
    assert numbers.indices(np.array([[[0, 3, 4, 9, 255]]], np.uint8), "a", (0, 0)).tolist() == [[0, 1, 1, 2, -1]]
    colours = MaskValues(classes("#000000", "#ff0080"), [])
    picture = np.array([[[0, 255]], [[0, 0]], [[0, 128]]], np.uint8)
    assert colours.indices(picture, "a", (0, 0)).tolist() == [[0, 1]]
    with pytest.raises(InputMismatch, match=r"a holds #ffffff \(at y 5, x 7\)"):
        colours.indices(np.full((3, 1, 1), 255, np.uint8), "a", (5, 7))
    with pytest.raises(InputMismatch, match="has 3 that differ"):
        numbers.indices(picture, "a", (0, 0))
    with pytest.raises(InputMismatch, match="3 is named twice"):
        MaskValues(classes(3, (2, 3)), [])


def test_of_each_kind_of_mask_the_same_share_is_held_out() -> None:
    seen = [CheckedPair(Pair(f"{k}", ""), (1, 1), (1, int(k % 5 == 0))) for k in range(40)]
    learned, held_out = split(seen, 0.25, seed=0)
    assert len(held_out) == 10
    assert sum(one.counts[1] for one in held_out) == 2
    assert sorted(int(one.pair.name) for one in learned + held_out) == list(range(40))
    assert split(seen, 0.25, seed=0) == (learned, held_out)
    assert split(seen, 0.25, seed=1) != (learned, held_out)


def test_files_of_the_same_name_but_for_the_format_are_refused(tmp_path: Path) -> None:
    folder = write_folders(tmp_path, 2)
    imageio.v3.imwrite(folder / "images" / "1.jpg", np.zeros((48, 48, 3), np.uint8))
    with pytest.raises(ns.SeamlessError, match=r"1\.jpg and 1\.png in .* differ by format only"):
        pairs_in(folder / "images", folder / "masks")


def test_stopping_while_images_are_looked_at_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunCancelled, match="while it looked at the images"):
        ns.train(write_training(write_folders(tmp_path)), stop=lambda: True)
