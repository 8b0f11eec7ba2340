"""The C library's buffers: large ones are reused by the next layer, and given back before holes among them add up.

glibc maps every buffer above 32 MB afresh and gives it back at once, so that the kernel has to clear its pages each
time; on CPUs that took half of the time of a U-Net. Reusing such buffers for the next layer avoids it. But tiles differ
in size, and a buffer that is a little too small for the next one stays beside it: the process came to hold half a
gigabyte more than a run with a budget of 250 MB had in use. So free pages go back whenever that has grown by a little,
between two tiles, where it costs milliseconds.

The two thresholds are the whole process's, and cannot be asked for. They are raised while any engine of the process
lives, and put back with the last one, to what the process was started with, or else to where glibc moves them by
itself once a buffer of 32 MB was freed. Free pages go back then, too.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
from threading import RLock
from weakref import finalize

import psutil

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST = 2**31 - 1
GROWTH = 32 * 2**20

USUAL = {M_MMAP_THRESHOLD: 32 * 2**20, M_TRIM_THRESHOLD: 64 * 2**20}
"""Where glibc's own rule ends: the largest threshold for mapping, and twice that for trimming."""
NAMES = {M_MMAP_THRESHOLD: "mmap_threshold", M_TRIM_THRESHOLD: "trim_threshold"}


class LargeBuffers:
    """Large buffers are reused in this process while this lives, if `reuse`, and the C library is glibc. Any thread.

    Free pages go back (`trim`) once tiles leave `GROWTH` bytes more in memory than one of them did. What a single tile
    leaves stays for the next one. Two threads at once give back twice, which harms nobody.
    """

    def __init__(self, reuse: bool) -> None:
        self._reuses = reuse and platform.libc_ver()[0] == "glibc"
        self._least: int | None = None
        if self._reuses:
            _thresholds.raise_()
            finalize(self, _thresholds.put_back).atexit = False

    def trim(self) -> None:
        """To be called between two tiles."""
        if not self._reuses:
            return
        now, least = resident(), self._least
        if least is None or now < least:
            self._least = now
        elif now > least + GROWTH:
            ctypes.CDLL(None).malloc_trim(0)
            self._least = None  # until the next tile has left its buffers


class _Thresholds:
    """Counts who wants them raised. A finalizer may come in at any place of the same thread, hence the lock's kind."""

    def __init__(self) -> None:
        self._users = 0
        self._lock = RLock()

    def raise_(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._set(dict.fromkeys(USUAL, LARGEST))

    def put_back(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._set({option: _configured(NAMES[option]) or usual for option, usual in USUAL.items()})
                ctypes.CDLL(None).malloc_trim(0)

    @staticmethod
    def _set(values: dict[int, int]) -> None:
        libc = ctypes.CDLL(None)
        for option, value in values.items():
            libc.mallopt(option, min(value, LARGEST))


_thresholds = _Thresholds()
"""Of this process, as those of the C library are."""


def _configured(name: str) -> int | None:
    """What the process was started with."""
    said = os.environ.get(f"MALLOC_{name.upper()}_", "")
    if not said:
        found = re.search(rf"glibc\.malloc\.{name}=(\w+)", os.environ.get("GLIBC_TUNABLES", ""))
        said = found[1] if found else ""
    try:
        return int(said, 0) or None
    except ValueError:
        return None


def resident() -> int:
    """Bytes of this process in memory."""
    return int(psutil.Process().memory_info().rss)
