"""Decoded pieces of a file, kept while there is room.

The reads of neighbouring tiles overlap by their halo; without this every piece under a halo would be decoded twice or
four times.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from napari_seamless.interfaces import Pixels, Reads


class DecodedCache:
    """At most `limit` bytes of arrays, the least recently used leaving first. Any thread.

    The arrays are shared: whoever gets one copies from it and never writes to it. A thread that wants a piece which
    another one is just decoding waits for that.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._needed = 0
        self._decoded = 0
        self._pieces: OrderedDict[Hashable, Pixels] = OrderedDict()
        self._seen: set[Hashable] = set()
        self._making: dict[Hashable, threading.Event] = {}
        self._lock = threading.Lock()

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
                    self._pieces.move_to_end(key)
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
        """Keeps `piece`, unless it alone is larger than the limit."""
        with self._lock:
            self._decoded += piece.nbytes
            self._needed += 0 if key in self._seen else piece.nbytes
            self._seen.add(key)
            if piece.nbytes > self.limit:
                return
            self._pieces[key] = piece
            self.bytes += piece.nbytes
            while self.bytes > self.limit:
                _, oldest = self._pieces.popitem(last=False)
                self.bytes -= oldest.nbytes

    def clear(self) -> None:
        with self._lock:
            self._pieces.clear()
            self.bytes = 0
