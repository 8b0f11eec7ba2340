"""One tile from its pixels to its place in the result: the job that workers do, and that executors carry to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import sleep
from typing import Any

from napari_seamless.errors import InputDamaged, PixelsNotFinite, RegionUnreadable
from napari_seamless.fingerprints import OnDisk, of_pixels, told
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
from napari_seamless.runtime.executor.patient_read import read_unless_stopped
from napari_seamless.runtime.executor.wanted_pixels import HoldsEarlier, WantedPixels, make_wanted

SECONDS_BEFORE_SECOND_READ = 0.1
"""Time for a network drive to come back to itself."""


@dataclass(frozen=True)
class TileJob:
    """Implements `interfaces.Job`: reads `level` of `source`, computes with `engine`, writes to `sink`.

    A tile that would read pixels that are not finite is made where it is `wanted` alone (None: all of it is).
    """

    source: Source
    level: int
    engine: Engine
    sink: Sink
    wanted: WantedPixels | None = None

    def make(self, write: Region, stop: StopFlag) -> TileResult:
        """Compute one write region, and put it in the sink. Any thread."""
        reads: list[SourceRead] = []
        try:
            pixels, is_partial = self._compute(write, reads, stop), False
        except PixelsNotFinite:
            if self.wanted is None or not isinstance(self.sink, HoldsEarlier):
                raise
            reads.clear()
            compute = partial(self._compute, reads=reads, stop=stop)
            pixels, is_partial = make_wanted(self.wanted, self.sink, write, compute), True
        receipt = self.sink.write(write, pixels)
        device_time = self.engine.take_device_time() if isinstance(self.engine, TimedEngine) else None
        return TileResult(receipt, device_time, tuple(reads), is_partial)

    def _compute(self, write: Region, reads: list[SourceRead], stop: StopFlag) -> Any:
        """What the engine makes of a region; `reads` gets what was read for it."""
        return self.engine.compute(self.engine.tile(write), partial(self._read_for, reads, stop), stop)

    def receive(self, write: Region, result: TileResult) -> None:
        """Give what `make` returned to a sink that wants it. Driving thread."""
        if isinstance(self.sink, Receiver):
            self.sink.receive(write, result.receipt)

    def _read_for(self, reads: list[SourceRead], stop: StopFlag, region: Region) -> Pixels:
        """As `read`, and notes what was read. What the source says is asked before: a later write tells on itself."""
        known = told(self.source, region, self.level)
        pixels = self.read(region, stop)
        if known != "":
            reads.append(SourceRead(region, of_pixels(pixels) if known is None else known))
        return pixels

    def read(self, region: Region, stop: StopFlag = lambda: False) -> Pixels:
        """Pixels of the source, (c, *region.shape), at a second attempt if need be. Raises RegionUnreadable, and
        RunCancelled where a read hangs when `stop` says True."""
        try:
            return self._read_once(region, stop)
        except (InputDamaged, OSError):
            sleep(SECONDS_BEFORE_SECOND_READ)
        try:
            return self._read_once(region, stop)
        except (InputDamaged, OSError) as error:
            raise RegionUnreadable(f"the pixels {region!r} cannot be read, tried twice: {error}") from error

    def _read_once(self, region: Region, stop: StopFlag) -> Pixels:
        """What lies in files here is read at once; anything else, a server say, may hang."""
        if isinstance(self.source, OnDisk) and self.source.paths:
            return self.source.read(region, self.level)
        return read_unless_stopped(partial(self.source.read, region, self.level), stop)


@dataclass(frozen=True)
class ObservedJob:
    """Another job that says, in the driving thread, how long the device worked on each tile that comes back, and what
    it gave.

    Pickled, it is the other job: workers in other processes observe nothing.
    """

    inner: Job
    on_device_time: Callable[[DeviceTime], None]
    on_result: Callable[[Region, TileResult], None] | None = None

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
        if self.on_result is not None:
            self.on_result(write, result)
        self.inner.receive(write, result)

    def __reduce__(self) -> tuple[Callable[[Job], Job], tuple[Job]]:
        return _same, (self.inner,)


def _same(job: Job) -> Job:
    return job
