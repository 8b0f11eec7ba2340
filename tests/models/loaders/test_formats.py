"""Every format in which people have networks: export, save, load, run in tiles = run whole in plain torch."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import napari_seamless as ns
from napari_seamless.errors import InputNotFound, ModelError, TraceFailed, UnknownModel, WeightsMismatch
from napari_seamless.models import load_model
from napari_seamless.models.networks.unet import UNet

SHAPE = (1, 90, 118)


def lacking() -> nn.Module:
    """As networks of MONAI do that want einops: its packages are asked for when it is made."""
    import no_such_package

    return no_such_package.network()


class Small(nn.Module):
    """Strides, a join and a norm over the plane: a halo, and a pass that measures."""

    def __init__(self, inputs: int = 1, outputs: int = 2, *, norm: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, 4, 5, padding=2)
        self.norm = nn.InstanceNorm2d(4) if norm else nn.BatchNorm2d(4)
        self.last = nn.Conv2d(8, outputs, 3, padding=1, padding_mode="reflect")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine = torch.relu(self.norm(self.first(x)))
        coarse = nn.functional.max_pool2d(fine, 2)
        back = nn.functional.interpolate(coarse, size=(x.shape[2], x.shape[3]), mode="bilinear")
        return self.last(torch.cat([fine, back], 1))


class Branching(nn.Module):
    """A branch on the image's values, that TorchScript keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        if float(x.mean()) > 1e6:
            y = y * 2
        return y


@pytest.fixture(autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is trusted and added in a test stays in it."""
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("NAPARI_SEAMLESS_DATA", str(folder))
    return folder


@pytest.fixture
def network() -> Small:
    torch.manual_seed(0)
    return Small().eval()


def image(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def tiled(model: object, pixels: np.ndarray, **options: object) -> np.ndarray:
    return np.asarray(ns.run(model, pixels, axes="cyx", tile=64, scheduler="serial", device="cpu", **options))


def whole(network: nn.Module, pixels: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(pixels)[None])[0].numpy()


def exported(network: nn.Module, path: Path) -> Path:
    sides = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    torch.export.save(torch.export.export(network, (torch.zeros(2, 1, 32, 40),), dynamic_shapes=(sides,)), path)
    return path


def scripted(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(network), path)
    return path


def recorded(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network, torch.zeros(1, 1, 32, 40)), path)
    return path


def pickled(network: nn.Module, path: Path) -> Path:
    torch.save(network, path)
    return path


@pytest.mark.parametrize(
    ("save", "suffix", "options"),
    [
        (exported, ".pt2", {}),
        (scripted, ".pt", {}),
        (recorded, ".pth", {}),
        (pickled, ".pt", {"trust": True}),
    ],
    ids=["torch.export", "scripted", "traced", "pickled"],
)
def test_a_saved_network_gives_in_tiles_what_it_gives_whole(
    network: Small, tmp_path: Path, save: Callable[[nn.Module, Path], Path], suffix: str, options: dict[str, object]
) -> None:
    path = save(network, tmp_path / f"mine{suffix}")
    expected = whole(network, image())
    assert np.abs(tiled(load_model(path, **options), image()) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_weights_with_an_architecture_give_in_tiles_what_the_network_gives_whole(
    network: Small, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"mine{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(network.state_dict(), path)
    model = load_model(path, architecture=f"{__name__}:Small", arguments={"outputs": 2})
    expected = whole(network, image())
    assert np.abs(tiled(model, image()) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    "wrap", [lambda s: {f"module.{k}": v for k, v in s.items()}, lambda s: {"epoch": 3, "state_dict": s}]
)
def test_weights_of_dataparallel_and_checkpoints_load_as_they_are(
    network: Small, tmp_path: Path, wrap: Callable[[dict], dict]
) -> None:
    torch.save(wrap(network.state_dict()), tmp_path / "mine.pt")
    model = load_model(tmp_path / "mine.pt", architecture=f"{__name__}:Small")
    assert torch.equal(model.module.first.weight, network.first.weight)


def test_weights_of_a_library_network_load_by_its_name_in_the_table(tmp_path: Path) -> None:
    nets = pytest.importorskip("monai.networks.nets")
    arguments = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": (4, 8), "strides": (2,)}
    made = nets.UNet(**arguments).eval()
    torch.save(made.state_dict(), tmp_path / "mine.pt")
    model = load_model(tmp_path / "mine.pt", architecture="monai:UNet", arguments=arguments)
    assert np.abs(tiled(model, image()) - whole(made, image())).max() < 1e-5


def test_a_fixed_size_is_said_and_run_on_that_size_alone(network: Small, tmp_path: Path) -> None:
    torch.export.save(torch.export.export(network, (torch.zeros(1, 1, 32, 32),)), tmp_path / "mine.pt2")
    model = load_model(tmp_path / "mine.pt2")
    assert "32 x 32 only" in model.title
    fits = image((1, 32, 32))
    assert np.abs(tiled(model, fits) - whole(network, fits)).max() < 1e-5
    with pytest.raises(TraceFailed, match=r"at 90 x 118 .* it takes an input of 32 x 32 only: run it approximately"):
        ns.prepare(model, image())


def test_a_dynamic_size_is_said(network: Small, tmp_path: Path) -> None:
    model = load_model(exported(network, tmp_path / "mine.pt2"))
    assert "or more x " in model.title
    assert model.channels == 1


def test_an_exported_network_that_wants_multiples_gets_them(tmp_path: Path) -> None:
    network = UNet(1, 2, (4, 4, 4)).eval()
    model = load_model(exported(network, tmp_path / "mine.pt2"))
    pixels = image((1, 90, 118))
    padded = np.pad(pixels, [(0, 0), (0, 2), (0, 2)], mode="reflect")
    assert np.abs(tiled(model, pixels) - whole(network, padded)[:, :90, :118]).max() < 1e-5


def test_an_export_for_batches_is_refused(network: Small, tmp_path: Path) -> None:
    torch.export.save(torch.export.export(network, (torch.zeros(2, 1, 32, 40),)), tmp_path / "mine.pt2")
    with pytest.raises(ModelError, match=r"one image at a time; mine\.pt2 was exported for batches of 2; export it"):
        load_model(tmp_path / "mine.pt2")


def test_a_script_that_looks_at_pixels_is_refused_and_runs_approximately(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Branching().eval()
    model = load_model(scripted(network, tmp_path / "mine.pt"))
    with pytest.raises(TraceFailed, match=r"no branches on pixel values|run it approximately"):
        ns.prepare(model, image())
    blended = tiled(model, image(), approximate=True)
    inner = np.s_[:, 8:-8, 8:-8]
    assert np.abs(blended - whole(network, image()))[inner].max() < 1e-4


def test_a_script_with_loops_and_lists_is_exact(tmp_path: Path) -> None:
    nets = pytest.importorskip("monai.networks.nets")
    network = nets.SegResNet(2, 8, 1, 2).eval()
    model = load_model(scripted(network, tmp_path / "mine.pt"))
    pixels = image((1, 64, 80))
    assert np.array_equal(whole(model.module, pixels), whole(network, pixels))
    assert np.abs(tiled(model, pixels) - whole(network, pixels)).max() < 1e-4


def test_loading_torchscript_says_nothing_of_its_deprecation(
    network: Small, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    load_model(scripted(network, tmp_path / "mine.pt"))
    assert [w for w in recwarn if w.category is DeprecationWarning] == []


def test_onnx_is_answered_with_what_to_bring_instead(tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(b"onnx")
    with pytest.raises(ModelError, match=r"got the ONNX file mine\.onnx, and no converter to torch that is kept up"):
        load_model(tmp_path / "mine.onnx")


def test_a_mismatch_lists_names_neighbours_and_the_likely_cause(network: Small, tmp_path: Path) -> None:
    state = {f"encoder.{key}": value for key, value in network.state_dict().items()}
    torch.save(state, tmp_path / "mine.pt")
    with pytest.raises(
        WeightsMismatch,
        match=r"mine\.pt: .*4 missing \(first\.weight, .*4 unexpected \(encoder\.first\.weight.*nearest names: "
        r"encoder\.first\.weight for first\.weight.*every name begins with 'encoder\.'",
    ):
        load_model(tmp_path / "mine.pt", architecture=f"{__name__}:Small")


def test_other_numbers_of_classes_are_the_likely_cause_where_only_shapes_differ(network: Small, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "mine.pt")
    with pytest.raises(
        WeightsMismatch, match=r"2 of another shape .*last\.weight is 2 x 8 x 3 x 3 and not 5 x 8 x 3 x 3.*keyword"
    ):
        load_model(tmp_path / "mine.pt", architecture=f"{__name__}:Small", arguments={"outputs": 5})


@pytest.mark.parametrize(
    ("architecture", "arguments", "kind", "says"),
    [
        ("unett", {}, UnknownModel, r"got 'unett': did you mean 'unet'"),
        ("monai:BasicUnett", {}, UnknownModel, r"did you mean 'monai:BasicU[Nn]et'"),
        ("monai:sys", {}, UnknownModel, r"got 'monai:sys'"),
        ("no_such_package:make", {}, ModelError, r"needs the package no_such_package; it cannot be imported"),
        (f"{__name__}:Small", {"depth": 3}, ModelError, r"unexpected keyword argument 'depth'; check the arguments"),
        (f"{__name__}:lacking", {}, ModelError, r"No module named 'no_such_package'; install what is missing"),
        ("unet", {"inputs": 1, "outputs": 1, "spatial_dims": 4}, ModelError, r"2 \(planes\) or 3 \(volumes\); got 4"),
        (f"{__name__}:image", {}, ModelError, r"must give a torch\.nn\.Module; .*:image gave a ndarray"),
        ("timm:resnet18", {"pretrained": True}, ModelError, r"weights come from a file of yours"),
        ("unet", {"inputs": 1}, ModelError, r"missing 1 required positional argument"),
    ],
)
def test_an_architecture_that_cannot_be_made_is_explained(
    network: Small, tmp_path: Path, architecture: str, arguments: dict[str, object], kind: type, says: str
) -> None:
    torch.save(network.state_dict(), tmp_path / "mine.pt")
    with pytest.raises(kind, match=says):
        load_model(tmp_path / "mine.pt", architecture=architecture, arguments=arguments)


@pytest.mark.parametrize("name", ["mine.pt2", "mine.zip", "mine.pth", "mine.onnx"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputNotFound, match=rf"none at .*{name}"):
        load_model(tmp_path / name)


def test_the_module_of_this_file_can_be_imported() -> None:
    assert __name__ in sys.modules
