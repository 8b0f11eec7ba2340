"""One tile from its pixels to its place in the result: the job that workers do, and that executors carry to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import sleep

from napari_seamless.errors import InputDamaged, RegionUnreadable
from napari_seamless.geometry import Region
from napari_seamless.interfaces import (
    DeviceTime,
    Engine,
    Job,
    Pixels,
    Receiver,
    Sink,
    Source,
    StopFlag,
    TileResult,
    TimedEngine,
)

SECONDS_BEFORE_SECOND_READ = 0.1
"""Time for a network drive to come back to itself."""


@dataclass(frozen=True)
class TileJob:
    """Implements `interfaces.Job`: reads `level` of `source`, computes with `engine`, writes to `sink`."""

    source: Source
    level: int
    engine: Engine
    sink: Sink

    def make(self, write: Region, stop: StopFlag) -> TileResult:
        """Compute one write region, and put it in the sink. Any thread."""
        tile = self.engine.tile(write)
        receipt = self.sink.write(tile.write, self.engine.compute(tile, self.read, stop))
        return TileResult(receipt, self.engine.take_device_time() if isinstance(self.engine, TimedEngine) else None)

    def receive(self, write: Region, result: TileResult) -> None:
        """Give what `make` returned to a sink that wants it. Driving thread."""
        if isinstance(self.sink, Receiver):
            self.sink.receive(write, result.receipt)

    def read(self, region: Region) -> Pixels:
        """Pixels of the source, (c, *region.shape), at a second attempt if need be. Raises RegionUnreadable."""
        try:
            return self.source.read(region, self.level)
        except (InputDamaged, OSError):
            sleep(SECONDS_BEFORE_SECOND_READ)
        try:
            return self.source.read(region, self.level)
        except (InputDamaged, OSError) as error:
            raise RegionUnreadable(f"the pixels {region!r} cannot be read, tried twice: {error}") from error


@dataclass(frozen=True)
class ObservedJob:
    """Another job that says, in the driving thread, how long the device worked on each tile that comes back.

    Pickled, it is the other job: workers in other processes observe nothing.
    """

    inner: Job
    on_device_time: Callable[[DeviceTime], None]

    @property
    def engine(self) -> Engine:
        return self.inner.engine

    @property
    def sink(self) -> Sink:
        return self.inner.sink

    def make(self, write: Region, stop: StopFlag) -> TileResult:
        return self.inner.make(write, stop)

    def receive(self, write: Region, result: TileResult) -> None:
        if result.device_time is not None:
            self.on_device_time(result.device_time)
        self.inner.receive(write, result)

    def __reduce__(self) -> tuple[Callable[[Job], Job], tuple[Job]]:
        return _same, (self.inner,)


def _same(job: Job) -> Job:
    return job
