"""Decoded pieces of a file, kept while there is room.

The reads of neighbouring tiles overlap by their halo; without this every piece under a halo would be decoded twice or
four times.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

from napari_seamless.byte_cache import ByteCache
from napari_seamless.interfaces import Pixels, Reads


class DecodedCache:
    """At most `limit` bytes of arrays, the least recently used leaving first. Any thread.

    The arrays are shared: whoever gets one copies from it and never writes to it. A thread that wants a piece which
    another one is just decoding waits for that.
    """

    def __init__(self, limit: int) -> None:
        self._needed = 0
        self._decoded = 0
        self._pieces = ByteCache[Pixels](limit)
        self._seen: set[Hashable] = set()
        self._making: dict[Hashable, threading.Event] = {}
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Of all pieces that are kept at present."""
        return self._pieces.bytes

    @property
    def reads(self) -> Reads:
        """What was decoded since this cache was made."""
        with self._lock:
            return Reads(self._needed, self._decoded)

    def piece(self, key: Hashable, decode: Callable[[], Pixels]) -> Pixels:
        """The piece kept under `key`, or else the one that `decode` makes, which is kept then."""
        while True:
            with self._lock:
                found = self._pieces.get(key)
                if found is not None:
                    return found
                other = self._making.get(key)
                if other is None:
                    done = self._making[key] = threading.Event()
                    break
            other.wait()
        try:
            made = decode()
            self._keep(key, made)
            return made
        finally:
            with self._lock:
                del self._making[key]
            done.set()

    def _keep(self, key: Hashable, piece: Pixels) -> None:
        with self._lock:
            self._decoded += piece.nbytes
            self._needed += 0 if key in self._seen else piece.nbytes
            self._seen.add(key)
            self._pieces.put(key, piece)

    def clear(self) -> None:
        with self._lock:
            self._pieces.clear()
