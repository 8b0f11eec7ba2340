"""What the dock puts on the clipboard makes the result that the dock makes."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication

import napari_seamless as ns
from docks import docked
from napari_seamless._napari.run.copy_as import Settings, as_command, as_python
from napari_seamless._napari.widgets import Budget, Extent, OutputChoice, TileSetting
from napari_seamless.cli import main, run_options
from napari_seamless.cli.run_options import config_from
from napari_seamless.geometry import Region
from napari_seamless.runs.config import RunConfig

EVERYTHING = Settings(
    model="/nets/a net.pt",
    image="/slides/it's.svs",
    layer="it's",
    architecture="monai:BasicUNet",
    arguments='{"in_channels": 2}',
    config=RunConfig.of(
        output=Path("/out/a b.ome.zarr"),
        scene="second",
        plane={"t": 3, "z": 10},
        channels=(2, 0),
        pixel_size=0.5,
        region=Region.of((0, 100), (20, 300)),
        roi=[np.array([[1.5, 2.0], [1.5, 9.0], [7.0, 9.0]])],
        budget=500_000_000,
        approximate=True,
        statistics="tissue",
        keep="disk",
    ),
)


def test_a_script_names_everything_that_is_not_the_default() -> None:
    text = as_python(EVERYTHING)
    compile(text, "script", "exec")
    for part in (
        "scene='second'",
        "plane={'t': 3, 'z': 10}",
        "channels=(2, 0)",
        "architecture='monai:BasicUNet', arguments={'in_channels': 2}",
        "region=ns.Region.of((0, 100), (20, 300))",
        "roi=[[(1.5, 2.0), (1.5, 9.0), (7.0, 9.0)]]",
        "pixel_size=0.5",
        "budget=500000000",
        "statistics='tissue'",
        "keep='disk'",
        "approximate=True",
        "output='/out/a b.ome.zarr'",
    ):
        assert part in text


def test_a_command_line_is_understood_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    first, _, command = as_command(EVERYTHING).partition(" && ")
    assert first.endswith("> roi.geojson")
    words = shlex.split(command)
    assert words[:3] == ["napari-seamless", "run", "/slides/it's.svs"]
    assert main(words[1:]) == 3, "everything was parsed, and then the image was not there"
    assert "/slides/it's.svs" in capsys.readouterr().err


def test_a_command_line_says_what_the_config_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option is written, parsed and found again, but for what only a file can say."""
    wanted = EVERYTHING.config.replace(roi=Path("roi.geojson"))
    words = shlex.split(as_command(replace(EVERYTHING, config=wanted)))[2:]
    heard = []
    monkeypatch.setattr(run_options, "config_from", lambda typed: heard.append(config_from(typed)) or heard[0])
    main(["run", *words])
    assert heard == [wanted]


def test_an_image_that_is_only_in_the_viewer_is_named_as_its_layer() -> None:
    text = as_python(Settings("nuclei", None, "tissue", RunConfig.of(output="out.ome.zarr")))
    assert "viewer.layers['tissue']" in text


@pytest.mark.parametrize("way", ["python", "command"])
def test_what_is_copied_makes_the_result_of_the_dock(
    make_napari_viewer, qtbot: QtBot, tmp_path: Path, way: str
) -> None:
    picture = np.random.default_rng(0).integers(60, 255, (500, 700, 3), np.uint8)
    tifffile.imwrite(tmp_path / "slide.tif", picture, tile=(64, 64), photometric="rgb")
    viewer = make_napari_viewer()
    dock = docked(viewer, None)
    dock.open(tmp_path / "slide.tif")
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=240_000)
    dock.choose_model("stain")
    qtbot.waitUntil(lambda: dock.poll().choice is not None, timeout=240_000)
    dock.panel.tile.setValue(TileSetting(128, follows_budget=False))
    dock.panel.extent.setValue(Extent("shapes"))
    dock.draw()
    viewer.layers[-1].add(np.array([[40.0, 50.0], [40.0, 300.0], [200.0, 300.0]]), shape_type="polygon")
    dock.panel.output.setValue(OutputChoice(tmp_path / "dock.ome.zarr"))
    dock.run()
    qtbot.waitUntil(lambda: dock.poll().phase == "finished", timeout=240_000)
    dock.panel.output.setValue(OutputChoice(tmp_path / "copied.ome.zarr"))
    button = dock.panel.advanced.python if way == "python" else dock.panel.advanced.command
    button.click()
    text = QApplication.clipboard().text()
    if way == "python":
        (tmp_path / "script.py").write_text(text)
        text = f"{sys.executable} script.py"
    done = subprocess.run(
        ["sh", "-c", f'PATH="{Path(sys.executable).parent}:$PATH"; {text}'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = (ns.open_image(tmp_path / f"{name}.ome.zarr") for name in ("dock", "copied"))
    whole = Region.from_shape((500, 700))
    np.testing.assert_array_equal(ours.read(whole), theirs.read(whole))
    assert ours.read(whole).any()


def test_the_dock_says_what_is_chosen(qtbot: QtBot, dock, viewer) -> None:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    dock.panel.budget.setValue(Budget(500, "MB"))
    dock.panel.options.setValue({"statistics": "tissue", "keep": "disk"})
    dock.panel.extent.setValue(Extent("view"))
    viewer.scene.camera.zoom, viewer.scene.camera.center = 8, (300, 400)
    dock.panel.advanced.python.click()
    text = QApplication.clipboard().text()
    for part in ("budget=500000000", "statistics='tissue'", "keep='disk'", "region=ns.Region.of(", "layers['tissue']"):
        assert part in text


def test_nothing_is_copied_without_an_image(qtbot: QtBot, dock, viewer) -> None:
    viewer.layers.clear()
    QApplication.clipboard().setText("before")
    dock.panel.advanced.command.click()
    assert QApplication.clipboard().text() == "before"
    assert "choose both" in dock.panel.notices["run"].value().sentence
