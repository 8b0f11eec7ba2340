"""Decoded pieces of a file, kept while there is room.

The reads of neighbouring tiles overlap by their halo; without this every piece under a halo would be decoded twice or
four times.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

from napari_seamless.seams import Pixels


class PieceCache:
    """At most `limit` bytes of arrays, the least recently used leaving first. Any thread.

    The arrays are shared: whoever gets one copies from it and never writes to it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._pieces: OrderedDict[Hashable, Pixels] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Pixels | None:
        with self._lock:
            piece = self._pieces.get(key)
            if piece is not None:
                self._pieces.move_to_end(key)
            return piece

    def put(self, key: Hashable, piece: Pixels) -> None:
        """Keeps `piece`, unless it alone is larger than the limit."""
        if piece.nbytes > self.limit:
            return
        with self._lock:
            if key in self._pieces:
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
