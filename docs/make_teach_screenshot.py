"""Makes the picture of docs/teach.md from a real lesson on the sample slide: docs/images/teach.png.

xvfb-run -a -s "-screen 0 1920x1080x24" python docs/make_teach_screenshot.py [FILE] [STEPS]

The strokes are those of benchmarks/teaching.py.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from time import monotonic, sleep
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

NAME, WIDGET = "napari-seamless", "Teach by painting"
SIZE, ZOOM, CENTRE = (1600, 1000), 2.2, (980, 560)
PATIENCE = 1200


def live(seconds: float) -> None:
    """Lets the window live."""
    from napari.qt import get_qapp

    end = monotonic() + seconds
    while monotonic() < end:
        get_qapp().processEvents()
        sleep(0.005)


def main(file: Path, slide: Path, steps: int) -> None:
    import napari
    from napari.layers import Layer
    from PIL import Image
    from teaching import CLASSES, LEARNED, painted

    import napari_seamless as ns
    from napari_seamless._napari.layers.source_layer import source_layer

    viewer = napari.Viewer(title="napari")
    viewer.window.resize(*SIZE)
    dock: Any
    _, dock = viewer.window.add_plugin_dock_widget(NAME, WIDGET)
    image = viewer.add_layer(Layer.create(*source_layer(ns.open_image(slide))))
    dock.panel.classes.setValue(CLASSES)
    strokes = dock.paint()
    strokes.data = painted(LEARNED, image.data.shape[:2])
    live(0.5)
    viewer.scene.camera.zoom = ZOOM
    viewer.scene.camera.center = (0, *CENTRE)
    dock.teach()
    end = monotonic() + PATIENCE
    while dock.poll().step < steps and monotonic() < end and dock.snapshot.problem is None:
        live(0.1)
    seen = dock.snapshot.prediction
    while dock.poll().prediction is seen and monotonic() < end:
        live(0.1)
    live(0.5)
    pixels = viewer.screenshot(canvas_only=False, flash=False)
    Image.fromarray(pixels[..., :3]).quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    dock._controller.stop()
    viewer.close()


if __name__ == "__main__":
    os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")
    os.environ["NAPARI_SEAMLESS_DATA"] = tempfile.mkdtemp()
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images" / "teach.png"
    with as_file(files("napari_seamless.io.readers") / "data" / "CMU-1-Small-Region.svs") as sample:
        main(target, sample, int(sys.argv[2]) if len(sys.argv) > 2 else 150)
