"""Denormal floats (below 1e-38 in float32) count as 0 while a CPU computes tiles: processors take many times as long
with them, and no result that a network gives depends on them.

The switch is a register of one thread. It is set for the time that a tile is computed, in the thread that computes it,
and put back as it was: whoever makes an engine, or runs one in a thread of their own, finds theirs unchanged. (Threads
of torch's own pool take the register over from the thread that first makes them work.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALLEST = 5e-324
"""The smallest positive float64, a denormal."""


def flushes_denormals(factor: float = 1.0) -> bool:
    """Whether denormals count as 0 in this thread. torch can set this, but not tell."""
    return SMALLEST * factor == 0


@contextmanager
def flushed_denormals(device: torch.device) -> Iterator[None]:
    """In it denormals count as 0 in this thread, on a CPU."""
    if device.type != "cpu" or flushes_denormals():
        yield
        return
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
