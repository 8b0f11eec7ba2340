"""StarDist's own files, against what StarDist itself gave for them; see published/README.md.

Deviations: the border of 2 cells, in which there are no objects, is that of the image, as StarDist has it where it
makes objects of a dense output, and not that of the image padded to a multiple (`sparse=True`); rays are cut at the
largest radius; an object has a class, the likeliest, where StarDist may answer "background"; and where two objects
overlap by nearly the limit, another one of them may win (test_polygons.py).
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import napari_seamless as ns
from napari_seamless.errors import ModelError, WeightsMismatch
from napari_seamless.geometry import Region
from napari_seamless.models import load_model
from napari_seamless.postprocess.polygons.step import StarPolygons
from napari_seamless.testing.step_run import run_step

h5py = pytest.importorskip("h5py")

PUBLISHED = Path(__file__).parent / "published"
SERIAL = {"tile": 64, "scheduler": "serial", "device": "cpu"}
KEPT = np.s_[:, ::4, ::4]
"""The cells of the trained network's output that are stored."""


@pytest.fixture(scope="module")
def stored() -> Mapping[str, np.ndarray]:
    with np.load(PUBLISHED / "stardist.npz") as file:
        return dict(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PUBLISHED / "stardist", tmp_path / "mine"))


def as_published(output: np.ndarray, rays: int) -> np.ndarray:
    """(c, y, x) as StarDist gives it, channels last, without what it does not let pass: rays of less than 1e-3."""
    found = output.transpose(1, 2, 0).copy()
    found[..., 1 : 1 + rays] = found[..., 1 : 1 + rays].clip(1e-3)
    return found


def tiled(folder: str, pixels: np.ndarray) -> np.ndarray:
    """What the network of a published folder gives, (c, y, x), without what is made of it."""
    network = replace(load_model(PUBLISHED / folder), postprocess=None)
    return np.asarray(ns.run(network, pixels, axes="cyx", **SERIAL))


def test_a_trained_network_gives_in_tiles_what_stardist_gives_whole(stored: Mapping[str, np.ndarray]) -> None:
    found = as_published(tiled("stardist", stored["pixels"][None])[KEPT], 16)
    without_background = np.delete(stored["output"], 17, axis=2)
    np.testing.assert_allclose(found, without_background, atol=1e-4)


def test_norms_even_kernels_channels_and_a_size_that_is_no_multiple_are_stardists(
    stored: Mapping[str, np.ndarray],
) -> None:
    found = tiled("stardist-random", stored["channels"].transpose(2, 0, 1))
    np.testing.assert_allclose(as_published(found, 5), stored["channels_output"], atol=1e-4)


def test_objects_and_their_classes_are_those_of_stardist(stored: Mapping[str, np.ndarray]) -> None:
    model, pixels = load_model(PUBLISHED / "stardist"), stored["pixels"]
    assert isinstance(model.postprocess, StarPolygons)
    with torch.inference_mode():
        output = model.module(torch.from_numpy(pixels.astype(np.float32))[None, None])[0].numpy()
    found = run_step(model.postprocess, output, pixels.shape, [Region.from_shape(pixels.shape)])
    table, order = found.objects, np.lexsort(stored["points"].T[::-1])
    assert len(table) > 20
    np.testing.assert_array_equal(table.extra["center"], stored["points"][order])
    np.testing.assert_allclose(table.extra["score"], stored["prob"][order], atol=1e-4)
    np.testing.assert_array_equal(table.label, stored["classes"][order])
    # StarDist numbers objects by score; and an edge that passes the middle of a pixel may leave it on either side
    place = np.concatenate([[0], 1 + np.argsort(order)])
    assert (found.labels != place[stored["labels"]]).sum() <= 3


def test_a_run_gives_the_objects_of_stardist(stored: Mapping[str, np.ndarray]) -> None:
    """Their outlines are rounded to float16 on the way."""
    found = ns.objects_of(ns.run(PUBLISHED / "stardist", stored["pixels"], axes="yx", **SERIAL))
    order = np.lexsort(stored["points"].T[::-1])
    np.testing.assert_array_equal(found.extra["center"], stored["points"][order])
    np.testing.assert_array_equal(found.label, stored["classes"][order])


def test_a_folder_says_what_polygons_are_made_of_its_output_and_a_notice_how_pixels_are_scaled() -> None:
    model = load_model(PUBLISHED / "stardist")
    said = json.loads((PUBLISHED / "stardist" / "thresholds.json").read_text())
    assert model.postprocess == StarPolygons(rays=16, grid=2, classes=2, probability=said["prob"], overlap=said["nms"])
    assert (model.name, model.channels, model.ndim) == ("stardist", 1, 2)
    assert len(model.channel_names) == 1 + 16 + 2
    assert "do not say how pixel values are scaled: percentiles 1 and 99.8 of each channel" in model.notices[0]
    assert len(model.notices) == 1


@pytest.mark.parametrize("inner", ["", "2D_demo/"])
def test_a_zip_file_of_the_folder_is_the_same_model(inner: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "2D_demo.zip", "w") as archive:
        for file in (PUBLISHED / "stardist").iterdir():
            archive.write(file, f"{inner}{file.name}")
    model, same = load_model(tmp_path / "2D_demo.zip"), load_model(PUBLISHED / "stardist")
    assert (model.name, model.postprocess) == ("2D_demo", same.postprocess)
    for one, other in zip(model.module.parameters(), same.module.parameters(), strict=True):
        assert torch.equal(one, other)


def test_weights_are_those_named_or_of_the_best_epoch(folder: Path) -> None:
    shutil.copy(folder / "weights_best.h5", folder / "weights_last.h5")
    with h5py.File(folder / "weights_last.h5", "r+") as file:
        file["prob/prob/bias"][...] = 7
    best, last = load_model(folder), load_model(folder / "weights_last.h5")
    assert last.module[1].network.layers["prob"].conv.bias.tolist() == [7]
    assert best.module[1].network.layers["prob"].conv.bias.tolist() != [7]
    (folder / "weights_best.h5").rename(folder / "weights_now.h5")
    with pytest.raises(ModelError, match=r"takes weights_best\.h5; mine has weights_last\.h5, weights_now\.h5; name"):
        load_model(folder)


@pytest.mark.parametrize("text", [None, "{}", '{"prob": null, "nms": 2.0}'])
def test_without_thresholds_stardists_own_are_taken_and_told(folder: Path, text: str | None) -> None:
    (folder / "thresholds.json").unlink()
    if text is not None:
        (folder / "thresholds.json").write_text(text)
    model = load_model(folder)
    assert isinstance(model.postprocess, StarPolygons)
    assert (model.postprocess.probability, model.postprocess.overlap) == (0.5, 0.4)
    assert (
        "StarDist's own thresholds are taken where thresholds.json has none between 0 and 1: prob 0.5, nms 0.4"
        in model.notices[1]
    )


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"n_rays": None}, r"has n_rays: "),
        ({"n_dim": 3, "axes": "ZYXC"}, r"n_dim: Input should be 2; axes: Input should be 'YXC'"),
        ({"backbone": "resnet"}, r"backbone: Input should be 'unet'"),
        ({"grid": [1, 2]}, r"polygons lie on a grid that is the same in y and x; got 1 and 2"),
        ({"grid": [3, 3]}, r"the grid of StarDist is a power of 2; got 3"),
        ({"unet_activation": "mish"}, r"an activation is relu, .*; got mish"),
        ({"unet_attention": True}, r"there is no rule for unet_attention"),
        ({"unet_n_depth": 10**9}, r"unet_n_depth: Input should be less than or equal to 10"),
    ],
)
def test_a_configuration_without_a_rule_is_refused_in_a_sentence(
    folder: Path, fields: dict[str, object], says: str
) -> None:
    config = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=says):
        load_model(folder)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    shutil.copy(PUBLISHED / "stardist-random" / "weights_best.h5", folder / "weights_best.h5")
    with pytest.raises(WeightsMismatch, match=r"names and shapes of the network of weights_best\.h5's config\.json"):
        load_model(folder)


def _external_numbers(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["dist/dist/bias"]
        (file.parent / "secret.bin").write_bytes(bytes(64))
        opened["dist/dist"].create_dataset(
            "bias", (16,), "f4", external=[(str(file.parent / "secret.bin"), 0, h5py.h5f.UNLIMITED)]
        )


def _virtual_numbers(file: Path) -> None:
    with h5py.File(file.parent / "other.hdf5", "w") as other:
        other["bias"] = np.zeros(16, "f4")
    layout = h5py.VirtualLayout((16,), "f4")
    layout[:] = h5py.VirtualSource(str(file.parent / "other.hdf5"), "bias", (16,))
    with h5py.File(file, "r+") as opened:
        del opened["dist/dist/bias"]
        opened["dist/dist"].create_virtual_dataset("bias", layout)


def _link_to_another_file(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["dist/dist/bias"]
        opened["dist/dist/bias"] = h5py.ExternalLink("other.h5", "/bias")


def _many_numbers(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["dist/dist/bias"]
        opened["dist/dist"].create_dataset("bias", (10**12,), "f4")


def _packed_numbers(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["dist/dist/bias"]
        opened["dist/dist"].create_dataset("bias", (10**7,), "f4", compression="gzip", data=np.zeros(10**7, "f4"))


def _numbers_named_often(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        for k in range(15):
            opened[f"middle_0/again_{k}"] = opened["middle_0/middle_0/kernel"]
            opened[f"up_level_1_no_0/again_{k}"] = opened["up_level_1_no_0/up_level_1_no_0/kernel"]


def _group_in_itself(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        opened["dist/dist/dist"] = opened["dist"]


def _text(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["dist/dist/bias"]
        opened["dist/dist/bias"] = "bias"


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_external_numbers, "packed, elsewhere or not all there at /dist/dist/bias"),
        (_virtual_numbers, "packed, elsewhere or not all there at /dist/dist/bias"),
        (_link_to_another_file, "a link to another place or file"),
        (_many_numbers, "packed, elsewhere or not all there at /dist/dist/bias"),
        (_packed_numbers, "packed, elsewhere or not all there at /dist/dist/bias"),
        (_numbers_named_often, "names numbers several times"),
        (_group_in_itself, "has other things than numbers in a layer"),
        (_text, "has no numbers at /dist/dist/bias"),
        (_cut, "is damaged"),
    ],
)
def test_weights_that_are_not_plain_numbers_of_the_file_are_refused(
    folder: Path, harm: Callable[[Path], None], says: str
) -> None:
    harm(folder / "weights_best.h5")
    with pytest.raises(ModelError, match=rf"one HDF5 file, .*; weights_best\.h5 .*{says}"):
        load_model(folder)


def test_a_recipe_can_say_how_else_pixels_of_a_stardist_network_are_scaled(tmp_path: Path) -> None:
    network = load_model(PUBLISHED / "stardist").module[1].network
    arguments = {"rays": 16, "grid": 2, "classes": 2, "depth": 2, "base": 4, "features": 12}
    fields = {
        "name": "mine",
        "network": {"architecture": "stardist", "arguments": arguments},
        "input": {"channels": ["dna"], "multiple_of": 8, "scaling": {"kind": "range", "low": 400, "high": 3000}},
        "output": {"kind": "image"},
    }
    model = load_model(ns.save_recipe(tmp_path / "mine", network, fields))
    image = torch.rand(1, 1, 32, 32) * 3000
    with torch.inference_mode():
        torch.testing.assert_close(model.module(image), network((image - 400) / 2600), atol=1e-3, rtol=1e-3)
