"""Every option of a run can be said in Python, in a shell to `run` and to `view`, and in the window."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import typer
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QComboBox, QFileDialog

import napari_seamless as ns
from docks import docked
from gui_fakes import FakePipeline
from napari_seamless._napari.layers.annotation_shapes import roi_in
from napari_seamless._napari.run.copy_as import as_command
from napari_seamless._napari.run.option_places import FORM, place_of
from napari_seamless._napari.widgets import Budget, Extent, TileSetting
from napari_seamless.cli import main, run_options
from napari_seamless.cli.run_options import config_from
from napari_seamless.errors import BadRequest, InputNotFound
from napari_seamless.runs.config import OPTIONS, RunConfig
from napari_seamless.runs.keywords import PREPARE
from napari_seamless.runs.option import option_of
from napari_seamless.runs.roi import roi_of

SQUARE = [[10, 20], [60, 20], [60, 50], [10, 50], [10, 20]]
HOLE = [[20, 30], [40, 30], [40, 40], [20, 40], [20, 30]]
FILES = {"roi": "drawn.geojson", "output": "out.ome.zarr", "scratch": "scratch"}
"""Relative to the folder of a test."""
VALUES: dict[str, Any] = {
    "axes": "tzcyx",
    "scene": "second",
    "plane": {"t": 1, "z": 2},
    "channels": (2, 0, 1),
    "pixel_size": 0.25,
    "value_range": (0.0, 1048575.0),
    "level": 1,
    "region": ns.Region.of((0, 64), (10, 80)),
    "budget": 2**31,
    "tile": 192,
    "keep": "disk",
    "keep_half": True,
    "overwrite": True,
    "shards": True,
    "same_image": True,
    "statistics": "tissue",
    "tissue_threshold": 0.1,
    "compare_to_whole": True,
    "device": "cpu",
    "precision": "bfloat16",
    "scheduler": "tcp://host:8786",
    "network_output": "aux",
    "approximate": True,
}
PYTHON_ONLY = {"mask"}
"""Arrays: no shell and no window can have them."""


class RealImages(FakePipeline):
    """Files are opened by the library; everything else is made up."""

    def open_image(self, what: Any, **options: Any) -> Any:
        return ns.open_image(what, **options) if isinstance(what, str | Path) else super().open_image(what, **options)


@pytest.fixture
def everything(tmp_path: Path) -> RunConfig:
    """A config of which no option has its default."""
    features = [
        {"type": "Feature", "properties": {"name": name}, "geometry": {"type": "Polygon", "coordinates": rings}}
        for name, rings in (("tumour", [SQUARE, HOLE]), ("stroma", [[[1, 1], [8, 1], [8, 8], [1, 1]]]))
    ]
    (tmp_path / FILES["roi"]).write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return RunConfig.of(**VALUES, **{name: tmp_path / file for name, file in FILES.items()})


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Two images, each of 2 times, 3 planes and 3 channels."""
    pixels = np.random.default_rng(0).integers(0, 255, (2, 3, 3, 64, 96), np.uint8)
    with tifffile.TiffWriter(tmp_path / "stack.ome.tif", ome=True) as file:
        for name in ("first", "second"):
            file.write(pixels, metadata={"axes": "TZCYX", "Name": name}, photometric="minisblack")
    return tmp_path / "stack.ome.tif"


@pytest.fixture
def shown(qtbot: QtBot, make_napari_viewer, stack: Path, everything: RunConfig) -> Any:
    """A dock in which all of that was put."""
    files = RealImages()
    dock = docked(make_napari_viewer(), files)
    dock.choose_model("nuclei")
    dock.open(stack, everything.image)
    qtbot.waitUntil(lambda: dock.poll().phase != "empty")
    dock.show_config(everything)
    return dock


def test_no_option_is_forgotten(everything: RunConfig) -> None:
    """A new option needs a value above; its row in the window comes by itself."""
    assert everything.non_defaults().keys() | PYTHON_ONLY == OPTIONS.keys()
    assert {name for name in OPTIONS if not place_of(name)} == PYTHON_ONLY
    assert {name for name, of in OPTIONS.items() if not option_of(of).in_shell} == PYTHON_ONLY


def test_the_window_shows_every_option_and_copies_it(shown, everything: RunConfig) -> None:
    assert shown._selection.settings(False, 2).config == everything
    assert shown.panel.budget.value() == Budget.of_bytes(2**31)
    assert shown.panel.tile.value() == TileSetting(192, follows_budget=False)
    assert shown.panel.options.fold.text() == "More options (14 set)"


def test_the_run_of_the_window_gets_every_option(qtbot: QtBot, shown, everything: RunConfig) -> None:
    pipeline = shown._backend
    shown.run()
    qtbot.waitUntil(lambda: shown.poll() is not None and bool(pipeline.runs))
    heard = {**pipeline.prepared_with[-1], **pipeline.runs[-1].options}
    assert {name: heard[name] for name in (*FORM, *FILES, "budget", "tile")} == {
        name: everything[name] for name in (*FORM, *FILES, "budget", "tile")
    }
    assert pipeline.prepared_with[-1].keys() <= PREPARE
    seen = pipeline.seen[-1]
    assert (seen.scene, dict(seen.plane), seen.channels) == ("second", {"t": 1, "z": 2}, 3)
    assert "channels 2,0,1" in seen.identity
    assert seen.pixel_size == (0.25, 0.25)
    assert {"device": "cpu", "precision": "bfloat16"} in pipeline.places


@pytest.mark.parametrize("verb", ["run", "view"])
def test_a_shell_takes_every_option(shown, everything: RunConfig, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """As the window copies it."""
    heard = []

    def hear(typed: Any) -> RunConfig:
        heard.append(config_from(typed))
        raise typer.Exit

    monkeypatch.setattr(run_options, "config_from", hear)
    main([verb, *shlex.split(as_command(shown._selection.settings(False, 2)))[2:]])
    assert heard == [everything]


def test_shapes_of_a_file_keep_names_and_holes_and_are_no_file_any_more_once_they_are_edited(shown) -> None:
    (layer,) = [layer for layer in shown._viewer.layers if layer.name == "drawn"]
    image = shown._selection.image()
    assert list(layer.features["name"]) == ["tumour", "stroma"]
    from_file = roi_of(roi_in(layer, image)).shapes
    moved = [points.copy() for points in layer.data]
    moved[1][:, -1] += 3
    layer.data = moved
    edited = roi_in(layer, image)
    assert isinstance(edited, dict)
    assert [feature["properties"] for feature in edited["features"]] == [{"name": "tumour"}, {"name": "stroma"}]
    assert roi_of(edited).shapes.area == pytest.approx(from_file.area)
    assert from_file.area == pytest.approx(50 * 30 - 20 * 10 + 49 / 2)
    run = shown._selection.settings(False, 2)
    first, _, _ = as_command(run).partition(" && ")
    assert json.loads(shlex.split(first)[1]) == edited, "what is drawn stands in a command with its names"
    layer.add_rectangles(np.array([[0, 0], [9, 9]], float))
    assert list(layer.features["name"]) == ["tumour", "stroma", ""], "what is drawn next has no name yet"


def test_a_region_that_is_not_on_screen_or_of_other_axes_is_refused_when_it_is_copied(qtbot: QtBot, dock) -> None:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    dock.panel.extent.setValue(Extent("view"))
    dock.panel.options.setValue({"region": ns.Region.of((0, 2), (0, 64), (10, 80))})
    with pytest.raises(BadRequest, match="one interval for each of the image's 2 axes"):
        dock._selection.settings(False, 2)
    dock.panel.options.setValue({"region": ns.Region.of((10**6, 10**6 + 9), (0, 9))})
    with pytest.raises(BadRequest, match="some of the region must be on screen"):
        dock._selection.settings(False, 2)


def test_what_is_typed_and_is_no_value_is_said_at_once_and_refused_at_run(qtbot: QtBot, dock, pipeline) -> None:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    region = dock.panel.options._rows["region"].native
    region.setText("0:10")
    region.editingFinished.emit()
    assert "Y0:Y1,X0:X1" in dock.panel.options.problem.value().sentence
    dock.run()
    assert "Y0:Y1,X0:X1" in dock.panel.notices["run"].value().sentence
    assert not pipeline.runs


def test_statistics_of_a_file_stand_in_the_list(qtbot: QtBot, dock, monkeypatch, tmp_path: Path) -> None:
    rows = dock.panel.options._rows["statistics"].native
    assert isinstance(rows, QComboBox)
    asked = iter([str(tmp_path / "old.ome.zarr" / "zarr.json"), ""])
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (next(asked), ""))
    rows.setCurrentText("from a file…")
    assert dock.panel.options.value() == {"statistics": str(tmp_path / "old.ome.zarr")}
    rows.setCurrentText("from a file…")
    assert rows.currentText() == "old.ome.zarr", "a dialog that is closed changes nothing"


def test_what_no_widget_shows_is_refused_and_nothing_changes(dock) -> None:
    mask = np.ones((4, 4), bool)
    with pytest.raises(BadRequest, match="the window takes what can be typed"):
        dock.show_config(RunConfig.of(mask=mask, statistics="tissue", budget="3GB"))
    with pytest.raises(InputNotFound, match="there is none at"):
        dock.show_config(RunConfig.of(roi="nowhere.geojson", budget="3GB"))
    with pytest.raises(BadRequest):
        dock.show_config(RunConfig.of(pixel_size=(0.5, 0.25), level=1, budget="3GB"))
    assert dock.panel.options.value() == {}
    assert not dock._selection.has_budget
