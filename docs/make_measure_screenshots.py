"""Makes the pictures of docs/measure.md from a real run on the sample slide: docs/images/measure*.png.

xvfb-run -a -s "-screen 0 1920x1080x24" python docs/make_measure_screenshots.py [FOLDER] [WIDTHxHEIGHT] [dark|light]
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from time import monotonic, sleep
from typing import Any

NAME = "napari-seamless"


class Window:
    """A napari window with the sample slide, its nuclei, and the dock that measures."""

    def __init__(self, folder: Path, size: tuple[int, int], theme: str, result: Path) -> None:
        import napari
        from napari.layers import Layer
        from napari.settings import get_settings

        from napari_seamless._napari.contributions import sample_slide

        get_settings().appearance.theme = theme
        self.folder = folder
        self.viewer = napari.Viewer(title="napari")
        self.viewer.window.resize(*size)
        for slide in sample_slide():
            self.viewer.add_layer(Layer.create(*slide))
        _, self.dock = self.viewer.window.add_plugin_dock_widget(NAME, "Measure a result")
        self.dock.open(result)
        self.wait(lambda: self.dock.panel.labels.currentData() is not None)
        self.viewer.reset_view()

    def wait(self, reached: Any) -> None:
        end = monotonic() + 120
        while not reached():
            if monotonic() > end:
                raise TimeoutError(f"still {self.dock.snapshot}")
            self.live(0.05)

    def live(self, seconds: float) -> None:
        from napari.qt import get_qapp

        end = monotonic() + seconds
        while monotonic() < end:
            get_qapp().processEvents()
            sleep(0.005)

    def take(self, name: str) -> None:
        """A picture of the whole window, in 256 colours: a quarter of the size."""
        from PIL import Image

        self.live(0.5)
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        picture = Image.fromarray(pixels[..., :3]).quantize(256, dither=Image.Dither.NONE)
        picture.save(self.folder / f"{name}.png", optimize=True)


def main(folder: Path, size: tuple[int, int], theme: str, result: Path) -> None:
    window = Window(folder, size, theme, result)
    panel = window.dock.panel
    panel.smallest.setValue(20)
    panel._main.click()
    window.wait(lambda: not window.dock.poll().is_measuring)
    window.viewer.scene.camera.zoom *= 3
    window.take("measure")
    panel.opacity.setValue(100)
    panel.contour.setValue(1)
    panel._points.click()
    window.viewer.layers[-1].size = 4
    panel.objects.selectRow(900)
    bar = window.dock._column.verticalScrollBar()
    bar.setValue(bar.maximum())
    window.take("measure-object")
    window.viewer.close()


if __name__ == "__main__":
    os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")
    import napari_seamless as ns
    from napari_seamless.io.readers import sample_slide

    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    width, height = (sys.argv[2] if len(sys.argv) > 2 else "1600x1000").split("x")
    with tempfile.TemporaryDirectory() as made:
        nuclei = Path(made) / "nuclei.ome.zarr"
        ns.run("nuclei", sample_slide(), output=nuclei)
        main(target, (int(width), int(height)), sys.argv[3] if len(sys.argv) > 3 else "dark", nuclei)
