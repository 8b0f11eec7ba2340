"""Does the window stay smooth, and how soon are exact pixels on screen?

    GALLIUM_NOOP=1 xvfb-run -a -s "-screen 0 1920x1080x24" python benchmarks/gui.py heartbeat
    xvfb-run -a -s "-screen 0 1920x1080x24" python benchmarks/gui.py latency

`heartbeat`: a 5 ms timer beats in the GUI thread while 20 finished tiles a second (512 x 512) land in a real store that
the dock shows at 1920 x 1080; the gaps between beats are what a user would feel. GALLIUM_NOOP=1 is Mesa's null driver,
which stands for a fast graphics card. `latency`: the real thing on the sample slide, as multiples of the time that one
tile takes alone.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import as_file, files
from pathlib import Path
from threading import Event, Thread
from time import perf_counter, sleep
from typing import Any, Literal

import numpy as np

os.environ.setdefault("NAPARI_CONFIG", str(Path(tempfile.mkdtemp()) / "settings.yaml"))

import napari
from napari.qt import get_qapp
from qtpy.QtCore import QTimer

from napari_seamless._napari.dock import SeamlessDock
from napari_seamless._napari.patcher import LivePatcher
from napari_seamless.geometry import Levels, Region
from napari_seamless.seams import ImageInfo, LabelClass, Pixels, Progress
from napari_seamless.store import Store, StoreSpec, create_store

EDGE, TILE, RATE, SECONDS = 32_768, 512, 20, 8.0


class Painted:
    """An endless picture that costs nothing to read."""

    def __init__(self) -> None:
        levels = Levels(((EDGE, EDGE), (EDGE // 32, EDGE // 32)))
        self.info = ImageInfo("painted", levels, 3, np.dtype(np.uint8), "painted", rgb=True)

    def read(self, region: Region, level: int = 0) -> Pixels:
        return np.full((3, *region.shape), 180 + level, np.uint8)

    def close(self) -> None:
        pass


class FedRun:
    """A run whose tiles come from a thread, `RATE` a second, around the middle of the picture."""

    def __init__(self, kind: Literal["labels", "image"], folder: Path) -> None:
        channels = None if kind == "labels" else 3
        classes = (
            (LabelClass(1, "nucleus", "#22cc66"), LabelClass(2, "boundary", "#ffcc00")) if kind == "labels" else ()
        )
        names = () if channels is None else ("red", "green", "blue")
        spec = StoreSpec(
            (EDGE, EDGE),
            channels,
            np.dtype(np.uint8),
            kind,
            "painted",
            "hash",
            TILE,
            classes=classes,
            channel_names=names,
        )
        self.store: Store = create_store(folder, spec)
        self.tiles = 0
        self._stop = Event()
        self._thread = Thread(target=self._feed, daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        rng = np.random.default_rng(0)
        shape = (1 if self.store.kind == "labels" else 3, TILE, TILE)
        pool = [rng.integers(0, 3 if self.store.kind == "labels" else 255, shape, np.uint8) for _ in range(8)]
        cells = [(y, x) for y in range(28, 36) for x in range(28, 36)]
        began = perf_counter()
        while not self._stop.is_set():
            y, x = cells[self.tiles % len(cells)]
            region = Region.of((y * TILE, (y + 1) * TILE), (x * TILE, (x + 1) * TILE))
            self.store.write(region, pool[self.tiles % 8].copy())
            self.store.landed(region)
            self.tiles += 1
            sleep(max(0.0, began + self.tiles / RATE - perf_counter()))

    def progress(self) -> Progress:
        state: Any = "cancelled" if self._stop.is_set() else "running"
        return Progress(state, self.tiles * TILE**2, EDGE**2, self.tiles, 1.0, RATE * TILE**2, 60.0)

    def cancel(self) -> None:
        self._stop.set()

    def retarget(self, view: Region | None) -> None: ...

    def set_tile(self, tile: int) -> None: ...


@dataclass
class Choice:
    tile: int = TILE
    choices: tuple[tuple[int, int], ...] = ((256, 10**8), (512, 3 * 10**8))
    budget: int = 10**9


@dataclass
class Prepared:
    output_shape: tuple[int, int] = (EDGE, EDGE)
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)


@dataclass
class FedPipeline:
    """Only what is asked of a pipeline by the dock, and no network in it."""

    kind: Literal["labels", "image"]
    runs: list[FedRun] = field(default_factory=list)

    def model_names(self) -> tuple[str, ...]:
        return ("none",)

    def describe_model(self, name: str) -> str:
        return f"{name}: finished tiles from a thread"

    def load_model(self, what: str) -> str:
        return what

    def open_image(self, what: Any, *, axes: str | None = None) -> Painted:
        del what, axes
        return Painted()

    def prepare(self, model: str, image: Painted, *, cancelled: Callable[[], bool] | None = None) -> Prepared:
        del model, image, cancelled
        return Prepared()

    def tile_for(self, prepared: Prepared, budget: int | None = None) -> Choice:
        del prepared
        return replace(Choice(), budget=budget or 10**9)

    def start(self, prepared: Prepared, *, output: Path, **options: Any) -> FedRun:
        del prepared, options
        self.runs.append(FedRun(self.kind, output))
        return self.runs[-1]


class Heartbeat:
    """Times between the beats of a 5 ms timer, in milliseconds."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self._last = perf_counter()
        self._timer = QTimer()
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def _beat(self) -> None:
        now = perf_counter()
        self.gaps.append((now - self._last) * 1000)
        self._last = now

    def stop(self) -> str:
        self._timer.stop()
        gaps = np.array(self.gaps[20:])
        p50, p95, p99 = np.percentile(gaps, (50, 95, 99))
        stalls = (gaps > 33).sum() / (gaps.sum() / 1000)
        spread = f"p50 {p50:5.1f}  p95 {p95:5.1f}  p99 {p99:5.1f}  max {gaps.max():5.1f} ms"
        return f"{spread}  {stalls:.2f} gaps > 33 ms a second"


def live(seconds: float, reached: Callable[[], bool] = lambda: False) -> float:
    """Runs the window for a while or until something is so. The time that it took."""
    began = perf_counter()
    while perf_counter() - began < seconds and not reached():
        get_qapp().processEvents()
        sleep(0.0005)
    return perf_counter() - began


@contextmanager
def window(pipeline: Any = None) -> Iterator[tuple[Any, SeamlessDock]]:
    viewer = napari.Viewer()
    viewer.window.resize(1920, 1080)
    dock = SeamlessDock(viewer, pipeline)
    viewer.window.add_dock_widget(dock)
    try:
        yield viewer, dock
    finally:
        viewer.close()
        live(0.5)


def heartbeat(kind: Literal["labels", "image"], pan: bool) -> None:
    pipeline = FedPipeline(kind)
    with window(pipeline) as (viewer, dock):
        dock.open("painted")
        live(20, lambda: dock.poll().phase == "ready" and dock.snapshot.choice is not None)
        viewer.scene.camera.center = (EDGE / 2, EDGE / 2)
        viewer.scene.camera.zoom = 0.9
        live(1)
        idle = Heartbeat()
        live(3)
        print(f"{kind:6} idle             {idle.stop()}")
        dock.run()
        live(10, lambda: dock.poll().phase == "running")
        live(1)
        before, beats, began = pipeline.runs[0].tiles, Heartbeat(), perf_counter()
        steps = np.linspace(0, 2 * np.pi, int(SECONDS * 30))
        for step in steps if pan else ():
            viewer.scene.camera.center = (EDGE / 2 + 600 * np.sin(step), EDGE / 2 + 600 * np.cos(step))
            live(SECONDS / len(steps))
        live(0 if pan else SECONDS)
        rate = (pipeline.runs[0].tiles - before) / (perf_counter() - began)
        print(f"{kind:6} {'panning too      ' if pan else 'tiles landing    '}{beats.stop()}  {rate:.0f} tiles/s")


def latency() -> None:
    shown: list[float] = []
    patch = LivePatcher.patch

    def recorded(self: LivePatcher, level: int, region: Region, pixels: Pixels) -> bool:
        done = patch(self, level, region, pixels)
        if level == self._layer.data_level:
            shown.append(perf_counter())
        return done

    LivePatcher.patch = recorded  # type: ignore[method-assign]
    with as_file(files("napari_seamless") / "sources" / "data" / "CMU-1-Small-Region.svs") as slide:
        with window() as (viewer, dock):
            beats = Heartbeat()
            dock.open(slide)
            dock.choose_model("nuclei")
            live(120, lambda: dock.poll().choice is not None)
            print(f"loading torch, opening, tracing:    {beats.stop()}")
            viewer.scene.camera.zoom = 3  # screen pixels a micrometre: 1.5 a pixel of the slide
            viewer.scene.camera.center = (350, 500)
            dock.panel.tile.slider.setValue([t for t, _ in dock.snapshot.choice.choices].index(TILE))
            live(0.5)
            began = perf_counter()
            dock.run()
            live(60, lambda: bool(shown))
            first = shown[0] - began
            beats = Heartbeat()
            viewer.scene.camera.center = (1250, 750)
            began = perf_counter()
            shown.clear()
            panned = live(120, lambda: bool(shown) and in_view(viewer, dock))
            live(5)
            print(f"while the network runs:             {beats.stop()}")
        alone = one_tile(slide)
    print(f"one tile of {TILE} alone                 {alone:.2f} s")
    print(f"from Run to the first exact pixels  {first:.2f} s = {first / alone:.2f} tiles")
    print(f"from a pan to the new view's first  {panned:.2f} s = {panned / alone:.2f} tiles")


def in_view(viewer: Any, dock: SeamlessDock) -> bool:
    """Whether a pixel near the middle of the view has been made."""
    from napari_seamless._napari.view import visible_region

    run = dock._controller._run
    region = visible_region(viewer, dock.result_layers[0])
    cells = run.store.grid.covering(region)
    return bool(run.store.finished[cells.slices()].any())


def one_tile(slide: Path) -> float:
    """Seconds that one tile takes with nothing else going on; the best of three, since the first one warms up."""
    from napari_seamless import pipeline

    prepared = pipeline.prepare("nuclei", pipeline.open_image(slide))
    region = Region.of((1024, 1024 + TILE), (1024, 1024 + TILE))
    seconds = []
    for _ in range(3):
        run = pipeline.start(prepared, region=region, tile=TILE, scheduler="serial")
        run.wait()
        seconds.append(run.progress().seconds)
    return min(seconds)


if __name__ == "__main__":
    if sys.argv[1:] == ["latency"]:
        latency()
    else:
        for what in ("labels", "image"):
            for pans in (False, True):
                heartbeat(what, pans)
