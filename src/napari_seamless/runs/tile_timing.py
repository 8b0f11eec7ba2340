"""How long a run may take, from the time that one small tile takes here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import torch

from napari_seamless.errors import RunCancelled
from napari_seamless.geometry import Interval, Region
from napari_seamless.program.analysis import inner_tile
from napari_seamless.runs.approximation import on_cpu
from napari_seamless.runs.prepared import Prepared

TIMED_EDGE = 256


@dataclass(frozen=True)
class TileTiming:
    """One tile that was computed to see how long it takes.

    `seconds_per_pixel` is for output pixels, in tiles of the size that was asked about: the time of the timed tile
    (`edge` pixels), times the ratio of the two tiles' arithmetic. With `is_least`, a run takes longer: the network is
    computed in several `passes`, and one plain evaluation of it was timed.
    """

    seconds_per_pixel: float
    edge: int
    device: str
    passes: int = 1

    @property
    def is_least(self) -> bool:
        return self.passes > 1


def time_tile(
    prepared: Prepared, tile: int, *, device: str = "auto", cancelled: Callable[[], bool] = lambda: False
) -> TileTiming:
    """Compute a small tile from the middle of the image twice, and time the second; nothing is kept.

    `tile` is the edge, in output pixels, of those that a run would use. Any thread; for as long as two such tiles
    take. Raises RunCancelled, and what reading and computing raise.
    """
    engine = prepared.output_engine(device)
    edge = min(tile, TIMED_EDGE)
    write = inner_tile(prepared.output_shape, _edges(prepared, edge))
    if prepared.number_of_passes > 1:
        seconds = _evaluated(prepared, write, engine.device, cancelled)
        return TileTiming(seconds, edge, str(engine.device), prepared.number_of_passes)
    place = engine.tile(write)
    seconds = 0.0
    for _ in range(2):  # the first builds and fetches what later ones find
        started = perf_counter()
        engine.compute(place, lambda region: prepared.source.read(region, prepared.level), cancelled)
        seconds = perf_counter() - started
    wanted = inner_tile(prepared.output_shape, _edges(prepared, tile))
    ratio = (prepared.macs(wanted) / wanted.size) / max(prepared.macs(write) / write.size, 1e-9)
    return TileTiming(seconds / write.size * (ratio or 1.0), edge, str(engine.device))


def _edges(prepared: Prepared, edge: int) -> tuple[int, ...]:
    """A tile of that edge; through all planes of a volume."""
    front, plane = prepared.output_shape[:-2], prepared.output_shape[-2:]
    return (*front, *(min(edge, n) for n in plane))


def _evaluated(prepared: Prepared, write: Region, device: torch.device, cancelled: Callable[[], bool]) -> float:
    """Seconds an output pixel that the plain network takes on a crop of the image."""
    levels = prepared.source.info.levels.shape(prepared.level)
    spans = zip(write.intervals, prepared.scale, levels, strict=True)
    crop = Region(tuple(_under(span, scale, size) for span, scale, size in spans))
    pixels = torch.from_numpy(prepared.source.read(crop, prepared.level)).float()[None].to(device)
    module = on_cpu(prepared.model.module)
    module = module if device.type == "cpu" else module.to(device)
    seconds = 0.0
    for _ in range(2):
        if cancelled():
            raise RunCancelled("the time of a tile is not wanted any more")
        started = perf_counter()
        with torch.inference_mode():
            module(pixels).cpu()
        seconds = perf_counter() - started
    return seconds / write.size


def _under(span: Interval, scale: float, size: int) -> Interval:
    lo = min(int(span.lo * scale), size - 1)
    return Interval(lo, max(min(int(span.hi * scale), size), lo + 1))
