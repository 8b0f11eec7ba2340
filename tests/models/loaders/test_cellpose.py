"""Files of Cellpose, against what Cellpose 3.1.1.1 itself gave for them; see published/README.md.

Deviations: Cellpose cuts images of more than 224 pixels into tiles, each with a style of its own, and takes percentiles
of a part of the pixels of images of more than 11 million; a channel of one value becomes 0 here, whatever that is.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import napari_seamless as ns
from napari_seamless.errors import InputMismatch, ModelError, WeightsMismatch
from napari_seamless.models import load_model

PUBLISHED = Path(__file__).parent / "published"


def state() -> dict[str, torch.Tensor]:
    return dict(torch.load(PUBLISHED / "cellpose", weights_only=True))


def tiled(model: object, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(ns.run(model, pixels, axes="cyx", tile=64, scheduler="serial", device="cpu"))


@pytest.mark.parametrize("channels", ["cells", "both"])
def test_flows_and_logits_of_an_image_in_tiles_are_those_of_cellpose(channels: str) -> None:
    with np.load(PUBLISHED / "cellpose.npz") as stored:
        pixels, expected = stored[channels], stored[f"{channels}_output"]
    found = tiled(load_model(PUBLISHED / "cellpose"), pixels.reshape(-1, *pixels.shape[-2:]))
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_style_is_that_of_the_whole_image_and_not_of_a_tile() -> None:
    model = load_model(PUBLISHED / "cellpose")
    random = np.random.default_rng(0)
    pixels = np.concatenate([random.normal(0, 1, (1, 96, 120)), random.normal(0, 9, (1, 96, 120))], 2)
    pixels = pixels.astype(np.float32)
    with torch.inference_mode():
        whole = model.module(torch.from_numpy(pixels)[None])[0].numpy()
        half = model.module(torch.from_numpy(pixels[:, :, :120])[None])[0].numpy()
    np.testing.assert_allclose(tiled(model, pixels), whole, atol=1e-5)
    assert np.abs(half - whole[:, :, :120])[:, 40:60, 40:60].max() > 1e-2


def test_notices_say_how_wide_objects_are_taken_to_be_and_what_comes_out() -> None:
    model = load_model(PUBLISHED / "cellpose")
    assert model.channel_names == ("flow along y", "flow along x", "cell")
    assert "sees objects 30 pixels wide; those of the image are taken to be 36 pixels wide" in model.notices[0]
    assert "gives flows and a logit of cells; no objects are made of them here" in model.notices[1]


@pytest.mark.parametrize("name", ["CP_20260101_120000", "mine.pth", "old", "mine.safetensors"])
def test_a_file_is_known_by_its_content_whatever_its_name_is(name: str, tmp_path: Path) -> None:
    if name.endswith(".safetensors"):
        save_file(state(), tmp_path / name)
    elif name == "old":
        torch.save(state(), tmp_path / name, _use_new_zipfile_serialization=False)
    else:
        shutil.copy(PUBLISHED / "cellpose", tmp_path / name)
    image = torch.rand(1, 1, 32, 48)
    with torch.inference_mode():
        torch.testing.assert_close(
            load_model(tmp_path / name).module(image), load_model(PUBLISHED / "cellpose").module(image)
        )


def test_a_file_without_diameters_is_of_objects_of_30_pixels_and_says_so(tmp_path: Path) -> None:
    torch.save({key: value for key, value in state().items() if "diam" not in key}, tmp_path / "cyto")
    model = load_model(tmp_path / "cyto")
    assert model.notices[0] == "cyto does not say how wide objects are in it; 30 pixels are taken"
    assert model.module.ratio == 1


def test_other_channels_than_the_networks_are_asked_for() -> None:
    with pytest.raises(InputMismatch, match=r"takes one channel, or 2 \(cells, then nuclei\); got 3; choose channels"):
        ns.prepare(load_model(PUBLISHED / "cellpose"), np.zeros((3, 64, 64), np.float32))


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"diam_labels": torch.tensor([0.0])}, ModelError, r"objects are 1 to 1000 pixels wide; mine says 0"),
        ({"diam_mean": torch.tensor([float("nan")])}, ModelError, r"objects are 1 to 1000 pixels wide; mine says nan"),
        (
            {"output.2.weight": torch.zeros(1, 4, 1, 1)},
            ModelError,
            r"mine gives 1 channels; those for restoring",
        ),
        (
            {"upsample.up.res_up_0.proj.1.bias": torch.zeros(5)},
            WeightsMismatch,
            r"shapes of Cellpose's network",
        ),
        (
            {"downsample.down.res_down_0.conv.conv_0.2.weight": torch.zeros(4, 2, 3, 3, 3)},
            WeightsMismatch,
            r"has the weights of a network of planes; mine has others",
        ),
    ],
)
def test_files_that_are_not_of_such_a_network_are_refused(
    changes: dict[str, torch.Tensor], kind: type[ModelError], says: str, tmp_path: Path
) -> None:
    torch.save(state() | changes, tmp_path / "mine")
    with pytest.raises(kind, match=says):
        load_model(tmp_path / "mine")
