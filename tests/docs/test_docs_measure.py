"""What docs/measure.md shows is run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from label_images import cells, store_of
from napari_seamless.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "measure.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a slide, a result and an annotation in it."""
    monkeypatch.chdir(tmp_path)
    store_of(cells(), tmp_path / "nuclei.ome.zarr")
    slide = np.random.default_rng(0).integers(40, 250, (*cells().shape, 3), np.uint8)
    tifffile.imwrite(tmp_path / "slide.svs", slide, photometric="rgb", tile=(64, 64))
    square = {"type": "Polygon", "coordinates": [[[50, 30], [250, 30], [250, 150], [50, 150], [50, 30]]]}
    feature = {"type": "Feature", "geometry": square, "properties": {"objectType": "annotation"}}
    (tmp_path / "annotations.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return tmp_path


def test_the_python_lines_run(here: Path) -> None:
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL):
        exec(compile(code, "measure.md", "exec"), names)
    assert len((here / "nuclei.csv").read_text().splitlines()) == names["found"].count() + 1
    assert names["part"].pixels == 100 * 200
    assert names["inside"].pixels == 120 * 200


def test_the_shell_lines_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```shell\n(.*?)```", TEXT, flags=re.DOTALL)
    for line in "".join(blocks).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "napari-seamless"
        assert main(arguments) == 0, (line, capsys.readouterr().err)
    assert (here / "objects.csv").exists()
    assert (here / "areas.csv").exists()


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", TEXT))
def test_every_file_that_the_page_points_to_is_there(target: str) -> None:
    assert (PAGE.parent / target).exists()
