"""What is shown is run: README's Python and shell lines, and every script in examples/."""

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest

import napari_seamless as ns
from napari_seamless.cli import main
from napari_seamless.io.readers import sample_slide

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of README in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to work in, with a slide in it."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(sample_slide(), tmp_path / "slide.svs")
    return tmp_path


def test_the_python_lines_run(here: Path) -> None:
    code = "\n".join(blocks("python"))
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["nuclei"].shape[-2:] == (300, 300)  # type: ignore[attr-defined]
    assert (here / "nuclei.ome.zarr" / "zarr.json").exists()
    assert names["network"][0].weight.grad.abs().sum() > 0  # type: ignore[index]


def test_the_shell_lines_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "slide.svs").unlink()
    (lines,) = blocks("shell")
    for line in lines.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "napari-seamless"
        assert main(arguments) == 0, (line, capsys.readouterr().err)
    assert (here / "region.ome.zarr" / "zarr.json").exists()
    measured = ns.measure("region.ome.zarr")
    assert measured.pixels == 300 * 300
    assert measured.count() == len((here / "nuclei.csv").read_text().splitlines()) - 1
    assert len(ns.objects_of("cells.ome.zarr")) == (here / "cells.geojson").read_text().count('"detection"')


def test_the_page_on_cells_runs_from_top_to_bottom(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "cells.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    (here / "slide.svs").unlink()
    for language, code in re.findall(r"```(python|shell)\n(.*?)```", page, flags=re.DOTALL):
        if language == "python":
            exec(compile(code, "cells.md", "exec"), names)
            continue
        for line in code.splitlines():
            assert main(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
    cells, fewer = names["cells"], names["fewer"]
    assert len(fewer) < len(cells) == len((here / "cells.csv").read_text().splitlines()) - 1  # type: ignore[arg-type]


def test_the_page_on_networks_of_ones_own_runs_from_top_to_bottom(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NAPARI_SEAMLESS_DATA", str(here / "data"))
    monkeypatch.syspath_prepend(str(here))
    page = (ROOT / "docs" / "own-network.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for language, code in re.findall(r"```(python|shell)\n(.*?)```", page, flags=re.DOTALL):
        if language == "python":
            exec(compile(code, "own-network.md", "exec"), names)
            continue
        for line in code.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "napari-seamless"
            assert main(arguments) == 0, (line, capsys.readouterr().err)
    assert names["labels"].shape == (3, 100, 100)  # type: ignore[attr-defined]
    said = capsys.readouterr()
    assert "rounded, in bfloat16, against float32" in said.err
    assert "Rings and what is not" in said.out


@pytest.mark.parametrize(
    ("script", "arguments", "says"),
    [
        ("segment_slide.py", ["slide.svs", "out.ome.zarr", "--rows", "256"], "belong to nuclei"),
        (
            "own_network.py",
            ["--size", "300"],
            r"largest difference from the whole image: \d\.\de-(0[6-9]|[1-9]\d)|0.0e\+00",
        ),
        ("region_of_gigapixel.py", ["--rows", "128"], r"128\) out of \(100000, 100000\)"),
        ("cluster.py", ["slide.svs", "out.ome.zarr", "--rows", "256"], "tiles"),
        ("streamed_training.py", ["--size", "96"], r"step 4: loss 0\.[0-6]\d+"),
        (
            "style_a_gigapixel_image.py",
            ["styled.ome.zarr", "--sample", "192", "--region", "50176", "50240", "49664", "49728"],
            "painted to styled.ome.zarr",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(".py") else "",
)
def test_an_example_runs(
    script: str,
    arguments: list[str],
    says: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    runpy.run_path(str(ROOT / "examples" / script), run_name="__main__")
    assert re.search(says, capsys.readouterr().out)


def test_an_example_is_short_and_no_example_is_forgotten() -> None:
    scripts = {path.name: path for path in (ROOT / "examples").glob("*.py")}
    assert set(scripts) == {
        "segment_slide.py",
        "own_network.py",
        "region_of_gigapixel.py",
        "cluster.py",
        "streamed_training.py",
        "style_a_gigapixel_image.py",
        "train_nuclei.py",
        "train_pixelwise.py",
        "train_style.py",
    }
    for name, path in scripts.items():
        assert name.startswith("train_") or len(path.read_text(encoding="utf-8").splitlines()) < 46


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_every_file_that_readme_points_to_is_there(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize("target", re.findall(r"`make (\w+)`|^    make (\w+)", README, flags=re.MULTILINE))
def test_every_make_target_in_readme_is_there(target: tuple[str, str]) -> None:
    assert f"\n{target[0] or target[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
