"""Does the window stay smooth, and how soon are exact pixels on screen?

    GALLIUM_NOOP=1 xvfb-run -a -s "-screen 0 1920x1080x24" python benchmarks/gui.py heartbeat
    GALLIUM_NOOP=1 xvfb-run -a -s "-screen 0 1920x1080x24" python benchmarks/gui.py latency

`heartbeat`: a 5 ms timer beats in the GUI thread while 20 finished tiles a second (512 x 512) land in a real store that
the dock shows at 1920 x 1080, as a result or as the preview of one; the gaps between beats are what a user would feel.
The whole dock is in use: the map of what is done, outlines of tiles in work, the plot of speed and memory.
GALLIUM_NOOP=1 is Mesa's null driver, which stands for a fast graphics card. `latency`: the real thing on the sample
slide, as multiples of the time that one tile takes alone.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import perf_counter, sleep
from typing import Any, Literal

import numpy as np

os.environ.setdefault("NAPARI_CONFIG", str(Path(tempfile.mkdtemp()) / "settings.yaml"))

import napari
from qtpy.QtCore import QEventLoop, QTimer

from napari_seamless._napari.layers.texture_patch import TexturePatch, region_on_screen
from napari_seamless._napari.run.dock import SeamlessDock
from napari_seamless.geometry import Levels, Region
from napari_seamless.interfaces import ImageInfo, LabelClass, Pixels, Progress
from napari_seamless.store import Store, StoreSpec, create_store

EDGE, TILE, RATE, SECONDS = 32_768, 512, 20, 8.0
ROUNDS = 5


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
    """A run whose tiles come from a thread, `RATE` a second, around the middle of the picture.

    With a preview it is the preview's tiles that come, and the run measures.
    """

    def __init__(self, kind: Literal["labels", "image"], folder: Path | None, preview: bool = False) -> None:
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
        self.tiles, self._began = 0, perf_counter()
        self._in_work: tuple[Region, ...] = ()
        self._stop = Event()
        self.preview = FedRun(kind, None) if preview else None
        if self.preview is None:
            Thread(target=self._feed, daemon=True).start()

    def _feed(self) -> None:
        rng = np.random.default_rng(0)
        shape = (1 if self.store.kind == "labels" else 3, TILE, TILE)
        pool = [rng.integers(0, 3 if self.store.kind == "labels" else 255, shape, np.uint8) for _ in range(8)]
        cells = [(y, x) for y in range(28, 36) for x in range(28, 36)]
        began = perf_counter()
        while not self._stop.is_set():
            y, x = cells[self.tiles % len(cells)]
            region = Region.of((y * TILE, (y + 1) * TILE), (x * TILE, (x + 1) * TILE))
            self._in_work = (region,)
            self.store.write(region, pool[self.tiles % 8].copy())
            self.store.commit(region)
            self.tiles += 1
            sleep(max(0.0, began + self.tiles / RATE - perf_counter()))

    @property
    def in_work(self) -> tuple[Region, ...]:
        return self._in_work if self.preview is None else self.preview.in_work

    def progress(self) -> Progress:
        state: Any = "cancelled" if self._stop.is_set() else "running"
        passes = 1 if self.preview is None else 16
        seconds = perf_counter() - self._began
        rate = self.tiles * TILE**2 / seconds
        return Progress(state, self.tiles * TILE**2, EDGE**2, self.tiles, seconds, rate, 60.0, passes=passes)

    def cancel(self) -> None:
        self._stop.set()
        if self.preview is not None:
            self.preview.cancel()

    def result(self) -> Result:
        return Result()

    def retarget(self, view: Region | None) -> None: ...

    def set_tile(self, tile: int) -> None: ...


@dataclass(frozen=True)
class Report:
    self_check: None = None
    mismatch: None = None
    exact: bool = True
    failed: tuple[Region, ...] = ()
    peak: int | None = None


@dataclass(frozen=True)
class Result:
    report: Report = Report()


@dataclass
class Choice:
    tile: int = TILE
    choices: tuple[tuple[int, int], ...] = ((256, 10**8), (512, 3 * 10**8))
    budget: int = 10**9


@dataclass(frozen=True)
class Cost:
    tile: int
    halo: int = 92
    redundancy: float = 1.32
    passes: int = 1


@dataclass(frozen=True)
class Timing:
    edge: int
    seconds_per_pixel: float = 1 / (RATE * TILE**2)
    device: str = "cpu"
    is_least: bool = False


@dataclass
class Prepared:
    output_shape: tuple[int, int] = (EDGE, EDGE)
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    approximation: None = None


class Idle:
    """Workers that have nothing to do."""

    client = None

    def close(self) -> None:
        pass


@dataclass
class FedPipeline:
    """Only what is asked of a pipeline by the dock, and no network in it."""

    kind: Literal["labels", "image"]
    preview: bool = False
    runs: list[FedRun] = field(default_factory=list)

    def model_names(self) -> tuple[str, ...]:
        return ("none",)

    def describe_model(self, name: str) -> str:
        return f"{name}: finished tiles from a thread"

    def load_model(self, what: str) -> Any:
        from napari_seamless.models import Model

        return Model(what, None, "finished tiles from a thread", channels=3)

    def spatial_axes(self, model: Any) -> int:
        del model
        return 2

    def select(self, source: Painted, **options: Any) -> Painted:
        del options
        return source

    def in_micrometres(self, info: ImageInfo) -> None:
        del info

    def tissue_mask(self, image: Painted) -> Any:
        del image
        return np.eye(2, dtype=bool)

    def time_tile(self, prepared: Prepared, tile: int, **options: Any) -> Timing:
        del prepared, options
        return Timing(edge=tile)

    def open_image(self, what: Any, **options: Any) -> Painted:
        del what, options
        return Painted()

    def prepare(
        self,
        model: str,
        image: Painted,
        *,
        cancelled: Callable[[], bool] | None = None,
        approximate: bool = False,
    ) -> Prepared:
        del model, image, cancelled, approximate
        return Prepared()

    def tile_for(self, prepared: Prepared, budget: int | None = None) -> Choice:
        del prepared
        return replace(Choice(), budget=budget or 10**9)

    def cost_of(self, prepared: Prepared, tile: int) -> Cost:
        del prepared
        return Cost(tile)

    def memory_of(self) -> Any:
        from napari_seamless.runs.device_memory import memory_of

        return memory_of("cpu")

    def start_workers(self) -> Idle:
        return Idle()

    def start(self, prepared: Prepared, *, output: Path, **options: Any) -> FedRun:
        del prepared, options
        self.runs.append(FedRun(self.kind, output, self.preview))
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
    loop, timer = QEventLoop(), QTimer()

    def look() -> None:
        if perf_counter() - began >= seconds or reached():
            loop.quit()

    timer.timeout.connect(look)
    timer.start(5)
    loop.exec()
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


def heartbeat(kind: Literal["labels", "image"], pan: bool, preview: bool) -> None:
    pipeline = FedPipeline(kind, preview)
    with window(pipeline) as (viewer, dock):
        dock.open("painted")
        live(20, lambda: dock.poll().phase == "ready" and dock.snapshot.choice is not None)
        viewer.scene.camera.center = (EDGE / 2, EDGE / 2)
        viewer.scene.camera.zoom = 0.9
        live(1)
        idle = Heartbeat()
        live(3)
        print(f"{kind:6} {'idle':23}{idle.stop()}")
        dock.run()
        live(10, lambda: dock.poll().phase == "running")
        live(1)
        fed = pipeline.runs[0].preview or pipeline.runs[0]
        before, beats, began = fed.tiles, Heartbeat(), perf_counter()
        steps = np.linspace(0, 2 * np.pi, int(SECONDS * 30))
        for step in steps if pan else ():
            viewer.scene.camera.center = (EDGE / 2 + 600 * np.sin(step), EDGE / 2 + 600 * np.cos(step))
            live(SECONDS / len(steps))
        live(0 if pan else SECONDS)
        rate = (fed.tiles - before) / (perf_counter() - began)
        require_everything_is_on(dock)
        what = f"{'preview, ' if preview else ''}{'panning' if pan else 'tiles landing'}"
        print(f"{kind:6} {what:23}{beats.stop()}  {rate:.0f} tiles/s")


def require_everything_is_on(dock: SeamlessDock) -> None:
    """A dock that hides its charts would be smooth for nothing."""
    progress, outlines = dock.panel.progress, dock._overview._outlines
    off = [widget.accessibleName() for widget in (progress.map, progress.plot) if not widget.isVisible()]
    if off or outlines._line is None:
        raise RuntimeError(f"the whole dock should be in use; {off or 'the outline of tiles'} is not")


class Shown:
    """When pixels of the level that is on screen were put there."""

    def __init__(self) -> None:
        self.times: list[float] = []
        patch = TexturePatch.patch

        def recorded(patcher: TexturePatch, level: int, region: Region, pixels: Pixels) -> bool:
            done = patch(patcher, level, region, pixels)
            layer = patcher._layer
            if done and level == layer.data_level and region_on_screen(layer).overlaps(region):
                self.times.append(perf_counter())
            return done

        TexturePatch.patch = recorded  # type: ignore[method-assign]

    def after(self, act: Callable[[], object]) -> float:
        """Seconds from an action to the next pixels on screen."""
        self.times.clear()
        began = perf_counter()
        act()
        live(60, lambda: bool(self.times))
        return self.times[0] - began


def latency(tile: int) -> None:
    shown = Shown()
    sample = files("napari_seamless.io.readers") / "data" / "CMU-1-Small-Region.svs"
    with as_file(sample) as slide, window() as (viewer, dock):
        beats = Heartbeat()
        dock.open(slide)
        dock.choose_model("nuclei")
        live(120, lambda: dock.poll().choice is not None)
        print(f"loading torch, opening, tracing:    {beats.stop()}")
        dock.panel.tile.slider.setValue([t for t, _ in dock.snapshot.choice.choices].index(tile))
        runs, pans, alone = [], [], []
        for _ in range(ROUNDS):
            look(viewer, (350, 500))
            live(1)
            runs.append(shown.after(dock.run))
            live(0.5)
            pans += [shown.after(partial(look, viewer, centre)) for centre in ((1250, 750), (250, 200))]
            dock.panel.cancelPressed.emit()
            live(30, lambda: not dock.poll().is_active)
            while dock.result_layers:
                viewer.layers.remove(dock.result_layers[0])
            live(0.5)
            gc.collect()  # a result lives as long as its layers: the next run begins anew
            alone.append(one_tile(slide, tile))
        look(viewer, (350, 500))
        dock.run()
        live(60, lambda: bool(dock.result_layers))
        beats = Heartbeat()
        live(5)
        print(f"while the network runs:             {beats.stop()}")
    print(f"one tile of {tile} alone, median of {ROUNDS}    {median(alone):.2f} s")
    for what, seconds in (("Run to the first exact pixels", runs), ("a pan to the new view's first", pans)):
        each = " ".join(f"{s:.2f}" for s in seconds)
        print(f"from {what}  {median(seconds):.2f} s = {median(seconds) / median(alone):.2f} tiles ({each})")


def look(viewer: Any, centre: tuple[float, float]) -> None:
    """At a place of the slide, in micrometres, so near that a pixel of it is 1.5 pixels of the screen."""
    viewer.scene.camera.zoom = 3
    viewer.scene.camera.center = centre


def one_tile(slide: Path, tile: int) -> float:
    """Seconds that one tile takes with nothing else going on; the best of three, since the first one warms up."""
    import napari_seamless as ns

    prepared = ns.prepare("nuclei", ns.open_image(slide))
    region = Region.of((1024, 1024 + tile), (1024, 1024 + tile))
    seconds = []
    for _ in range(3):
        run = ns.start(prepared, region=region, tile=tile, scheduler="serial")
        run.wait()
        seconds.append(run.progress().seconds)
    return min(seconds)


if __name__ == "__main__":
    if sys.argv[1:] == ["latency"]:
        for edge in (512, 1024):
            latency(edge)
    else:
        for what in ("labels", "image"):
            for previews in (False, True):
                for pans in (False, True):
                    heartbeat(what, pans, previews)
