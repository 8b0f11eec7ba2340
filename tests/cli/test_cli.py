"""The command line, as somebody at a terminal would meet it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

import imageio.v3
import numpy as np
import pytest
import tifffile
import zarr

import napari_seamless as ns
from napari_seamless.cli import main
from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.runs.option_text import parse_region

needs_display = pytest.mark.skipif(
    sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")),
    reason="needs a display: run under xvfb-run",
)
COMMAND = [sys.executable, "-m", "napari_seamless"]


@pytest.fixture(scope="module")
def slide() -> str:
    """The sample slide's path, as the command line says it."""
    return subprocess.run([*COMMAND, "sample"], capture_output=True, text=True, check=True).stdout.strip()


def run_stain(slide: str, output: Path, *more: str) -> list[str]:
    return ["run", slide, "--model", "stain", "--output", str(output), "--device", "cpu", *more]


def pixels(output: Path) -> np.ndarray:
    """Level 0 of a written OME-Zarr."""
    group = zarr.open_group(output, mode="r")
    return np.asarray(group[group.attrs["ome"]["multiscales"][0]["datasets"][0]["path"]])


def test_run_writes_the_result_that_python_gives(
    slide: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.ome.zarr"
    assert main(run_stain(slide, output, "--region", "300:420,500:650", "--scheduler", "serial")) == 0
    assert capsys.readouterr().out.strip() == str(output)
    region = Region.of((300, 420), (500, 650))
    expected = ns.run(ns.load_model("stain"), ns.open_image(slide), region=region, device="cpu", scheduler="serial")
    np.testing.assert_array_equal(pixels(output)[..., 300:420, 500:650], np.asarray(expected))


def test_the_same_command_again_goes_on_and_computes_nothing_twice(
    slide: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = run_stain(slide, tmp_path / "out.ome.zarr", "--region", "0:200,0:200", "--scheduler", "serial")
    assert main(command) == 0
    capsys.readouterr()
    assert main(command) == 0
    assert "nothing was left to do" in capsys.readouterr().err


def test_models_lists_every_name_with_its_description(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(ns.model_names())
    assert all(ns.describe_model(line.split()[0]) in line for line in lines)


def test_info_says_size_channels_and_pixel_size(slide: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", slide]) == 0
    said = capsys.readouterr().out
    assert re.search(r"level 0 +2967 x 2220", said)
    assert "3 (RGB) of uint8" in said
    assert re.search(r"pixel size +0\.499 x 0\.499 micrometer", said)


def test_explain_names_halo_stride_and_bytes(slide: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", slide, "--model", "nuclei", "--budget", "1GB", "--device", "cpu"]) == 0
    said = capsys.readouterr().out.lower()
    for word in ("halo", "stride", "tile", "conv"):
        assert word in said


def test_sample_is_copied_and_never_over_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(tmp_path)]) == 0
    copied = Path(capsys.readouterr().out.strip())
    assert copied.parent == tmp_path
    assert ns.open_image(copied).info.levels.shape(0) == (2967, 2220)
    assert main(["sample", str(tmp_path)]) == 7
    assert "exists" in capsys.readouterr().err


def test_an_error_is_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "nowhere.tif"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("napari-seamless: ")
    assert said.err.count("\n") == 1


def test_debug_shows_where_the_error_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--debug", "info", "nowhere.tif"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_help_does_not_load_torch() -> None:
    code = "from napari_seamless.cli import main; import sys; main(['run', '--help']); print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "--region" in said
    assert said.endswith("False\n")


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == ns.__version__


@pytest.mark.parametrize(
    ("text", "region"),
    [("0:10,5:20", Region.of((0, 10), (5, 20))), ("1:2, 0:10, 5:20", Region.of((1, 2), (0, 10), (5, 20)))],
)
def test_a_region_is_read_half_open(text: str, region: Region) -> None:
    assert parse_region(text) == region


@pytest.mark.parametrize("text", ["", "5", "0:10", "0:10,20:5", "-5:10,0:5", "a:b,0:5", "0:1,0:1,0:1,0:1", "3:3,0:5"])
def test_a_region_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="region"):
        parse_region(text)


def test_a_log_file_gets_few_lines_and_no_control_characters(slide: str, tmp_path: Path) -> None:
    command = [*COMMAND, *run_stain(slide, tmp_path / "out.ome.zarr", "--region", "0:600,0:600", "--tile", "64")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stderr
    assert "\r" not in done.stderr
    assert len(done.stderr.splitlines()) <= 4
    assert "MP in" in done.stderr
    assert re.search(
        r"memory: [\d.]+ [kMG]B predicted for tiles at most; the whole process grew by [\d.]+ [kMGb]", done.stderr
    )


def in_a_terminal(command: list[str]) -> str:
    """What a command prints when its standard error is a terminal."""
    import pty  # POSIX only

    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    ) as run:
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 4096):
                said += piece
        except OSError:  # Linux says so when the other end is closed
            pass
        assert run.wait(60) == 0
    os.close(ours)
    return said.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_bar_with_throughput(slide: str, tmp_path: Path) -> None:
    said = in_a_terminal([*COMMAND, *run_stain(slide, tmp_path / "out.ome.zarr", "--region", "0:600,0:600")])
    assert "100%" in said
    assert "MP/s" in said


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(slide: str, tmp_path: Path) -> None:
    output = tmp_path / "out.ome.zarr"
    nuclei = ["run", slide, "--output", str(output), "--device", "cpu", "--tile", "256", "--region", "0:1024,0:1024"]
    with subprocess.Popen(
        [*COMMAND, *nuclei],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background would ignore it
    ) as run:
        while run.poll() is None and not has_chunks(output):
            sleep(0.05)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=120)
    assert run.returncode == 130, said
    assert "kept" in said
    assert "same command" in said
    assert "Traceback" not in said
    kept = np.count_nonzero(pixels(output))
    assert kept > 0
    again = subprocess.run([*COMMAND, *nuclei], capture_output=True, text=True, check=True)
    assert np.count_nonzero(pixels(output)) > kept, again.stderr


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A style network with random weights, as a file: it looks at the whole plane 15 times."""
    import torch

    from napari_seamless.models.networks.style_transfer import StyleNetwork

    torch.manual_seed(0)
    torch.save(StyleNetwork().state_dict(), tmp_path / "painted.pth")
    return tmp_path / "painted.pth"


def test_passes_are_counted_checked_and_their_moments_serve_again(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "tiny.tif"
    tifffile.imwrite(image, np.random.default_rng(0).integers(60, 255, (70, 90, 3), np.uint8), photometric="rgb")

    def run(name: str, *more: str) -> int:
        command = ["run", str(image), "--model", str(weights), "-o", str(tmp_path / name), "--device", "cpu"]
        return main([*command, "--scheduler", "serial", *more])

    moments, scratch = tmp_path / "m.safetensors", tmp_path / "scratch"
    assert run("a.ome.zarr", "--keep", "disk", "--scratch", str(scratch), "--save-moments", str(moments)) == 0
    said = capsys.readouterr().err
    assert "tiles in 16 passes" in said
    assert re.search(r"^same as on the whole image: max difference \S+ over \d checks$", said, re.MULTILINE)
    assert list(scratch.iterdir()) == []
    for statistics in (moments, tmp_path / "a.ome.zarr"):
        output = f"{statistics.stem}-again.ome.zarr"
        assert run(output, "--statistics", str(statistics), "--region", "0:64,0:64") == 0
        assert "passes" not in capsys.readouterr().err
        np.testing.assert_array_equal(
            pixels(tmp_path / output)[:, :64, :64], pixels(tmp_path / "a.ome.zarr")[:, :64, :64]
        )
    assert run("h.ome.zarr", "--keep", "host", "--keep-half", "--region", "0:64,0:64") == 0
    assert "rounded: max difference" in capsys.readouterr().err


def test_parameters_of_passes_are_refused_in_one_line(
    slide: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = {
        ("--keep", "somewhere"): (2, "keep is one of auto, recompute, device, host, disk; got 'somewhere'"),
        ("--statistics", "every"): (2, "got 'every'"),
        ("--statistics", "nowhere.safetensors"): (3, "there is none at nowhere.safetensors"),
        ("--save-moments", str(tmp_path / "m.safetensors")): (2, "had nothing to measure"),
    }
    for number, (more, (code, words)) in enumerate(refused.items()):
        command = run_stain(slide, tmp_path / f"{number}.ome.zarr", "--region", "0:64,0:64", "--scheduler", "serial")
        assert main([*command, *more]) == code
        said = capsys.readouterr().err.splitlines()
        assert words in said[-1]
        assert said[-1].startswith("napari-seamless: ")


def test_explain_names_passes_and_what_is_kept(
    small_slide: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(small_slide), "--model", str(weights), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "barriers     instance_norm 15: measured over the whole image first" in said
    assert re.search(r"passes +16; between them at most .* on the device", said)


def has_chunks(output: Path) -> bool:
    """Whether at least one chunk of level 0 is on disk."""
    return any(path.is_file() for path in output.glob("**/0/c/**/*"))


@pytest.fixture
def small_slide(tmp_path: Path) -> Path:
    """A small RGB image with something in it."""
    path = tmp_path / "small.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(60, 255, (300, 400, 3), np.uint8), photometric="rgb")
    return path


def test_view_without_a_display_runs_all_the_same(small_slide: Path, tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [*COMMAND, "view", str(small_slide), "--model", "stain"]
    done = subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True)
    if sys.platform.startswith("linux"):
        assert done.returncode == 0, done.stderr
        assert "no display" in done.stderr
        assert done.stdout.strip() == "small-stain.ome.zarr"
        assert np.count_nonzero(pixels(tmp_path / "small-stain.ome.zarr")) > 0


@needs_display
@pytest.mark.gui
def test_view_runs_the_model_in_a_window_and_takes_its_picture(small_slide: Path, tmp_path: Path) -> None:
    output, picture = tmp_path / "out.ome.zarr", tmp_path / "window.png"
    command = [*COMMAND, "view", str(small_slide), "--model", "stain", "--output", str(output)]
    environment = {**os.environ, "NAPARI_CONFIG": str(tmp_path / "napari.yaml")}
    done = subprocess.run([*command, "--screenshot", str(picture)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(output), str(picture)]
    assert np.count_nonzero(pixels(output)) > 0
    assert imageio.v3.imread(picture).std() > 10


@needs_display
@pytest.mark.gui
def test_view_refuses_what_cannot_work_before_a_window_opens(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "view", str(tmp_path / "nowhere.tif")], capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1


@needs_display
@pytest.mark.gui
def test_what_the_window_refuses_has_the_exit_code_of_run(small_slide: Path, tmp_path: Path) -> None:
    region = ("--region", "0:9999,0:10", "--screenshot", str(tmp_path / "window.png"))
    environment = {**os.environ, "NAPARI_CONFIG": str(tmp_path / "napari.yaml")}
    command = [*COMMAND, "view", str(small_slide), "--model", "stain", *region]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "napari-seamless: a region must lie inside the image" in done.stderr
