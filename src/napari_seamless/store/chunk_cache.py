"""Chunks of a result in memory, bounded in bytes: those that are on disk already, and those that must get there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from napari_seamless.byte_cache import ByteCache
from napari_seamless.geometry import Cell

Array = NDArray[Any]
Key = tuple[int, Cell]
"""Level and chunk index."""


class CleanChunks:
    """Copies of arrays that are on disk already, by any key: the most recently used, at most `limit` bytes. Any thread.

    A reader that fetches an array from disk takes a token first and *offers* the array with it. Where anything was
    put or dropped in between, the reader may hold an old one, and it is not kept.
    """

    def __init__(self, limit: int) -> None:
        self._arrays = ByteCache[Array](limit)
        self._changes = 0
        self._lock = Lock()

    def get(self, key: Hashable) -> Array | None:
        with self._lock:
            return self._arrays.get(key)

    def token(self) -> int:
        with self._lock:
            return self._changes

    def put(self, key: Hashable, array: Array) -> None:
        with self._lock:
            self._changes += 1
            self._arrays.put(key, array)

    def drop(self, key: Hashable) -> None:
        with self._lock:
            self._changes += 1
            self._arrays.drop(key)

    def offer(self, key: Hashable, array: Array, token: int) -> None:
        with self._lock:
            if self._changes == token and key not in self._arrays:
                self._arrays.put(key, array)


class DirtyChunks:
    """Coarse chunks that changed in memory and must reach the disk: at most `limit` bytes, and always at least one.

    `get` is called from any thread, everything else from the driving thread alone. `save` puts a chunk on
    disk; a chunk stays readable here until `save` returned: a reader finds it in one place or the other at any moment.
    Hence no `ByteCache`, which forgets what leaves it.
    """

    def __init__(self, limit: int, save: Callable[[Key, Array], None]) -> None:
        self._limit = limit
        self._save = save
        self._bytes = 0
        self._chunks: OrderedDict[Key, Array] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> Array | None:
        with self._lock:
            return self._chunks.get(key)

    def add(self, key: Key, chunk: Array) -> None:
        """Take a chunk in; the caller goes on changing it in place until it is asked for again with `touch`."""
        with self._lock:
            self._chunks[key] = chunk
        self._bytes += chunk.nbytes

    def touch(self, key: Key) -> Array | None:
        """The chunk, now the most recently used one; None where it is not here."""
        with self._lock:
            if key in self._chunks:
                self._chunks.move_to_end(key)
            return self._chunks.get(key)

    def shrink(self) -> None:
        """Save and forget the least recently used chunks until the limit holds."""
        while self._bytes > self._limit and len(self._chunks) > 1:
            self._release(next(iter(self._chunks)))

    def empty(self) -> None:
        """Save and forget everything."""
        for key in sorted(self._chunks):
            self._release(key)

    def _release(self, key: Key) -> None:
        self._save(key, self._chunks[key])
        with self._lock:
            self._bytes -= self._chunks.pop(key).nbytes
