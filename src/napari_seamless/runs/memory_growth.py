"""How much memory a run took on a CPU, where nobody counts what is torch's: by how much the process has grown."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from napari_seamless.runtime.engine.allocator import resident

if sys.platform != "win32":
    import resource

STATUS = Path("/proc/self/status")
"""Of Linux."""


class MemoryGrowth:
    """By how many bytes this process' resident memory has grown since this was made, at most.

    Where the system's own record of the most there ever was is broken meanwhile, that is exact; else it is the most
    that there was at any `look`. All that the process does counts: a result in memory and a window as well as tiles.
    Pages that were kept for reuse before are no growth. Any thread.
    """

    def __init__(self) -> None:
        self._start = self._seen = resident()
        self._record = most_resident()
        self._final: int | None = None

    def look(self) -> None:
        """Takes a sample: tens of microseconds."""
        if self._final is None:
            self._seen = max(self._seen, resident())

    def end(self) -> None:
        """What grows from now on does not count."""
        self._final = self.bytes

    @property
    def bytes(self) -> int:
        if self._final is not None:
            return self._final
        self.look()
        record = most_resident()
        return max(self._seen, record if record > self._record else 0) - self._start


def growth_on(device: torch.device) -> MemoryGrowth | None:
    """Begins to watch where tiles are made in the process' own memory; None where they are not."""
    return MemoryGrowth() if device.type == "cpu" else None


def most_resident() -> int:
    """The most bytes of this process that ever were in memory, as the system has counted; 0 on Windows.

    On Linux not by getrusage, which takes over what the process had that started this one.
    """
    if STATUS.is_file():
        words = STATUS.read_text(encoding="utf-8").split()
        return int(words[words.index("VmHWM:") + 1]) * 1024
    if sys.platform == "win32":
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
