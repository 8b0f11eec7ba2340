"""Stand-ins for the pipeline, a run and its live result, driven by the test."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any, Literal

import numpy as np

from napari_seamless.errors import NotTrusted, PixelSizeUnknown, RunCancelled
from napari_seamless.geometry import Grid, Levels, Region, halved
from napari_seamless.interfaces import FreshPixels, ImageInfo, LabelClass, Pixels, Progress
from napari_seamless.io.readers.plane import on_plane
from napari_seamless.io.readers.selection import select

CLASSES = (LabelClass(1, "nucleus", "#ff0000"), LabelClass(2, "boundary", "#00ff00"))


@dataclass
class FakeSource:
    """An array (c, y, x) with levels by taking every second pixel."""

    pixels: Pixels
    rgb: bool = True
    levels: int = 1
    pixel_size: tuple[float, ...] | None = None
    channel_names: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()
    scene: str = ""

    @property
    def info(self) -> ImageInfo:
        shapes = tuple(self._level(k).shape[1:] for k in range(self.levels))
        return ImageInfo(
            "slide",
            Levels(shapes),
            len(self.pixels),
            self.pixels.dtype,
            "fake",
            rgb=self.rgb,
            pixel_size=self.pixel_size,
            channel_names=self.channel_names,
            notices=self.notices,
            scenes=self.scenes,
            scene=self.scene,
        )

    def read(self, region: Region, level: int = 0) -> Pixels:
        return self._level(level)[(slice(None), *region.slices())].copy()

    def close(self) -> None:
        pass

    def _level(self, level: int) -> Pixels:
        return self.pixels[:, :: 2**level, :: 2**level]


class FakeLive:
    """A result in memory. `write` puts pixels into every level and tells the watchers."""

    def __init__(
        self,
        shape: tuple[int, int],
        kind: Literal["labels", "image"] = "labels",
        channels: int = 1,
        dtype: Any = np.uint8,
        rgb: bool = False,
        until: int = 256,
    ) -> None:
        shapes = halved(shape, until)
        front = () if channels == 1 else (channels,)
        self.info = ImageInfo("result", Levels(shapes), channels, np.dtype(dtype), "fake", rgb=rgb)
        self.kind = kind
        self.classes = CLASSES if kind == "labels" else ()
        self.levels = [np.zeros((*front, *s), dtype) for s in shapes]
        self.grid = Grid(shape, (8, 8))
        self.finished = np.zeros(self.grid.counts, bool)
        self._watchers: list[deque[FreshPixels]] = []

    def watch(self) -> deque[FreshPixels]:
        self._watchers.append(deque(maxlen=1000))
        return self._watchers[-1]

    def write(self, region: Region, pixels: Any) -> None:
        """`pixels` broadcasts to (c, *region.shape); `region` starts at even pixels of every level."""
        self.finished[self.grid.covering(region).slices()] = True
        block = np.broadcast_to(pixels, (self.info.channels, *region.shape)).astype(self.info.dtype)
        for level, array in enumerate(self.levels):
            at = self.info.levels.to_level(region, level)
            part = block[:, :: 2**level, :: 2**level]
            whole = array if array.ndim == 3 else array[None]
            whole[(slice(None), *at.slices())] = part
            for watcher in self._watchers:
                watcher.append(FreshPixels(level, at, part))


@dataclass(frozen=True)
class FakeCheck:
    largest: float
    mean: float = 0.0
    regions: int = 5


@dataclass(frozen=True)
class FakeReport:
    self_check: FakeCheck | None = None
    mismatch: str | None = None
    exact: bool = True
    failed: tuple[Region, ...] = ()
    peak: int | None = None
    growth: int | None = None


@dataclass
class FakeResult:
    saved: list[Path]
    report: FakeReport = FakeReport()

    def save(self, path: str | Path, **_options: Any) -> None:
        self.saved.append(Path(path))


class FakeRun:
    """A run that does nothing by itself. What it was told is kept in lists."""

    def __init__(self, live: FakeLive, **options: Any) -> None:
        self.store = live
        self.options = options
        self.now = Progress("running", 0, 1_000_000, 0, 0.0, 0.0, None)
        self.views: list[Region | None] = []
        self.tiles: list[int] = []
        self.saved: list[Path] = []
        self.preview: FakeRun | None = None
        self.in_work: tuple[Region, ...] = ()
        self.objects = None
        self.report = FakeReport()
        self.notices: tuple[str, ...] = ()

    def begin_preview(self, pass_number: int = 1, passes: int = 16) -> FakeRun:
        """A first look at what this run makes, whose passes now measure."""
        like = self.store
        until = max(like.levels[-1].shape[-2:])
        live = FakeLive(like.grid.shape, like.kind, like.info.channels, like.info.dtype, like.info.rgb, until)
        self.now = replace(self.now, pass_number=pass_number, passes=passes)
        self.preview = FakeRun(live, follow=True)
        return self.preview

    def last_pass(self) -> None:
        """The preview has served its turn."""
        if self.preview is not None:
            self.preview.cancel()
        self.now = replace(self.now, pass_number=self.now.passes)

    def land(self, region: Region, pixels: Any) -> None:
        """One finished tile."""
        self.store.write(region, pixels)
        self.now = replace(self.now, done=self.now.done + region.size, tiles=self.now.tiles + 1, rate=1e6, eta=4.0)

    def end(self, state: Any = "finished", error: BaseException | None = None) -> None:
        self.now = replace(self.now, state=state, error=error)

    def progress(self) -> Progress:
        return self.now

    def retarget(self, view: Region | None) -> None:
        self.views.append(view)
        if self.preview is not None:
            self.preview.retarget(view)

    def set_tile(self, tile: int) -> None:
        self.tiles.append(tile)

    def pause(self) -> None:
        self.end("paused")

    def resume(self) -> None:
        self.end("running")

    def cancel(self) -> None:
        follows = self.now.state == "finished" and bool(self.options.get("follow"))
        if follows or self.now.state not in ("finished", "failed"):
            self.end("cancelled")
        if self.preview is not None:
            self.preview.cancel()

    def wait(self, timeout: float | None = None) -> None:
        pass

    def result(self) -> FakeResult:
        return FakeResult(self.saved, self.report)


@dataclass
class FakeWorkers:
    client: str = "the client"
    is_open: bool = True

    def close(self) -> None:
        self.is_open = False


@dataclass(frozen=True)
class FakePrepared:
    output_shape: tuple[int, ...]
    scale: tuple[float, ...] = (1.0, 1.0)
    offset: tuple[float, ...] = (0.0, 0.0)
    exact: bool = True
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class FakeCost:
    tile: int
    halo: int = 92
    redundancy: float = 1.32
    passes: int = 1


@dataclass(frozen=True)
class FakeMemory:
    device: str = "cpu"
    free: int = 12_000_000_000
    total: int = 32_000_000_000
    used: int = 900_000_000


@dataclass(frozen=True)
class FakeFound:
    path: Path
    store: FakeLive
    fraction: float = 0.43
    continues: bool = True
    notices: tuple[str, ...] = ()
    place: Any = None

    @property
    def images(self) -> dict[str, FakeLive]:
        return {"": self.store}


@dataclass(frozen=True)
class FakeChoice:
    tile: int
    choices: Sequence[tuple[int, int]]
    budget: int


@dataclass(frozen=True)
class FakeResolution:
    pixel_size: tuple[float, ...] = (0.5, 0.5)
    tolerance: float = 0.1


@dataclass(frozen=True)
class FakeNetwork:
    name: str
    title: str = "Cell nuclei in stained tissue"
    channels: int | None = None
    input_names: tuple[str, ...] = ()
    ndim: int = 2
    kind: str = "labels"
    classes: tuple[LabelClass, ...] = CLASSES
    channel_names: tuple[str, ...] = ()
    card: Mapping[str, object] = field(default_factory=dict)
    dtype: str | None = None
    resolution: FakeResolution | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class FakeParameter:
    name: str
    default: str | None = None


@dataclass(frozen=True)
class FakeTiming:
    seconds_per_pixel: float = 1e-6
    edge: int = 256
    device: str = "cpu"
    is_least: bool = False


TILES = ((256, 100_000_000), (512, 400_000_000), (1024, 1_600_000_000), (2048, 6_400_000_000))


@dataclass
class FakePipeline:
    """The pipeline's functions. `gate` holds tracing back until the test opens it; `refusal` is raised instead."""

    kind: Literal["labels", "image"] = "labels"
    channels: int = 1
    scale: tuple[float, float] = (1.0, 1.0)
    gate: Event = field(default_factory=Event)
    refusal: BaseException | None = None
    start_refusal: BaseException | None = None
    choice_refusal: BaseException | None = None
    found: dict[Path, FakeFound] = field(default_factory=dict)
    traced: list[str] = field(default_factory=list)
    runs: list[FakeRun] = field(default_factory=list)
    workers: list[FakeWorkers] = field(default_factory=list)
    workers_refusal: BaseException | None = None
    networks: dict[str, FakeNetwork] = field(default_factory=dict)
    load_refusals: dict[str, BaseException] = field(default_factory=dict)
    loaded: list[tuple[str, str | None, Mapping[str, Any] | None]] = field(default_factory=list)
    load_gate: Event = field(default_factory=Event)
    trusted: list[NotTrusted] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    timed: list[int] = field(default_factory=list)
    timing: FakeTiming = FakeTiming()
    opened: list[tuple[str, Any]] = field(default_factory=list)
    source: FakeSource = field(default_factory=lambda: FakeSource(np.full((3, 600, 800), 200, np.uint8)))
    seen: list[ImageInfo] = field(default_factory=list)
    planes: list[str] = field(default_factory=list)
    prepared_with: list[dict[str, Any]] = field(default_factory=list)
    places: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()
        self.load_gate.set()

    def open_image(
        self,
        what: Any,
        *,
        axes: str | None = None,  # noqa: ARG002
        scene: Any = None,
        plane: Mapping[str, int] | None = None,
    ) -> Any:
        if isinstance(what, FakeSource):
            return on_plane(what, plane)
        if isinstance(what, (str, Path)):
            self.opened.append((str(what), scene))
            if self.refusal is not None:
                raise self.refusal
            return self.source if scene is None else replace(self.source, scene=scene)
        data = what.data[0] if what.multiscale else what.data
        return FakeSource(np.moveaxis(np.asarray(data), -1, 0) if what.rgb else np.asarray(data)[None], rgb=what.rgb)

    def select(self, source: Any, *, channels: Any = None, pixel_size: Any = None, notices: Sequence[str] = ()) -> Any:
        return select(source, channels=channels, pixel_size=pixel_size, notices=notices)

    def in_micrometres(self, info: ImageInfo) -> tuple[float, ...] | None:
        return info.pixel_size

    def tissue_mask(self, image: Any) -> Any:  # noqa: ARG002
        return np.eye(2, dtype=bool)

    def load_model(
        self, what: Any, *, architecture: str | None = None, arguments: Mapping[str, Any] | None = None
    ) -> FakeNetwork:
        """As `load_refusals` says under the name, or under "name architecture"; a yes takes a question away."""
        self.loaded.append((str(what), architecture, arguments))
        self.load_gate.wait(5)
        refusal = self.load_refusals.get(str(what) if architecture is None else f"{what} {architecture}")
        if refusal is not None and refusal not in self.trusted:
            raise refusal
        return self.networks.get(str(what), FakeNetwork(Path(str(what)).stem))

    def trust(self, question: NotTrusted) -> None:
        self.trusted.append(question)

    def add_model(self, path: Any, name: str | None = None, **options: Any) -> str:  # noqa: ARG002
        self.added.append(Path(path).stem if name is None else name)
        return self.added[-1]

    def architecture_names(self) -> tuple[str, ...]:
        return ("unet", "monai:BasicUNet")

    def parameters_of(self, architecture: str) -> tuple[FakeParameter, ...]:  # noqa: ARG002
        return (FakeParameter("outputs"), FakeParameter("depth", "4"))

    def time_tile(self, prepared: Any, tile: int, **options: Any) -> FakeTiming:  # noqa: ARG002
        self.timed.append(tile)
        return self.timing

    def model_names(self) -> tuple[str, ...]:
        return ("nuclei", "stain")

    def describe_model(self, name: str) -> str:
        known = {"nuclei": "Cell nuclei in stained tissue", "stain": "Haematoxylin and eosin apart"}
        return known.get(name, f"{name} (added)")

    def prepare(
        self,
        model: FakeNetwork,
        image: FakeSource,
        *,
        cancelled: Callable[[], bool] | None = None,
        approximate: bool = False,
        **options: Any,
    ) -> FakePrepared:
        self.traced.append(model.name)
        self.prepared_with.append({**options, **({"approximate": True} if approximate else {})})
        self.seen.append(image.info)
        while not self.gate.wait(0.01):
            if cancelled is not None and cancelled():
                raise RunCancelled("tracing was cancelled")
        if self.refusal is not None and not approximate:
            raise self.refusal
        if model.resolution is not None and image.info.pixel_size is None:
            works_at = model.resolution.pixel_size
            raise PixelSizeUnknown("the size must be known", model=model.name, image="slide", works_at=works_at)
        height, width = image.info.levels.shapes[0][-2:]
        shape = (int(height / self.scale[0]), int(width / self.scale[1]))
        return FakePrepared(shape, self.scale, exact=not approximate, notices=(*image.info.notices, *model.notices))

    def spatial_axes(self, model: FakeNetwork) -> int | None:
        return model.ndim

    def with_image(self, prepared: FakePrepared, image: Any) -> FakePrepared:
        self.planes.append(image.info.identity)
        return prepared

    def tile_for(self, prepared: FakePrepared, budget: int | None = None, **place: str) -> FakeChoice:  # noqa: ARG002
        self.places.append(place)
        if self.choice_refusal is not None:
            raise self.choice_refusal
        allowed = budget or 2_000_000_000
        return FakeChoice(max(t for t, b in TILES if b <= allowed), TILES, allowed)

    def cost_of(self, prepared: FakePrepared, tile: int) -> FakeCost | None:
        return FakeCost(tile) if prepared.exact else None

    def existing_output_at(self, path: Path, prepared: FakePrepared) -> FakeFound | None:  # noqa: ARG002
        return self.found.get(path)

    def memory_of(self, device: str = "auto") -> FakeMemory:  # noqa: ARG002
        return FakeMemory()

    def start_workers(self) -> FakeWorkers:
        if self.workers_refusal is not None:
            raise self.workers_refusal
        self.workers.append(FakeWorkers())
        return self.workers[-1]

    def start(self, prepared: FakePrepared, **options: Any) -> FakeRun:
        if self.start_refusal is not None:
            raise self.start_refusal
        rgb = self.channels == 3
        live = FakeLive(prepared.output_shape, self.kind, self.channels, rgb=rgb)  # type: ignore[arg-type]
        if not prepared.exact:
            live.info = replace(live.info, exact=False)
        self.runs.append(FakeRun(live, **options))
        self.runs[-1].notices = prepared.notices
        return self.runs[-1]
