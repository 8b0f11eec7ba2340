"""Checksums of an array that is written piece by piece and read in other pieces.

A piece is cut into strips: rows along the last two axes, of `strip` entries along the first of those. Each has a
checksum; a read checks the strips that it touches. Checksums lie in a file beside the array, to which every process
that writes appends.
"""

from __future__ import annotations

import errno
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

FEWEST_ENTRIES, FEWEST_BYTES = 64, 16384
"""A strip is at least so long: shorter ones take longer than their pixels."""

Bounds = tuple[tuple[int, int], ...]


@dataclass
class PieceChecksums:
    """Those of one array of this shape, in the order in which it is stored. Any thread; picklable."""

    file: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _pieces: dict[Bounds, NDArray[np.uint64]] = field(default_factory=dict)
    _seen: int = 0
    _lock: Lock = field(default_factory=Lock)

    @property
    def _strip(self) -> int:
        across = self.shape[-1] * self.dtype.itemsize if len(self.shape) > 1 else self.dtype.itemsize
        return max(FEWEST_ENTRIES, FEWEST_BYTES // max(across, 1))

    def add(self, at: Bounds, pixels: NDArray[Any]) -> None:
        """Of a piece that was written. Raises OSError."""
        sums = np.array([_checksum(strip) for strip in self._strips(at, pixels)], np.uint64)
        record = np.concatenate([np.array([sums.size, *np.ravel(at)], np.uint64), sums]).tobytes()
        file = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.write(file, record) != len(record):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.file))
        finally:
            os.close(file)

    def are_right(self, at: Bounds, stored: NDArray[Any]) -> bool:
        """Whether the part `at` of the array is as it was written; what nobody has written is. Raises OSError."""
        for piece, sums in self._touched(at):
            part = tuple(_shared(p, a) for p, a in zip(piece, at, strict=True))
            edges = self._edges(piece)
            along = len(piece) - 2 if len(piece) > 1 else 0
            first = bisect_right(edges, part[along][0]) - 1
            end = bisect_left(edges, part[along][1])
            whole = (*part[:along], (edges[first], edges[end]), *piece[along + 1 :])
            of = np.arange(sums.size).reshape([*(hi - lo for lo, hi in piece[:along]), len(edges) - 1])
            inner = tuple(slice(w[0] - p[0], w[1] - p[0]) for w, p in zip(whole[:along], piece[:along], strict=True))
            strips = self._strips(whole, stored[tuple(slice(*span) for span in whole)])
            wanted = of[(*inner, slice(first, end))].reshape(-1)
            if any(_checksum(strip) != sums[number] for number, strip in zip(wanted, strips, strict=True)):
                return False
        return True

    def _edges(self, piece: Bounds) -> list[int]:
        """Where a piece is cut."""
        lo, hi = piece[-2] if len(piece) > 1 else piece[-1]
        return [lo, *range(lo - lo % self._strip + self._strip, hi, self._strip), hi]

    def _strips(self, at: Bounds, pixels: NDArray[Any]) -> Iterator[NDArray[Any]]:
        rows = np.ascontiguousarray(pixels).reshape(-1, *(pixels.shape[-2:] if pixels.ndim > 1 else pixels.shape))
        edges = self._edges(at)
        for row in rows:
            for begin, end in pairwise(edges):
                yield row[begin - edges[0] : end - edges[0]]

    def _touched(self, at: Bounds) -> list[tuple[Bounds, NDArray[np.uint64]]]:
        with self._lock:
            self._read_new()
            return [(p, s) for p, s in self._pieces.items() if all(map(_overlap, p, at))]

    def _read_new(self) -> None:
        """What was appended since. A piece that was written over has no checksums any more."""
        if not self.file.exists() or self.file.stat().st_size == self._seen:
            return
        with self.file.open("rb") as file:
            file.seek(self._seen)
            numbers = np.frombuffer(file.read(), np.uint64)
        head, start = 1 + 2 * len(self.shape), 0
        while start + head <= numbers.size and start + head + int(numbers[start]) <= numbers.size:
            count = int(numbers[start])
            bounds = numbers[start + 1 : start + head].astype(int).reshape(-1, 2).tolist()
            piece: Bounds = tuple((lo, hi) for lo, hi in bounds)
            for other in [p for p in self._pieces if all(map(_overlap, p, piece))]:
                del self._pieces[other]
            self._pieces[piece] = numbers[start + head : start + head + count]
            start += head + count
        self._seen += start * numbers.itemsize

    def __reduce__(self) -> tuple[type[PieceChecksums], tuple[Path, tuple[int, ...], np.dtype[Any]]]:
        return PieceChecksums, (self.file, self.shape, self.dtype)


def _checksum(strip: NDArray[Any]) -> int:
    return xxhash.xxh3_64_intdigest(np.ascontiguousarray(strip).view(np.uint8).data)


def _overlap(a: Sequence[int], b: Sequence[int]) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def _shared(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return max(a[0], b[0]), min(a[1], b[1])
