"""Makes the pictures of README and of docs/napari.md, from real runs on the sample slide: docs/images/*.png.

xvfb-run -a -s "-screen 0 1920x1080x24" python docs/make_screenshots.py [FOLDER] [WIDTHxHEIGHT] [THEME]

With a theme, only the states of a run are made.
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

import numpy as np

NAME = "napari-seamless"
ELLIPSE, RECTANGLE = ((400, 1300), (700, 1500)), ((2000, 2500), (800, 1400))
STYLE, STYLE_SIZE = "style-wave", (1280, 800)
PATIENCE = 1200


class Session:
    """A napari window with the dock in it, and a camera."""

    def __init__(self, folder: Path, size: tuple[int, int], theme: str = "dark") -> None:
        import napari

        self.folder = folder
        self.viewer = napari.Viewer(title="napari")
        self.viewer.theme = theme
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

    def take_widget(self, name: str, widget: Any) -> None:
        """A picture of one widget: the dock, or a question. In all colours, as swatches count."""
        from PIL import Image

        self.live(0.5)
        file = self.folder / f"{name}.png"
        widget.grab().save(str(file))
        Image.open(file).convert("RGB").save(file, optimize=True)

    def question(self, kind: str) -> Any:
        """Waits for a dialog of that name."""
        found: list[Any] = []
        self.until(lambda _now: bool(found.extend(self._dialogs(kind)) or found))
        self.live(0.5)
        return found[-1]

    def _dialogs(self, kind: str) -> list[Any]:
        from napari_seamless._napari.widgets import dialogs

        return [d for d in self.dock.findChildren(getattr(dialogs, kind)) if d.isVisible()]


def main(folder: Path, size: tuple[int, int], theme: str, slide: Path) -> None:
    """Every state of the dock, in the order in which a user may see them."""
    folder.mkdir(parents=True, exist_ok=True)
    session = Session(folder, size, theme)
    panel = session.dock.panel
    session.take("start")
    session.dock.open(slide)
    session.until(lambda now: now.phase == "preparing")
    session.take("preparing")
    session.dock.choose_model("nuclei")
    session.until(lambda now: now.choice is not None and now.cost is not None and now.memory is not None)
    panel.tile.slider.setValue(2)
    session.live(1)
    session.take("ready")
    session.dock.run()
    session.until(lambda now: now.phase == "running" and now.progress.fraction > 0.4)
    session.take("running")
    panel.runPressed.emit()
    session.until(lambda now: now.phase == "paused")
    session.take("paused")
    panel.runPressed.emit()
    session.until(lambda now: now.phase == "finished")
    session.viewer.scene.camera.zoom *= 5
    session.take("finished")
    where(session)
    with tempfile.TemporaryDirectory() as taken:
        (Path(taken) / "notes.txt").write_text("not a result")
        panel.output._path.setText(taken)
        session.dock.run()
        session.until(lambda now: now.problem is not None)
        session.take("error")
    session.viewer.close()


def where(session: Session) -> None:
    """Only in shapes, and only what is on screen, until it is stopped."""
    from napari_seamless._napari.widgets import Extent

    viewer, panel = session.viewer, session.dock.panel
    viewer.layers.remove(session.dock.result_layers[0])
    viewer.reset_view()
    panel.extent.setValue(Extent("shapes"))
    session.dock.draw()
    for kind, box in (("ellipse", ELLIPSE), ("rectangle", RECTANGLE)):
        (top, bottom), (left, right) = box
        corners = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
        viewer.layers[-1].add(corners, shape_type=kind)
    session.dock.run()
    session.until(lambda now: now.phase == "finished")
    session.take("shapes")
    viewer.layers.remove(viewer.layers["where to run"])
    panel.extent.setValue(Extent("view"))
    viewer.scene.camera.zoom *= 3
    session.dock.run()
    session.until(lambda now: now.phase == "following")
    session.take("following")
    panel.cancelPressed.emit()
    session.until(lambda now: now.phase == "cancelled")
    session.take("cancelled")
    panel.extent.setValue(Extent())


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


CELLS: dict[str, Any] = {
    "name": "cells",
    "title": "Cells in phase contrast",
    "network": {"architecture": "unet", "arguments": {"inputs": 1, "outputs": 2}},
    "input": {"channels": ["phase"], "dtype": "uint8", "multiple_of": 16},
    "resolution": {"pixel_size": 0.5},
    "output": {"kind": "labels", "classes": [{"value": 0, "name": "background"}, {"value": 1, "name": "cell"}]},
    "card": {"licence": "CC-BY-4.0", "limits": ["cells that touch"]},
}


def bring(folder: Path, slide: Path) -> None:
    """Networks of one's own, and what is asked on their way. Their weights are random: nothing is run."""
    import numpy as np
    import torch
    from safetensors.torch import save_file

    from napari_seamless.models.loaders.recipe_folder import save_recipe
    from napari_seamless.models.networks.unet import UNet

    session = Session(folder, STYLE_SIZE)
    dock, model = session.dock, session.dock.panel.model_section
    dock.open(slide)
    session.until(lambda now: now.choice is not None)
    session.until(lambda _now: bool(model.speed.text()) and "tissue" in dock.panel.image_section.about.text())
    model.card._fold.click()
    session.take_widget("dock-card", dock.panel.column.widget())
    model.card._fold.click()
    with tempfile.TemporaryDirectory() as made:
        weights, pickled, recipe = (Path(made) / name for name in ("mine.safetensors", "whole.pt", "cells"))
        save_file(UNet(inputs=3, outputs=2).state_dict(), weights)
        dock.load_model(weights)
        dialog = session.question("ArchitectureDialog")
        session.until(lambda _now: "unet" in dock._inputs.loader.names)
        dialog.architecture.setText("unet")
        dialog.architecture.editingFinished.emit()
        session.until(lambda _now: bool(dialog.form.names))
        dialog.form.setValue({"inputs": 1, "outputs": 2})
        dialog.load.click()
        session.until(lambda _now: bool(dialog.refusal.toPlainText()))
        session.take_widget("dialog-architecture", dialog)
        dialog.reject()
        torch.save(torch.nn.Conv2d(3, 2, 3), pickled)
        dock.load_model(pickled)
        dialog = session.question("TrustDialog")
        session.take_widget("dialog-trust", dialog)
        dialog.reject()
        save_recipe(recipe, UNet(inputs=1, outputs=2).eval(), CELLS)
        dock.load_model(recipe)
        session.until(lambda now: now.problem is not None and "channels" in now.problem.notice.sentence)
        session.take_widget("dock-channels", dock.panel.column.widget())
        session.viewer.layers.clear()
        session.viewer.add_image(np.zeros((512, 512), np.uint8), name="phase contrast")
        session.until(lambda now: now.problem is not None and "pixel size" in now.problem.notice.sentence)
        session.take_widget("dock-pixel-size", dock.panel.column.widget())
        dock.panel.image_section.options.pixelSizeRequested.emit()
        dialog = session.question("PixelSizeDialog")
        session.take_widget("dialog-pixel-size", dialog)
        dialog.reject()
    session.viewer.close()


if __name__ == "__main__":
    os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")
    os.environ["NAPARI_SEAMLESS_DATA"] = tempfile.mkdtemp()
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    width, height = (sys.argv[2] if len(sys.argv) > 2 else "1600x1000").split("x")
    with as_file(files("napari_seamless.io.readers") / "data" / "CMU-1-Small-Region.svs") as sample:
        main(target, (int(width), int(height)), sys.argv[3] if len(sys.argv) > 3 else "dark", sample)
        if len(sys.argv) <= 3:
            bring(target, sample)
            paint(target, sample)
