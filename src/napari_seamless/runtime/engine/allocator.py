"""The C library's buffers: large ones are kept for the next, and given back before holes among them add up.

glibc maps every buffer above 32 MB afresh and gives it back at once, so that the kernel has to clear its pages each
time; on CPUs that took half of the time of a U-Net. Keeping such buffers for the next layer avoids it. But tiles differ
in size, and a buffer that is a little too small for the next one stays beside it: the process came to hold half a
gigabyte more than a run with a budget of 250 MB had in use. So free pages go back whenever that has grown by a little,
between two tiles, where it costs milliseconds.
"""

from __future__ import annotations

import ctypes
import platform

import psutil

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST = 2**31 - 1
GROWTH = 32 * 2**20


def keep_large_buffers() -> bool:
    """Tell glibc to reuse buffers of any size. False where the C library is another one. Any thread, any time."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return all(bool(libc.mallopt(option, LARGEST)) for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))


class KeptBuffers:
    """Gives free pages back once tiles leave `GROWTH` bytes more in memory than one of them did. Any thread.

    What a single tile leaves is kept for the next one. Two threads at once give back twice, which harms nobody. Does
    nothing where buffers are not kept (`keeping`).
    """

    def __init__(self, keeping: bool) -> None:
        self._keeping = keeping
        self._least: int | None = None

    def settle(self) -> None:
        """To be called between two tiles."""
        if not self._keeping:
            return
        now, least = resident(), self._least
        if least is None or now < least:
            self._least = now
        elif now > least + GROWTH:
            ctypes.CDLL(None).malloc_trim(0)
            self._least = None  # until the next tile has left its buffers


def resident() -> int:
    """Bytes of this process in memory."""
    return int(psutil.Process().memory_info().rss)
