"""The one cache that counts bytes: of decoded pieces of files, chunks of results, outputs of tiles."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

from cachetools import LRUCache


class HasBytes(Protocol):
    """An array or a tensor."""

    @property
    def nbytes(self) -> int: ...


V = TypeVar("V", bound=HasBytes)


class ByteCache(Generic[V]):
    """At most `limit` bytes of arrays, the least recently used leaving first. Guarded by its owner's lock.

    What alone is larger than the limit is not kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._arrays: LRUCache[Hashable, V] = LRUCache(limit, getsizeof=_size)

    @property
    def bytes(self) -> int:
        """Of all that is kept at present."""
        return int(self._arrays.currsize)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._arrays

    def get(self, key: Hashable) -> V | None:
        """What is kept under `key`, now the most recently used."""
        return self._arrays.get(key)

    def put(self, key: Hashable, array: V) -> None:
        """Keep an array, in the place of what was kept under `key`."""
        self.drop(key)
        if array.nbytes <= self.limit:
            self._arrays[key] = array

    def drop(self, key: Hashable) -> None:
        """Forget what is kept under `key`, if anything is."""
        self._arrays.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._arrays.clear()


def _size(array: HasBytes) -> int:
    return array.nbytes
