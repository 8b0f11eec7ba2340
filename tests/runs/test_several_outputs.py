"""Several outputs of a network in one run: each is an image of its own in one folder, as the network gives it."""

from __future__ import annotations

import inspect
import pickle
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import tifffile
import torch
import zarr
from torch import nn

import napari_seamless as ns
from napari_seamless.cli import main
from napari_seamless.errors import BadRequest, InputMismatch, OutputExists, OutputUnwritable
from napari_seamless.store import images_at

NAMES = ("seg", "prob", "maps.0")
HALF = ns.Region.of((0, 200), (0, 260))


class ThreeOutputs(nn.Module):
    """Classes, their scores, and maps that need all of the image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.scores = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 5, padding=2)
        self.maps = nn.Sequential(nn.InstanceNorm2d(4), nn.Conv2d(4, 3, 1))

    def forward(self, x: torch.Tensor) -> dict[str, object]:
        hidden = torch.relu(self.first(x))
        scores = self.scores(hidden)
        return {"seg": scores.argmax(1), "prob": scores, "maps": [self.maps(hidden)]}


class Pyramid(nn.Module):
    """Outputs of two sizes."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x, nn.functional.max_pool2d(x, 2)]


class Twins(nn.Module):
    """Two outputs of one size, of which the second is twice the first."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, self.factor * x


class Far(nn.Module):
    """Numbers of objects that the other output's type cannot tell apart."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x, (x[:, 0] * 0).long() + 2**25 + 1]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return ThreeOutputs().eval()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, 400, 260)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(network: nn.Module, image: np.ndarray) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        whole = network(torch.from_numpy(image)[None])
    return {"seg": whole["seg"][0].numpy(), "prob": whole["prob"][0].numpy(), "maps.0": whole["maps"][0][0].numpy()}


def run(network: nn.Module, image: np.ndarray, output: Path | None, wanted: Any = "all", **options: Any) -> ns.Result:
    how: dict[str, Any] = {"scheduler": "serial", "tile": 128, **options}
    return ns.run(network, image, output=output, network_output=wanted, **how)


def assert_close(found: ns.Result, expected: dict[str, np.ndarray]) -> None:
    for name, result in found.images.items():
        np.testing.assert_allclose(np.asarray(result), expected[name], atol=1e-5)


def test_every_output_is_an_image_as_the_network_alone_gives_it_and_the_run_is_continued(
    network: nn.Module, image: np.ndarray, expected: dict[str, np.ndarray], tmp_path: Path
) -> None:
    output = tmp_path / "o.ome.zarr"
    first = run(network, image, output, region=HALF)
    found = run(network, image, output)
    assert (tuple(found.images), images_at(output)) == (NAMES, NAMES)
    assert (first.report.tiles, found.report.tiles) == (12 + 6, 6), "all are measured once, and each tile made once"
    assert run(network, image, output).report.tiles == 0
    assert_close(found, expected)
    assert found.report.self_check is not None
    assert found.report.self_check.largest < 1e-4
    kinds = {name: ns.open_result(output, image=name).kind for name in NAMES}
    assert kinds == {"seg": "labels", "prob": "image", "maps.0": "image"}
    assert ns.open_result(output).spec.name == "ThreeOutputs seg"


def test_some_outputs_in_their_order_in_memory(
    network: nn.Module, image: np.ndarray, expected: dict[str, np.ndarray]
) -> None:
    found = run(network, image, None, ["maps.0", 0])
    assert tuple(found.images) == ("maps.0", "seg")
    assert_close(found, expected)


class KeptAxis(nn.Module):
    """Scores, classes that keep their axis of channels, and a grey picture."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        scores = torch.cat([x, -x], 1)
        return [scores, scores.argmax(1, keepdim=True), (x * 10).to(torch.uint8)]


def test_what_would_be_labels_alone_is_labels_among_several(image: np.ndarray) -> None:
    together = run(KeptAxis(), image, None).images
    for name in together:
        alone = run(KeptAxis(), image, None, name)
        assert (together[name].store.kind, together[name].shape) == (alone.store.kind, alone.shape)
        np.testing.assert_array_equal(np.asarray(together[name]), np.asarray(alone))
    assert [result.store.kind for result in together.values()] == ["image", "labels", "image"]


def test_workers_elsewhere_write_every_output(network: nn.Module, image: np.ndarray, tmp_path: Path) -> None:
    store = run(network, image, tmp_path / "o.ome.zarr", region=HALF).store
    there = pickle.loads(pickle.dumps(store))
    box = store.grid.region((3, 0))
    pixels = np.random.default_rng(1).integers(0, 9, (6, *box.shape)).astype(np.float32)
    there.write(box, pixels)
    store.commit(box)
    np.testing.assert_array_equal(store.made(box), pixels)
    np.testing.assert_array_equal(ns.open_result(tmp_path / "o.ome.zarr", image="maps.0").read(box), pixels[3:])


def test_an_image_that_cannot_be_written_to_its_end_keeps_no_lock(
    network: nn.Module, image: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = run(network, image, tmp_path / "o.ome.zarr", region=HALF).store
    store.repair()
    (other, *_) = store.others
    for one in (store, *store.others):
        one._begin()
    with monkeypatch.context() as full:
        full.setattr(other, "flush", Mock(side_effect=OutputUnwritable("the disk is full")))
        with pytest.raises(OutputUnwritable, match="the disk is full"):
            store.close()
    run(network, image, tmp_path / "o.ome.zarr")


def test_every_reader_finds_the_images(network: nn.Module, image: np.ndarray, tmp_path: Path) -> None:
    output = tmp_path / "o.ome.zarr"
    run(network, image, output)
    assert ns.open_image(output).info.scenes == tuple(f"ThreeOutputs {name}" for name in NAMES)
    assert ns.open_image(output, scene="ThreeOutputs maps.0").info.channels == 3
    reader = pytest.importorskip("napari_ome_zarr")
    names = [str(layer[1]["name"]) for layer in reader.napari_get_reader(str(output))(str(output))]
    assert [any(f"ThreeOutputs {name}" in shown for shown in map(str, names)) for name in NAMES] == [True] * 3


def test_numbers_and_files_are_of_the_image_that_is_named(
    network: nn.Module, image: np.ndarray, expected: dict[str, np.ndarray], tmp_path: Path
) -> None:
    output = tmp_path / "o.ome.zarr"
    run(network, image, output, ["prob", "seg"])
    measured = ns.measure(output)
    assert measured.areas[1].pixels == (expected["seg"] == 1).sum()
    assert "'seg' is taken, by rule" in " ".join(measured.notes)
    for name in ("prob", "seg"):
        saved = ns.export(output, tmp_path / f"{name}.ome.tif", output_image=name)
        found = ns.open_image(saved)
        pixels = found.read(ns.Region.from_shape((400, 260)))
        np.testing.assert_allclose(pixels.squeeze(), expected[name], atol=1e-5)
    with pytest.raises(BadRequest, match=r"an image of a result is chosen by its name; .* has 'prob', 'seg'; got 'x'"):
        ns.measure(output, output_image="x")


def test_a_result_of_other_outputs_is_not_continued_and_is_replaced_when_that_is_asked_for(
    network: nn.Module, image: np.ndarray, tmp_path: Path
) -> None:
    output = tmp_path / "o.ome.zarr"
    run(network, image, output, ["prob", "seg"], region=HALF)
    for wanted in (["seg", "prob"], "all", "prob"):
        with pytest.raises(OutputExists, match="the images 'prob', 'seg'"):
            run(network, image, output, wanted)
    run(network, image, output, "prob", region=HALF, overwrite=True)
    assert images_at(output) == ()
    with pytest.raises(OutputExists, match="choose another path or overwrite it"):
        run(network, image, output)
    assert images_at(output) == ()


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        (["0", "0"], "each once, or as 'all'"),
        ([], "each once, or as 'all'"),
        (["0", "x"], "is the name or number of one of the network's outputs"),
        (
            "all",
            "made in one go are images of one size; got '0' of 1 x 1 x 64 x 64, '1' of 1 x 1 x 32",
        ),
    ],
)
def test_outputs_that_cannot_be_made_together_are_refused(wanted: object, complaint: str) -> None:
    with pytest.raises(BadRequest, match=complaint):
        run(Pyramid(), np.zeros((1, 64, 64), np.float32), None, wanted)


def test_all_outputs_of_a_network_of_one_are_that_one() -> None:
    found = run(nn.Identity(), np.ones((1, 64, 64), np.float32), None)
    assert (found.images, float(np.asarray(found).mean())) == ({}, 1.0)


def test_numbers_are_never_rounded_by_the_company_they_are_in() -> None:
    with pytest.raises(InputMismatch, match=r"must fit it; got 3\.35544e\+07; make a run for this output alone"):
        run(Far(), np.zeros((1, 64, 64), np.float32), None)


def test_the_shell_takes_names_with_commas_and_says_which_image_it_took(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(Twins().state_dict(), tmp_path / "m.pt")
    text = f"import torch\nfrom torch import nn\n\n{inspect.getsource(Twins)}"
    (tmp_path / "twins_of_a_user.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    zarr.create_array(tmp_path / "i.zarr", data=np.ones((64, 64), np.uint8))
    output = str(tmp_path / "o.ome.zarr")
    how = [
        "-m",
        str(tmp_path / "m.pt"),
        "--architecture",
        "twins_of_a_user:Twins",
        "--trust",
        "--network-output",
        "1,0",
        "--output",
        output,
        "--scheduler",
        "serial",
    ]
    assert main(["run", str(tmp_path / "i.zarr"), *how]) == 0
    assert images_at(output) == ("1", "0")
    saved = ["export", output, str(tmp_path / "p.ome.tif")]
    assert main(saved) == 0
    assert "'1' is taken, by rule" in capsys.readouterr().err
    assert main([*saved, "--output-image", "0", "--overwrite"]) == 0
    assert tifffile.imread(tmp_path / "p.ome.tif").max() == 1


@pytest.mark.parametrize("wanted", ["1", ["1", "0"]])
def test_a_scripted_network_gives_its_outputs_too(wanted: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Twins().eval()).save(str(tmp_path / "m.pt"))
    found = ns.run(tmp_path / "m.pt", np.ones((1, 64, 64), np.float32), network_output=wanted, scheduler="serial")
    assert np.asarray(found).max() == 2
