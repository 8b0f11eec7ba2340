"""One tile from its pixels to its place in the result: the job that workers do, and that executors carry to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import sleep

from napari_seamless.errors import InputDamaged, RegionUnreadable
from napari_seamless.fingerprints import of_pixels, told
from napari_seamless.geometry import Region
from napari_seamless.interfaces import (
    DeviceTime,
    Engine,
    Job,
    Pixels,
    Receiver,
    Sink,
    Source,
    SourceRead,
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
        reads: list[SourceRead] = []
        receipt = self.sink.write(tile.write, self.engine.compute(tile, partial(self._read_for, reads), stop))
        device_time = self.engine.take_device_time() if isinstance(self.engine, TimedEngine) else None
        return TileResult(receipt, device_time, tuple(reads))

    def receive(self, write: Region, result: TileResult) -> None:
        """Give what `make` returned to a sink that wants it. Driving thread."""
        if isinstance(self.sink, Receiver):
            self.sink.receive(write, result.receipt)

    def _read_for(self, reads: list[SourceRead], region: Region) -> Pixels:
        """As `read`, and notes what was read. What the source says is asked before: a later write tells on itself."""
        known = told(self.source, region, self.level)
        pixels = self.read(region)
        if known != "":
            reads.append(SourceRead(region, of_pixels(pixels) if known is None else known))
        return pixels

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
    """Another job that says, in the driving thread, how long the device worked on each tile that comes back, and what
    was read for it.

    Pickled, it is the other job: workers in other processes observe nothing.
    """

    inner: Job
    on_device_time: Callable[[DeviceTime], None]
    on_reads: Callable[[Region, tuple[SourceRead, ...]], None] | None = None

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
        if self.on_reads is not None:
            self.on_reads(write, result.reads)
        self.inner.receive(write, result)

    def __reduce__(self) -> tuple[Callable[[Job], Job], tuple[Job]]:
        return _same, (self.inner,)


def _same(job: Job) -> Job:
    return job
