"""A first look before the exact moments are known: moments estimated from a mosaic of pieces of the image.

The mosaic is small enough to be run whole, at the image's own resolution, so that textures are what they are; its
pieces come from all over the image. What is made with its moments is a preview, and never written to the result.
"""

from __future__ import annotations

from random import Random

import numpy as np

from napari_seamless.errors import SeamlessError
from napari_seamless.geometry import Interval, Region
from napari_seamless.interfaces import Pixels, StopFlag
from napari_seamless.program.trace import trace
from napari_seamless.runs.approximation import on_cpu
from napari_seamless.runs.moments import Moments
from napari_seamless.runs.traced import TracedNetwork
from napari_seamless.runtime.engine import TorchEngine

PIECES, EDGE, DEPTH = 3, 128, 16


def estimated_moments(prepared: TracedNetwork, device: str, stop: StopFlag) -> Moments | None:
    """Moments of a mosaic; None where the network needs other ones at that size. Takes seconds.

    Raises RunCancelled when `stop` says True.
    """
    mosaic = mosaic_of(prepared)
    try:
        program = trace(on_cpu(prepared.model.module), (1, *mosaic.shape), cancelled=stop)
        states = TorchEngine(program, device, fast=False).measure(mosaic, stop)
        moments = Moments.of(program, states, {"model": prepared.model.name, "statistics": "preview"})
        moments.given(prepared.program, prepared.network_hash)
    except SeamlessError:
        if stop():
            raise
        return None
    return moments


def mosaic_of(prepared: TracedNetwork) -> Pixels:
    """(c, [z,] y, x): pieces of the image from all over it, put side by side; the whole image where it is small."""
    shape = prepared.source.info.levels.shape(prepared.level)
    draw = Random(prepared.program_hash)
    lows = [_lows(size, axis - (len(shape) - 2), draw) for axis, size in enumerate(shape)]
    rows = []
    for y in lows[-2]:
        row = [_read(prepared, shape, (*(low[0] for low in lows[:-2]), y, x)) for x in lows[-1]]
        rows.append(np.concatenate(row, axis=-1))
    return np.ascontiguousarray(np.concatenate(rows, axis=-2))


def _lows(size: int, plane_axis: int, draw: Random) -> list[int]:
    """Where pieces begin along an axis: one somewhere in each third, or one at the start of a short axis."""
    edge, count = (EDGE, PIECES) if plane_axis >= 0 else (DEPTH, 1)
    if size <= edge * count:
        return [0]
    third = size // count
    return [k * third + draw.randrange(max(1, third - edge)) for k in range(count)]


def _read(prepared: TracedNetwork, shape: tuple[int, ...], lows: tuple[int, ...]) -> Pixels:
    intervals = []
    for axis, (size, low) in enumerate(zip(shape, lows, strict=True)):
        edge = EDGE * (PIECES if size <= EDGE * PIECES else 1) if axis >= len(shape) - 2 else DEPTH
        intervals.append(Interval(low, min(low + edge, size)))
    return prepared.source.read(Region(tuple(intervals)), prepared.level)
