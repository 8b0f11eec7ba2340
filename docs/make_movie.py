"""Makes the moving picture of the README from a real run on the sample slide: docs/images/run.webp.

xvfb-run -a -s "-screen 0 1366x768x24" python docs/make_movie.py [FILE]

The window is looked at while the nuclei network runs: a run, a zoom and a pan while it goes on, and the end. Each
picture is shown for as long as the next one took to come, so that the film takes as long as the run.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path
from time import monotonic

from make_screenshots import Session
from PIL import Image

SIZE = (1280, 740)
WIDTH = 960
LAST_MS = 2500
EVERY = 0.3
ZOOM, PAN = 2.6, (420, 140)


class Film:
    """Pictures of a session, at most one each `EVERY` seconds."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.pictures: list[Image.Image] = []
        self._taken: list[float] = []

    def take(self) -> None:
        if self._taken and monotonic() < self._taken[-1] + EVERY:
            return
        self._taken.append(monotonic())
        pixels = self.session.viewer.screenshot(canvas_only=False, flash=False)
        picture = Image.fromarray(pixels[..., :3])
        self.pictures.append(picture.resize((WIDTH, WIDTH * picture.height // picture.width), Image.Resampling.LANCZOS))

    def until(self, share: float) -> None:
        """Films until so much of the image is done, or all is."""

        def reached(now: object) -> bool:
            self.take()
            progress = now.progress  # type: ignore[attr-defined]
            return progress is not None and (progress.fraction >= share or progress.state == "finished")

        self.session.until(reached)

    def move(self, zoom: float, pan: tuple[float, float], steps: int = 8) -> None:
        """A camera that goes somewhere in so many steps."""
        camera = self.session.viewer.scene.camera
        for _ in range(steps):
            z, y, x = camera.center
            camera.center = (z, y + pan[0] / steps, x + pan[1] / steps)
            camera.zoom *= zoom ** (1 / steps)
            self.session.live(0.15)
            self.take()

    def save(self, file: Path) -> None:
        first, *rest = self.pictures
        times = [*(round(1000 * (b - a)) for a, b in pairwise(self._taken)), LAST_MS]
        first.save(file, save_all=True, append_images=rest, duration=times, loop=0, quality=45, method=2)


def main(file: Path, slide: Path) -> None:
    session = Session(file.parent, SIZE)
    session.dock.open(slide)
    session.until(lambda now: now.phase == "preparing")
    session.dock.choose_model("nuclei")
    session.until(lambda now: now.choice is not None)
    session.dock.panel.tile.slider.setValue(2)
    film = Film(session)
    film.take()
    session.dock.run()
    film.until(0.15)
    film.move(ZOOM, (0, 0))
    film.until(0.3)
    film.move(1, PAN)
    film.until(0.5)
    film.move(1 / ZOOM, (-PAN[0], -PAN[1]))
    film.until(1)
    session.until(lambda now: now.phase == "finished")
    session.live(0.5)
    film.take()
    film.save(file)
    session.viewer.close()


if __name__ == "__main__":
    os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images" / "run.webp"
    with as_file(files("napari_seamless.io.readers") / "data" / "CMU-1-Small-Region.svs") as sample:
        main(target, sample)
