"""What the dock needs of the pipeline, so that a fake can stand in for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from napari_seamless.errors import NotTrusted
from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, LiveImage, RunHandle, Source


class Prepared(Protocol):
    """A network traced at the size of one image. Output pixel o lies at level-0 pixel `o * scale + offset`."""

    @property
    def output_shape(self) -> tuple[int, ...]: ...

    @property
    def scale(self) -> Sequence[float]: ...

    @property
    def offset(self) -> Sequence[float]: ...

    @property
    def approximation(self) -> object | None:
        """How it is run where it cannot be computed exactly; None where it can."""


class TileChoice(Protocol):
    """The tile (edge in output pixels) that a budget allows, and all (tile, bytes) that there are."""

    @property
    def tile(self) -> int: ...

    @property
    def choices(self) -> Sequence[tuple[int, int]]: ...

    @property
    def budget(self) -> int: ...


class Found(Protocol):
    """A result at a path, how much of it is done, and whether a run would go on with it."""

    @property
    def path(self) -> Path: ...

    @property
    def store(self) -> LiveImage: ...

    @property
    def fraction(self) -> float: ...

    @property
    def continues(self) -> bool: ...


class TileCost(Protocol):
    """The input pixels that a tile reads beyond its own, its arithmetic (times the whole image's), and the passes."""

    @property
    def tile(self) -> int: ...

    @property
    def halo(self) -> int: ...

    @property
    def redundancy(self) -> float: ...

    @property
    def passes(self) -> int: ...


class DeviceMemory(Protocol):
    """Bytes of a device: free now, in all, and held by this process."""

    @property
    def device(self) -> str: ...

    @property
    def free(self) -> int: ...

    @property
    def total(self) -> int: ...

    @property
    def used(self) -> int: ...


class SelfCheck(Protocol):
    """Regions computed a second time. Differences are in standard deviations, or (labels) shares of pixels."""

    @property
    def regions(self) -> int: ...

    @property
    def largest(self) -> float: ...

    @property
    def mean(self) -> float: ...


class Report(Protocol):
    """What a run found out about its own result. str() puts a `mismatch` into words."""

    @property
    def exact(self) -> bool: ...

    @property
    def self_check(self) -> SelfCheck | None: ...

    @property
    def mismatch(self) -> object | None: ...

    @property
    def peak(self) -> int | None:
        """The most bytes that were held on the device; None where nobody counts (a CPU)."""

    @property
    def growth(self) -> int | None:
        """By how many bytes, at most, the process grew, on a CPU; None elsewhere."""

    @property
    def failed(self) -> Sequence[Region]:
        """The output pixels that were left out, since the image could not be read there."""


class Result(Protocol):
    """A finished (or stopped) run."""

    @property
    def report(self) -> Report: ...

    def save(self, path: str | Path, overwrite: bool = False) -> object: ...


class Run(RunHandle, Protocol):
    """A started run, its live result, and the result once it has ended.

    `preview` is a run of its own, with a live result of its own, of what is on screen with estimated statistics; None
    before it is ready, and where there is none.
    """

    @property
    def preview(self) -> Run | None: ...

    @property
    def store(self) -> LiveImage: ...

    @property
    def in_work(self) -> Sequence[Region]:
        """The output pixels of the tiles that are being made now."""

    def result(self) -> Result: ...


class Workers(Protocol):
    """Threads that wait for runs; `client` is what `start` takes as its scheduler."""

    @property
    def client(self) -> Any: ...

    def close(self) -> None: ...


class Resolution(Protocol):
    """The pixel size (um, (z,) y, x) that a network works at, and how far off, as a share, an image may be."""

    @property
    def pixel_size(self) -> tuple[float, ...]: ...

    @property
    def tolerance(self) -> float: ...


class ClassName(Protocol):
    """One value of a label image."""

    @property
    def value(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def colour(self) -> str: ...


class Network(Protocol):
    """A loaded model, as far as a person is told of it. `channels` is None where any number will do."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def channels(self) -> int | None: ...

    @property
    def input_names(self) -> tuple[str, ...]: ...

    @property
    def ndim(self) -> int: ...

    @property
    def kind(self) -> str: ...

    @property
    def classes(self) -> Sequence[ClassName]: ...

    @property
    def channel_names(self) -> tuple[str, ...]: ...

    @property
    def card(self) -> Mapping[str, object]: ...

    @property
    def dtype(self) -> str | None: ...

    @property
    def resolution(self) -> Resolution | None: ...


class Parameter(Protocol):
    """A keyword argument of an architecture; `default` is JSON, None where it must be given."""

    @property
    def name(self) -> str: ...

    @property
    def default(self) -> str | None: ...


class Timing(Protocol):
    """How long a tile took here. With `is_least` a run takes longer, for its passes."""

    @property
    def seconds_per_pixel(self) -> float: ...

    @property
    def edge(self) -> int: ...

    @property
    def device(self) -> str: ...

    @property
    def is_least(self) -> bool: ...


class Backend(Protocol):
    """The functions of `napari_seamless.runs` that the dock calls. Slow ones run in a background thread."""

    def open_image(
        self, what: Any, *, axes: str | None = None, scene: Any = None, plane: Mapping[str, int] | None = None
    ) -> Source: ...

    def select(self, source: Source, *, channels: Any = None, pixel_size: Any = None) -> Source: ...

    def tissue_mask(self, image: Any) -> Any: ...

    def in_micrometres(self, info: ImageInfo) -> tuple[float, ...] | None: ...

    def load_model(
        self,
        what: Any,
        *,
        architecture: str | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> Any: ...

    def add_model(
        self,
        path: str | Path,
        name: str | None = None,
        *,
        architecture: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        trust: bool = False,
    ) -> str: ...

    def trust(self, question: NotTrusted) -> None: ...

    def architecture_names(self) -> Sequence[str]: ...

    def parameters_of(self, architecture: str) -> Sequence[Parameter]: ...

    def time_tile(self, prepared: Any, tile: int, *, cancelled: Callable[[], bool] = lambda: False) -> Timing: ...

    def model_names(self) -> Sequence[str]: ...

    def describe_model(self, name: str) -> str: ...

    def prepare(
        self, model: Any, image: Any, *, cancelled: Callable[[], bool] | None = None, approximate: bool = False
    ) -> Any: ...

    def spatial_axes(self, model: Any) -> int | None: ...

    def with_image(self, prepared: Any, image: Any) -> Any: ...

    def tile_for(self, prepared: Any, budget: int | None = None) -> TileChoice: ...

    def cost_of(self, prepared: Any, tile: int) -> TileCost | None: ...

    def found_at(self, path: Path, prepared: Any) -> Found | None: ...

    def memory_of(self) -> DeviceMemory: ...

    def start_workers(self) -> Workers: ...

    def start(
        self,
        prepared: Any,
        *,
        view: Region | None = None,
        where: Any = None,
        whole: bool = True,
        follow: bool = False,
        budget: int | None = None,
        tile: int | None = None,
        scheduler: Any = "dask",
        output: Path | None = None,
        preview: bool = False,
        **settings: Any,
    ) -> Any: ...
