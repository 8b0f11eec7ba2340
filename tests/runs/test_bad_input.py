"""Bad input: one clear sentence each, a non-zero exit, and what was finished is kept."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr
from torch import nn

import napari_seamless as ns
from napari_seamless import errors
from napari_seamless.cli import main
from napari_seamless.geometry import Region

RGB = np.random.default_rng(0).integers(0, 255, (600, 700, 3), dtype=np.uint8)


def slide_in(folder: Path) -> Path:
    """A small RGB slide: a tiled TIFF of 64-pixel tiles."""
    path = folder / "slide.tif"
    tifffile.imwrite(path, RGB, tile=(64, 64), photometric="rgb")
    return path


def run_stain(image: Path, folder: Path, *more: str) -> list[str]:
    """A command line that runs the smallest model on an image."""
    return ["run", str(image), "--model", "stain", "--output", str(folder / "out.ome.zarr"), "--device", "cpu", *more]


def missing_file(folder: Path) -> list[str]:
    return run_stain(folder / "nowhere.tif", folder)


def folder_that_is_no_image(folder: Path) -> list[str]:
    (folder / "empty").mkdir()
    return run_stain(folder / "empty", folder)


def text_named_tif(folder: Path) -> list[str]:
    path = folder / "notes.tif"
    path.write_text("this is not an image\n" * 100)
    return run_stain(path, folder)


def empty_file(folder: Path) -> list[str]:
    path = folder / "empty.png"
    path.touch()
    return run_stain(path, folder)


def truncated_tiff(folder: Path) -> list[str]:
    path = slide_in(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return run_stain(path, folder)


def header_only(folder: Path) -> list[str]:
    path = slide_in(folder)
    path.write_bytes(path.read_bytes()[:8])
    return run_stain(path, folder)


def five_channels(folder: Path) -> list[str]:
    path = folder / "five.tif"
    tifffile.imwrite(path, np.zeros((5, 64, 64), np.uint8), metadata={"axes": "CYX"}, ome=True)
    return run_stain(path, folder)


def a_volume(folder: Path) -> list[str]:
    path = folder / "volume.tif"
    tifffile.imwrite(path, np.zeros((5, 64, 64), np.uint8), metadata={"axes": "ZYX"}, ome=True)
    return run_stain(path, folder)


def a_nan(folder: Path) -> list[str]:
    path = folder / "nan.tif"
    values = RGB.astype(np.float32)
    values[310, 420, 1] = np.nan
    tifffile.imwrite(path, values, tile=(64, 64), photometric="rgb")
    return run_stain(path, folder)


def weights_of_another_network(folder: Path) -> list[str]:
    torch.save(nn.Conv2d(3, 3, 3).state_dict(), folder / "other.pt")
    return [*run_stain(slide_in(folder), folder), "--model", str(folder / "other.pt")]


def weights_that_are_no_weights(folder: Path) -> list[str]:
    (folder / "other.safetensors").write_text("not weights")
    return [*run_stain(slide_in(folder), folder), "--model", str(folder / "other.safetensors")]


def missing_weights(folder: Path) -> list[str]:
    return [*run_stain(slide_in(folder), folder), "--model", str(folder / "nowhere.pt")]


def unknown_model(folder: Path) -> list[str]:
    return [*run_stain(slide_in(folder), folder), "--model", "nuclie"]


def output_under_a_file(folder: Path) -> list[str]:
    image = slide_in(folder)
    return [*run_stain(image, folder), "--output", str(image / "out.ome.zarr")]


def output_is_a_file(folder: Path) -> list[str]:
    (folder / "out.ome.zarr").write_text("mine")
    return run_stain(slide_in(folder), folder)


def output_is_a_folder_of_something_else(folder: Path) -> list[str]:
    (folder / "out.ome.zarr").mkdir()
    (folder / "out.ome.zarr" / "thesis.txt").write_text("mine")
    return run_stain(slide_in(folder), folder)


def output_of_another_model(folder: Path) -> list[str]:
    command = run_stain(slide_in(folder), folder, "--region", "0:64,0:64")
    assert main(command) == 0
    return [*command, "--model", "nuclei"]


def tiny_budget(folder: Path) -> list[str]:
    return run_stain(slide_in(folder), folder, "--budget", "1KB")


def budget_that_is_no_size(folder: Path) -> list[str]:
    return run_stain(slide_in(folder), folder, "--budget", "plenty")


def cuda_on_a_machine_without(folder: Path) -> list[str]:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    return [*run_stain(slide_in(folder), folder), "--device", "cuda"]


def unknown_device(folder: Path) -> list[str]:
    return [*run_stain(slide_in(folder), folder), "--device", "abacus"]


def unknown_scheduler(folder: Path) -> list[str]:
    return run_stain(slide_in(folder), folder, "--scheduler", "slurm")


def region_outside(folder: Path) -> list[str]:
    return run_stain(slide_in(folder), folder, "--region", "500:700,0:100")


def level_that_is_not_there(folder: Path) -> list[str]:
    return run_stain(slide_in(folder), folder, "--level", "7")


def tile_of_nothing(folder: Path) -> list[str]:
    return run_stain(slide_in(folder), folder, "--tile", "0")


@dataclass(frozen=True)
class Case:
    """A command line made in a folder, its exit code, and words that the sentence must hold."""

    make: Callable[[Path], list[str]]
    code: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return self.make.__name__


CASES = [
    Case(missing_file, 3, ("nowhere.tif",)),
    Case(folder_that_is_no_image, 3, ("empty",)),
    Case(text_named_tif, 3, ("notes.tif",)),
    Case(empty_file, 3, ("empty.png",)),
    Case(truncated_tiff, 9, ("must be readable everywhere", "left out")),
    Case(header_only, 3, ("slide.tif",)),
    Case(five_channels, 4, ("5", "3", "channel")),
    Case(a_volume, 4, ("stain",)),
    Case(a_nan, 4, ("NaN", "y[", "x[")),
    Case(weights_of_another_network, 5, ("other.pt",)),
    Case(weights_that_are_no_weights, 5, ("other.safetensors",)),
    Case(missing_weights, 3, ("nowhere.pt",)),
    Case(unknown_model, 5, ("nuclie", "nuclei", "stain")),
    Case(output_under_a_file, 7, ("out.ome.zarr",)),
    Case(output_is_a_file, 7, ("out.ome.zarr", "another path")),
    Case(output_is_a_folder_of_something_else, 7, ("out.ome.zarr", "another path")),
    Case(output_of_another_model, 7, ("out.ome.zarr", "overwrite")),
    Case(tiny_budget, 2, ("smallest tile", "use a budget of")),
    Case(budget_that_is_no_size, 2, ("plenty",)),
    Case(cuda_on_a_machine_without, 6, ("cuda",)),
    Case(unknown_device, 6, ("abacus",)),
    Case(unknown_scheduler, 2, ("slurm",)),
    Case(region_outside, 2, ("y[500, 700)",)),
    Case(level_that_is_not_there, 2, ("level", "7")),
    Case(tile_of_nothing, 2, ("tile", "0")),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input_is_one_clear_sentence_and_an_exit_code(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = case.make(tmp_path)
    capsys.readouterr()
    code = main(command)
    *kept, sentence = capsys.readouterr().err.strip().splitlines()
    assert code == case.code, sentence
    assert len(kept) <= 1  # what was finished before, if anything was
    assert sentence.startswith("napari-seamless: ")
    assert [word for word in case.words if word.lower() not in sentence.lower()] == []
    assert "fault of the program" not in sentence


@pytest.mark.parametrize("make", [output_is_a_file, output_is_a_folder_of_something_else], ids=lambda f: f.__name__)
def test_what_was_at_the_output_path_is_untouched(make: Callable[[Path], list[str]], tmp_path: Path) -> None:
    command = make(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    main(command)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_overwrite_refuses_a_folder_that_no_run_has_written(tmp_path: Path) -> None:
    command = output_is_a_folder_of_something_else(tmp_path)
    main([*command, "--overwrite"])
    assert (tmp_path / "out.ome.zarr" / "thesis.txt").read_text() == "mine"


def test_tiles_finished_before_a_nan_are_kept_and_a_mended_file_goes_on(tmp_path: Path) -> None:
    command = [*a_nan(tmp_path), "--tile", "64", "--scheduler", "serial"]
    assert main(command) == 4
    assert np.count_nonzero(level_0(tmp_path / "out.ome.zarr")) > 0


def level_0(output: Path) -> np.ndarray:
    """The finest level of a written OME-Zarr."""
    group = zarr.open_group(output, mode="r")
    return np.asarray(group[group.attrs["ome"]["multiscales"][0]["datasets"][0]["path"]])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 400 kB."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root on Linux can make a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("this system does not let its root mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("scheduler", ["serial", "dask"])
def test_a_full_disk_ends_the_run_and_keeps_what_is_finished(
    scheduler: str, small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = run_stain(slide_in(tmp_path), small_disk, "--tile", "128", "--scheduler", scheduler)
    assert main(command) == 7
    kept, sentence = capsys.readouterr().err.strip().splitlines()
    assert "kept" in kept
    assert "space" in sentence
    assert "out.ome.zarr" in sentence
    room = np.count_nonzero(level_0(small_disk / "out.ome.zarr"))
    assert room > 0
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert main(command) == 0
    assert np.count_nonzero(level_0(small_disk / "out.ome.zarr")) > room


@dataclass(frozen=True)
class PythonCase:
    """The same from Python: a call, the error's class, and what it must say."""

    name: str
    call: Callable[[], object]
    error: type[Exception]
    says: str

    def __str__(self) -> str:
        return self.name


class NeedsNine(nn.Module):
    """Two unpadded convolutions: nothing is left of an image smaller than nine pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 2, 5), nn.Conv2d(2, 1, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 1, y, x) -> (n, 1, y - 8, x - 8)."""
        return self.layers(x)


def gray(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


PYTHON_CASES = [
    PythonCase("missing file", lambda: ns.open_image("nowhere.tif"), FileNotFoundError, r"nowhere\.tif"),
    PythonCase("not an image", lambda: ns.open_image(object()), errors.InputUnreadable, "object"),
    PythonCase("ambiguous axes", lambda: ns.open_image(gray(7, 50, 60)), errors.BadRequest, "axes"),
    PythonCase("unknown model", lambda: ns.load_model("nuclie"), errors.UnknownModel, "did you mean 'nuclei'"),
    PythonCase(
        "wrong channel count",
        lambda: ns.run(NeedsNine(), gray(2, 50, 60), device="cpu"),
        errors.InputMismatch,
        "channel",
    ),
    PythonCase(
        "smaller than the network's minimum",
        lambda: ns.run(NeedsNine(), gray(8, 60), device="cpu"),
        errors.InputMismatch,
        r"8",
    ),
    PythonCase(
        "NaN",
        lambda: ns.run(NeedsNine(), np.full((50, 60), np.nan, np.float32), device="cpu"),
        errors.InputMismatch,
        r"NaN.*y\[",
    ),
    PythonCase(
        "region outside",
        lambda: ns.run(NeedsNine(), gray(50, 60), region=Region.of((40, 51), (0, 60)), device="cpu"),
        errors.BadRequest,
        "region",
    ),
    PythonCase(
        "budget too small",
        lambda: ns.run(NeedsNine(), gray(50, 60), budget=10, device="cpu"),
        errors.BudgetTooSmall,
        "smallest",
    ),
    PythonCase(
        "unknown scheduler",
        lambda: ns.run(NeedsNine(), gray(50, 60), scheduler="slurm", device="cpu"),
        errors.BadRequest,
        "slurm",
    ),
]


@pytest.mark.parametrize("case", PYTHON_CASES, ids=str)
def test_bad_input_in_python_is_a_named_error(case: PythonCase) -> None:
    with pytest.raises(case.error, match=case.says) as caught:
        case.call()
    assert isinstance(caught.value, ns.SeamlessError)
    assert "\n" not in str(caught.value)
