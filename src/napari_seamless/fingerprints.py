"""What tells pixels from other pixels: digests of what is in memory, and what the disk says of files.

A file is told by its size, its times, its inode and a digest of its ends and of samples between them: whoever writes
to it, with any tool, changes one of these, and all of them together cost less than a millisecond. An array in memory
has nothing but its pixels; a digest of them takes as long as reading them once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import xxhash

from napari_seamless.geometry import Region
from napari_seamless.interfaces import Pixels, Source, SourceRead

SAMPLES = 16
SAMPLE_BYTES = 4096
END_BYTES = 65536
TICK = 0.05
"""Seconds in which two writes of a file may get the same time: clocks of file systems are coarser than their unit."""

PIXELS = "p"
GONE = "gone"


@runtime_checkable
class Fingerprinted(Protocol):
    """A source that can tell whether its pixels are still those of before. Any thread; files that are gone are others.

    `identity_now` is what `info.identity` would be if it were opened now. `pixel_digest` is that of all pixels of a
    level that lies in memory (as quick as reading them once), "" elsewhere. `fingerprint` is another text when what is
    stored of a region was written anew: "" where the two others say it all, None where only its pixels can tell.
    """

    def identity_now(self) -> str: ...
    def pixel_digest(self, level: int = 0) -> str: ...
    def fingerprint(self, region: Region, level: int = 0) -> str | None: ...


@runtime_checkable
class Dated(Protocol):
    """A source that knows when the parts of it were written, without reading them. Any thread.

    `may_have_changed` is whether what is stored of a region may have been written after a time (seconds of Unix time,
    by the clock of where it lies), None where nobody says when.
    """

    def may_have_changed(self, region: Region, level: int, since: float) -> bool | None: ...


@runtime_checkable
class OnDisk(Protocol):
    """A source that knows the files and folders that it is read from: nothing may be written there. Any thread."""

    @property
    def paths(self) -> tuple[Path, ...]: ...


def digest_of(pixels: Pixels) -> str:
    """A digest of shape, type and all values, at about 9 GB/s; parts of it are copied where it is not contiguous."""
    found = xxhash.xxh3_128(f"{pixels.shape} {pixels.dtype.str}".encode())
    for part in [pixels] if pixels.flags.c_contiguous or pixels.ndim < 2 else pixels:
        found.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def stat_of(path: str | Path) -> str:
    """Size, times and inode of a file; GONE where there is none.

    Waits a moment where the file was written just now, as a second write could have the same time as the first.
    """
    try:
        found = os.stat(path)
        if 0 <= time.time() - found.st_ctime < TICK:
            time.sleep(TICK)
            found = os.stat(path)
    except OSError:
        return GONE
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ino}:{found.st_ctime_ns}"


def stamp_of(paths: Iterable[str | Path]) -> str:
    """What the disk says of some files, which may be missing, as one digest; nothing of them is read."""
    found = xxhash.xxh3_64()
    for path in paths:
        found.update(stat_of(path).encode())
    return found.hexdigest()


def identity_of_files(paths: Sequence[Path]) -> str:
    """What the disk says of the files that an image consists of, and a digest of their ends and samples of the rest."""
    found = xxhash.xxh3_128()
    samples = -(-SAMPLES // max(len(paths), 1))
    for path in paths:
        found.update(f"{path.name} {stat_of(path)}".encode())
        if path.is_file():
            _add_samples(found, path, samples)
    return found.hexdigest()


def _add_samples(found: xxhash.xxh3_128, path: Path, samples: int) -> None:
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        found.update(file.read(END_BYTES))
        for k in range(1, samples + 1):
            file.seek(size * k // (samples + 1))
            found.update(file.read(SAMPLE_BYTES))
        file.seek(max(0, size - END_BYTES))
        found.update(file.read(END_BYTES))


def source_identity(source: Source, level: int) -> str:
    """What a level of an image is, by everything that can be told before a tile is read. Any thread."""
    digest = source.pixel_digest(level) if isinstance(source, Fingerprinted) else ""
    return f"{source.info.identity} level {level}{f' pixels {digest}' if digest else ''}"


def is_edited(source: Source) -> bool:
    """Whether an image has other pixels than the file that it was opened from, as one that lies in memory may have.
    Takes as long as a digest."""
    return bool(getattr(source, "is_edited", False))


def is_as_opened(source: Source) -> bool:
    """Whether the files of an image are those that were opened."""
    return not isinstance(source, Fingerprinted) or source.identity_now() == source.info.identity


def needs_checking(source: Source, level: int) -> bool:
    """Whether only its parts can tell that a level is still what it was: so of chunked and of lazy images."""
    if not isinstance(source, Fingerprinted):
        return True
    return source.fingerprint(_corner(source, level), level) != ""


def is_told_cheaply(source: Source, level: int) -> bool:
    """Whether it can be seen without reading pixels that a region is still what it was."""
    return isinstance(source, Fingerprinted) and source.fingerprint(_corner(source, level), level) is not None


def _corner(source: Source, level: int) -> Region:
    return Region.of(*((0, 1) for _ in source.info.levels.shape(level)))


def told(source: Source, region: Region, level: int) -> str | None:
    """What the source says of a region without reading it, "" where its identity says it all; else None."""
    return source.fingerprint(region, level) if isinstance(source, Fingerprinted) else None


def of_pixels(pixels: Pixels) -> str:
    """The fingerprint of a region of which only its pixels can tell."""
    return PIXELS + digest_of(pixels)


def now(source: Source, region: Region, level: int) -> str:
    """The fingerprint of a region as it is now; reads it where only the pixels can tell. Raises what reading raises."""
    known = told(source, region, level)
    return of_pixels(source.read(region, level)) if known is None else known


def is_unchanged(source: Source, read: SourceRead, level: int) -> bool:
    """Whether a region is still what it was when it was read. Raises what reading raises."""
    return now(source, read.region, level) == read.fingerprint
