"""Makes the pictures of the README from a real run on the sample slide: docs/images/*.png.

xvfb-run -a -s "-screen 0 1920x1080x24" python docs/make_screenshots.py [FOLDER] [WIDTHxHEIGHT]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from time import monotonic, sleep
from typing import Any

NAME = "napari-seamless"
STYLE, STYLE_SIZE = "style-wave", (1280, 800)
PATIENCE = 1200


class Session:
    """A napari window with the dock in it, and a camera."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        import napari

        self.folder = folder
        self.viewer = napari.Viewer(title="napari")
        self.viewer.window.resize(*size)
        _, self.dock = self.viewer.window.add_plugin_dock_widget(NAME)

    def until(self, reached: Callable[[Any], bool]) -> None:
        """Lets the window live until a snapshot of the dock is as wanted."""
        end = monotonic() + PATIENCE
        while not reached(self.dock.poll()):
            if monotonic() > end:
                raise TimeoutError(f"still {self.dock.snapshot}")
            self.live(0.02)

    def live(self, seconds: float) -> None:
        from napari.qt import get_qapp
        from qtpy.QtCore import QEvent

        app, end = get_qapp(), monotonic() + seconds
        while monotonic() < end:
            app.processEvents()
            app.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)  # else napari's activity goes on for ever
            sleep(0.005)

    def take(self, name: str) -> None:
        """A picture of the whole window, in 256 colours: a quarter of the size."""
        from PIL import Image

        self.live(0.3)
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        picture = Image.fromarray(pixels[..., :3]).quantize(256, dither=Image.Dither.NONE)
        picture.save(self.folder / f"{name}.png", optimize=True)


def main(folder: Path, size: tuple[int, int], slide: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    session = Session(folder, size)
    session.take("start")
    session.dock.open(slide)
    session.until(lambda now: now.phase == "preparing")
    session.take("preparing")
    session.dock.choose_model("nuclei")
    session.until(lambda now: now.choice is not None)
    session.dock.panel.tile.slider.setValue(2)
    session.take("ready")
    session.dock.run()
    session.until(lambda now: now.phase == "running" and now.progress.fraction > 0.2)
    session.take("running")
    session.dock.panel.runPressed.emit()
    session.until(lambda now: now.phase == "paused")
    session.take("paused")
    session.dock.panel.runPressed.emit()
    session.until(lambda now: now.phase == "finished")
    session.viewer.scene.camera.zoom *= 5
    session.take("finished")
    with tempfile.TemporaryDirectory() as taken:
        (Path(taken) / "notes.txt").write_text("not a result")
        session.dock.panel.output._path.setText(taken)
        session.dock.run()
        session.until(lambda now: now.problem is not None)
        session.take("error")
    session.viewer.close()


def paint(folder: Path, slide: Path) -> None:
    """A network that must measure the whole slide before it paints."""
    session = Session(folder, STYLE_SIZE)
    session.dock.open(slide)
    session.until(lambda now: now.phase == "preparing")
    session.dock.choose_model(STYLE)
    session.until(lambda now: now.choice is not None)
    session.viewer.scene.camera.zoom *= 2.5
    session.dock.panel.tile.slider.setValue(2)
    session.dock.run()
    session.until(lambda now: now.phase == "finished")
    session.take("style")
    session.viewer.close()


if __name__ == "__main__":
    os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    width, height = (sys.argv[2] if len(sys.argv) > 2 else "1600x1000").split("x")
    with as_file(files("napari_seamless") / "sources" / "data" / "CMU-1-Small-Region.svs") as sample:
        main(target, (int(width), int(height)), sample)
        paint(target, sample)
