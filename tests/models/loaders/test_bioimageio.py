"""Packages of the BioImage Model Zoo, made here: pre- and post-processing, halo, against the zoo's own prediction."""

from __future__ import annotations

import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import napari_seamless as ns
from napari_seamless.errors import InputNotFound, ModelError, NotTrusted, WeightsMismatch
from napari_seamless.models import load_model
from napari_seamless.models.loaders.bioimageio import read_description

pytest.importorskip("bioimageio.spec")

SOURCE = """
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs=2, outputs=3):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(inputs, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4))
        self.up = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=4))
        self.last = nn.Conv2d(6, outputs, 3, padding=1)

    def forward(self, x):
        return self.last(self.up(self.down(x)))
"""
SPACE = ("batch", "y", "x")
BEFORE = [
    {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
    {"id": "scale_range", "kwargs": {"axes": SPACE, "min_percentile": 1.0, "max_percentile": 99.0, "eps": 1e-6}},
    {"id": "clip", "kwargs": {"min": 0.0, "max": 1.5}},
    {"id": "zero_mean_unit_variance", "kwargs": {"eps": 1e-6}},
    {"id": "scale_linear", "kwargs": {"axis": "channel", "gain": [2.0, 3.0], "offset": [0.1, 0.2]}},
    {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 0.5, "std": 2.0}},
]
AFTER = [
    {"id": "softmax", "kwargs": {"axis": "channel"}},
    {"id": "scale_linear", "kwargs": {"gain": 10.0, "offset": 1.0}},
]

STARDIST = Path(__file__).parent / "published" / "stardist-random"

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_SEAMLESS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("BIOIMAGEIO_CACHE_PATH", str(tmp_path / "cache"))


def network() -> nn.Module:
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(SOURCE, names)
    return names["Net"]().eval()


def image(shape: tuple[int, ...] = (2, 96, 128)) -> np.ndarray:
    return np.random.default_rng(0).gamma(2, 40, shape).astype(np.float32)


def described(path: Path) -> dict[str, str]:
    return {"source": path.name, "sha256": sha256(path.read_bytes()).hexdigest()}


def space(name: str, **more: object) -> dict[str, object]:
    return {"type": "space", "id": name, **more}


def package(
    folder: Path, change: Change = lambda _: None, *, script: bool = False, expected: np.ndarray | None = None
) -> Path:
    """A package in a folder. Its test output is made by the zoo's own library where it is not given."""
    folder.mkdir()
    torch.save(network().state_dict(), folder / "weights.pt")
    (folder / "net.py").write_text(SOURCE)
    (folder / "README.md").write_text("A network for a test.")
    np.save(folder / "in.npy", image()[None])
    np.save(folder / "out.npy", np.zeros((1, 3, 96, 128), np.float32) if expected is None else expected)
    size = {"min": 32, "step": 4}
    channels = {"type": "channel", "channel_names": ["one", "two"]}
    reference = [space(a, size={"tensor_id": "image", "axis_id": a, "offset": 0}, halo=8) for a in "yx"]
    weights: dict[str, Any] = {
        "pytorch_state_dict": {
            **described(folder / "weights.pt"),
            "architecture": {**described(folder / "net.py"), "callable": "Net", "kwargs": {"inputs": 2, "outputs": 3}},
            "pytorch_version": "2.6",
        }
    }
    if script:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.save(torch.jit.trace(network(), torch.zeros(1, 2, 32, 32)), folder / "script.pt")
        weights = {"torchscript": {**described(folder / "script.pt"), "pytorch_version": "2.6"}}
    rdf: dict[str, Any] = {
        "type": "model",
        "format_version": "0.5.4",
        "name": "Rings of a test",
        "description": "Finds nothing",
        "license": "MIT",
        "authors": [{"name": "Somebody"}],
        "cite": [{"text": "Somebody 2026", "url": "https://example.org"}],
        "documentation": "README.md",
        "inputs": [
            {
                "id": "image",
                "axes": [{"type": "batch"}, channels, space("y", size=size), space("x", size=size)],
                "data": {"type": "float32"},
                "test_tensor": described(folder / "in.npy"),
                "preprocessing": BEFORE,
            }
        ],
        "outputs": [
            {
                "id": "scores",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["a", "b", "c"]}, *reference],
                "data": {"type": "float32"},
                "test_tensor": described(folder / "out.npy"),
                "postprocessing": AFTER,
            }
        ],
        "weights": weights,
    }
    change(rdf)
    (folder / "rdf.yaml").write_text(json.dumps(rdf))
    if expected is None:
        made = zoo_prediction(folder, image())
        np.save(folder / "out.npy", made[None])
        rdf["outputs"][0]["test_tensor"] = described(folder / "out.npy")
        (folder / "rdf.yaml").write_text(json.dumps(rdf))
    return folder


def zoo_prediction(folder: Path, pixels: np.ndarray, *, mirror: bool = False) -> np.ndarray:
    """What bioimageio.core makes of an image that fits.

    By itself its library mirrors the image first, as far as the halo, and cuts the result (`mirror`). Its tests of
    packages do not, since what it adds at the edges of an image is no part of the network.
    """
    core = pytest.importorskip("bioimageio.core")
    digest_spec = pytest.importorskip("bioimageio.core.digest_spec")
    model = read_description(folder / "rdf.yaml")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sample = digest_spec.create_sample_for_model(model, inputs={"image": pixels[None]})
        with core.create_prediction_pipeline(model) as pipeline:
            plain = {} if mirror else {"skip_input_padding": True, "skip_output_cropping": True}
            found = pipeline.predict_sample_without_blocking(sample, **plain)
    return np.asarray(found.members["scores"].data.data)[0]


def tiled(model: object, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(ns.run(model, pixels, axes="cyx", tile=64, scheduler="serial", device="cpu"))


@pytest.mark.parametrize("script", [False, True], ids=["pytorch_state_dict", "torchscript"])
def test_a_package_gives_in_tiles_what_the_zoos_own_library_gives_whole(tmp_path: Path, script: bool) -> None:
    folder = package(tmp_path / "theirs", script=script)
    model = load_model(folder, trust=not script)
    pixels = np.random.default_rng(1).gamma(2, 40, (2, 96, 160)).astype(np.float32)
    expected = zoo_prediction(folder, pixels)
    assert np.abs(tiled(model, pixels) - expected).max() < 1e-4 * np.abs(expected).max()
    assert "off by at most" in str(model.card["checked"])
    assert (model.card["licence"], model.channel_names) == ("MIT", ("a", "b", "c"))


def test_a_zip_file_of_a_package_loads_like_its_folder_and_takes_any_size(tmp_path: Path) -> None:
    folder = package(tmp_path / "theirs", script=True)
    with zipfile.ZipFile(tmp_path / "theirs.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    model = load_model(tmp_path / "theirs.zip")
    odd = image((2, 97, 131))
    with torch.inference_mode():
        expected = model.module(torch.from_numpy(odd)[None])[0].numpy()
    assert expected.shape == (3, 97, 131)
    assert np.abs(tiled(model, odd) - expected).max() < 1e-4 * np.abs(expected).max()


def plain(folder: Path, change: Change = lambda _: None, **more: Any) -> Path:
    """A package without processing, whose test output is the network's."""
    with torch.inference_mode():
        expected = network()(torch.from_numpy(image())[None]).numpy()

    def bare(rdf: dict[str, Any]) -> None:
        rdf["inputs"][0]["preprocessing"], rdf["outputs"][0]["postprocessing"] = [], []
        change(rdf)

    return package(folder, bare, expected=more.pop("expected", expected), **more)


def test_at_the_edges_the_zoos_library_mirrors_the_image_which_can_be_had_by_mirroring_it(tmp_path: Path) -> None:
    folder = plain(tmp_path / "theirs", script=True)
    model, pixels, halo = load_model(folder), image((2, 64, 96)), 8
    theirs, ours = zoo_prediction(folder, pixels, mirror=True), tiled(model, pixels)
    inner = np.s_[:, 2 * halo : -2 * halo, 2 * halo : -2 * halo]
    scale = np.abs(theirs).max()
    assert np.abs(theirs - ours)[inner].max() < 1e-5 * scale
    assert np.abs(theirs - ours).max() > 1e-2 * scale, "the network's own padding is another"
    continued = tiled(model, np.pad(pixels, [(0, 0), (halo, halo), (halo, halo)], mode="symmetric"))
    assert np.abs(theirs - continued[:, halo:-halo, halo:-halo]).max() < 1e-5 * scale
    assert "bioimageio.core would mirror the image first" in str(model.card["edges"])


def test_python_in_a_package_runs_only_after_a_yes_that_names_it(tmp_path: Path) -> None:
    folder = plain(tmp_path / "theirs")
    with pytest.raises(NotTrusted, match=r"net\.py would run the Python source net\.py in the package"):
        load_model(folder)
    assert load_model(folder, trust=True).channels == 2
    assert load_model(folder).channels == 2


def test_changed_python_is_asked_about_again_even_if_the_description_agrees(tmp_path: Path) -> None:
    load_model(plain(tmp_path / "first"), trust=True)

    def altered(rdf: dict[str, Any]) -> None:
        source = tmp_path / "second" / "net.py"
        source.write_text(SOURCE + "\nimport os\n")
        rdf["weights"]["pytorch_state_dict"]["architecture"].update(described(source))

    with pytest.raises(NotTrusted, match=r"net\.py would run"):
        load_model(plain(tmp_path / "second", altered))


def test_a_torchscript_twin_is_taken_where_python_is_not_trusted(tmp_path: Path) -> None:
    folder = plain(tmp_path / "theirs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network(), torch.zeros(1, 2, 32, 32)), folder / "script.pt")
    rdf = json.loads((folder / "rdf.yaml").read_text())
    twin = {**described(folder / "script.pt"), "pytorch_version": "2.6", "parent": "pytorch_state_dict"}
    rdf["weights"]["torchscript"] = twin
    (folder / "rdf.yaml").write_text(json.dumps(rdf))
    assert str(load_model(folder).card["format"]).endswith("torchscript")


def test_an_import_path_needs_a_yes_and_a_library_of_the_table_none(tmp_path: Path) -> None:
    nets = pytest.importorskip("monai.networks.nets")
    arguments = {"spatial_dims": 2, "in_channels": 2, "out_channels": 3, "channels": [4, 8], "strides": [2]}
    made = nets.UNet(**arguments).eval()
    with torch.inference_mode():
        expected = made(torch.from_numpy(image())[None]).numpy()

    def library(home: str) -> Change:
        def change(rdf: dict[str, Any]) -> None:
            path = tmp_path / home / "weights.pt"
            torch.save(made.state_dict(), path)
            architecture = {"import_from": home, "callable": "UNet", "kwargs": arguments}
            rdf["weights"]["pytorch_state_dict"].update(described(path), architecture=architecture)

        return change

    assert (
        load_model(plain(tmp_path / "monai.networks.nets", library("monai.networks.nets"), expected=expected)).channels
        == 2
    )
    folder = plain(tmp_path / "monai.networks.nets.unet", library("monai.networks.nets.unet"), expected=expected)
    with pytest.raises(NotTrusted, match=r"rdf\.yaml would run the code of monai\.networks\.nets\.unet:UNet"):
        load_model(folder)


def test_axes_in_another_order_come_out_in_ours(tmp_path: Path) -> None:
    class Last(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flip(3)[..., :1] * 2

    def change(rdf: dict[str, Any]) -> None:
        folder = tmp_path / "theirs"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.save(torch.jit.trace(Last(), torch.zeros(1, 8, 8, 2)), folder / "script.pt")
        for tensor in (rdf["inputs"][0], rdf["outputs"][0]):
            batch, channel, y, x = tensor["axes"]
            tensor["axes"] = [batch, y, x, channel]
        rdf["outputs"][0]["axes"][3] = {"type": "channel", "channel_names": ["a"]}
        rdf["weights"] = {"torchscript": {**described(folder / "script.pt"), "pytorch_version": "2.6"}}
        np.save(folder / "in.npy", image().transpose(1, 2, 0)[None])
        rdf["inputs"][0]["test_tensor"] = described(folder / "in.npy")

    expected = image()[1:].transpose(1, 2, 0)[None] * 2
    model = load_model(plain(tmp_path / "theirs", change, expected=expected))
    assert np.array_equal(tiled(model, image()), image()[1:] * 2)


def steps(name: str, **kwargs: object) -> Change:
    return lambda rdf: rdf["inputs"][0].update(preprocessing=[{"id": name, "kwargs": kwargs}])


def tensor(which: str, **more: object) -> Change:
    return lambda rdf: rdf[which][0].update(more)


def entry(**more: object) -> Change:
    return lambda rdf: rdf["weights"]["pytorch_state_dict"].update(more)


def alone(rdf: dict[str, Any]) -> None:
    rdf["weights"] = {"onnx": {**rdf["weights"]["pytorch_state_dict"], "opset_version": 15}}
    for key in ("architecture", "pytorch_version"):
        rdf["weights"]["onnx"].pop(key)


def objects(name: str, kwargs: dict[str, object]) -> Change:
    return lambda rdf: rdf["outputs"][0].update(postprocessing=[{"id": name, "kwargs": kwargs}])


STARS = {"prob_threshold": 0.5, "nms_threshold": 0.4, "n_rays": 32, "grid": [2, 2], "b": 2}
FLOWS = {"cellprob_threshold": 0.0, "flow_threshold": 0.4, "do_3D": False}


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (steps("clip", min_percentile=1.0), ModelError, "none for clip"),
        (
            steps("zero_mean_unit_variance", axes=["channel"]),
            ModelError,
            "none for zero_mean_unit_variance over channel",
        ),
        (steps("no_such_step"), ModelError, "bioimage.io description|none for no_such_step"),
        (tensor("outputs", id=3), ModelError, "description must be one of a model"),
        (entry(sha256="0" * 64), ModelError, r"weights\.pt has another sha256"),
        (entry(source="../weights.pt", sha256=None), ModelError, r"from its own folder only|description must be"),
        (entry(source="https://example.org/w.pt", sha256=None), ModelError, "offline and from its own folder only"),
        (entry(source="gone.pt", sha256=None), InputNotFound, r"has no gone\.pt"),
        (alone, ModelError, "has onnx only; ask for another format"),
        (
            objects("stardist_postprocessing", STARS),
            ModelError,
            "objects of it by stardist_postprocessing; bring",
        ),
        (objects("cellpose_flow_dynamics", FLOWS), ModelError, "objects of it by cellpose_flow_dynamics; bring"),
    ],
    ids=["step", "axes", "unknown step", "schema", "digest", "outside", "remote", "missing", "onnx", "stars", "flows"],
)
def test_a_package_that_cannot_be_run_is_refused_with_the_reason(
    tmp_path: Path, change: Change, kind: type, says: str
) -> None:
    with pytest.raises(kind, match=says):
        load_model(plain(tmp_path / "theirs", change), trust=True)


def as_stardist_exports(folder: Path, rdf: dict[str, Any]) -> None:
    """Weights for TensorFlow, and what StarDist says of them beside."""
    said = json.loads((STARDIST / "config.json").read_text())
    bundle = {**described(folder / "weights.pt"), "tensorflow_version": "2.13"}
    rdf["weights"] = {"tensorflow_saved_model_bundle": bundle}
    scale = {"min_percentile": 1.0, "max_percentile": 99.8, "axes": ["y", "x"]}
    rdf["inputs"][0]["preprocessing"] = [{"id": "scale_range", "kwargs": scale}]
    told = {"thresholds": {"prob": 0.3, "nms": 0.2}, "weights": "stardist_weights.h5", "config": said}
    rdf["config"] = {"stardist": told}


def test_a_package_that_stardist_wrote_for_tensorflow_is_read_from_the_weights_of_keras_in_it(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    folder = tmp_path / "theirs"
    plain(folder, partial(as_stardist_exports, folder))
    shutil.copy(STARDIST / "weights_best.h5", folder / "stardist_weights.h5")
    model, same = load_model(folder), load_model(STARDIST)
    assert model.postprocess == replace(same.postprocess, probability=0.3, overlap=0.2)
    pixels = torch.from_numpy(image())[None]
    with torch.inference_mode():
        torch.testing.assert_close(model.module(pixels), same.module(pixels), atol=1e-3, rtol=1e-3)
    assert model.notices == ()
    assert "not checked" in str(model.card["checked"])
    (folder / "stardist_weights.h5").unlink()
    with pytest.raises(InputNotFound, match=r"has no stardist_weights\.h5"):
        load_model(folder)


def test_which_weights_of_a_package_were_taken_is_told(tmp_path: Path) -> None:
    def change(rdf: dict[str, Any]) -> None:
        path = tmp_path / "theirs" / rdf["weights"]["pytorch_state_dict"]["source"]
        state = torch.load(path)
        torch.save({"model": state, "state_dict_ema": {f"module.{k}": v for k, v in state.items()}}, path)
        rdf["weights"]["pytorch_state_dict"].update(described(path))

    (notice,) = load_model(plain(tmp_path / "theirs", change), trust=True).notices
    assert "those under 'state_dict_ema' and names that begin with 'module.'" in notice


def test_weights_of_another_network_in_a_package_are_named(tmp_path: Path) -> None:
    def change(rdf: dict[str, Any]) -> None:
        rdf["weights"]["pytorch_state_dict"]["architecture"]["kwargs"]["outputs"] = 4

    with pytest.raises(WeightsMismatch, match=r"weights\.pt: .*2 of another shape \(last\.weight, last\.bias\)"):
        load_model(plain(tmp_path / "theirs", change), trust=True)


def test_a_package_that_does_not_give_its_own_test_output_is_refused(tmp_path: Path) -> None:
    folder = plain(tmp_path / "theirs", expected=np.ones((1, 3, 96, 128), np.float32))
    with pytest.raises(ModelError, match=r"must give its own test output; .* values that are off by up to"):
        load_model(folder, trust=True)


def test_a_test_array_that_is_a_pickle_is_not_opened(tmp_path: Path) -> None:
    folder = plain(tmp_path / "theirs")
    np.save(folder / "in.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ModelError, match=r"a test array is a \.npy file of numbers; in\.npy"):
        load_model(folder, trust=True)
