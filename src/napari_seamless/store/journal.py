"""Which chunks are done, on disk, in a form that survives a kill, a power cut and a flipped bit.

One line a finished region, the box of its chunks on the level-0 grid, appended after the chunk data was written::

    +0:2 3:4 # 9c01f2... 512 0 @ 0:512 0:300 9f3c... * 1d2c3b4a

is rows 0 and 1 of column 3; after `#` come a digest of their pixels and the bytes of the files of each chunk, after
each ` @` a region of the image that they were made of, with its fingerprint, and after `*` a checksum of the line.
`-0:2 3:4` takes a box back, and `~0:2 3:4` is one of which only what was asked for was made. `=1234` is a *mark*:
everything that the first 1234 bytes of the journal name is on the disk. What stands after the last mark counts once its
pixels have been compared with their digest; so does everything where any line before it is damaged. A torn last line is
none.

The marker `clean` says that the coarse levels on disk belong to the journal's chunks, and how many bytes they have; it
is removed before the first change and put back on close. All lie in a hidden folder inside the level-0 array, where
zarr looks for chunks only (in the group's own folder every zarr library would warn of an unknown member).
"""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from napari_seamless.durable_files import sync_folder, sync_open, write_durably
from napari_seamless.errors import BadRequest, OutputUnwritable
from napari_seamless.geometry import Region
from napari_seamless.interfaces import SourceRead

FOLDER = ".seamless"


@dataclass(frozen=True)
class JournalEntry:
    """A box of chunks that is done, in part only where it `is_partial`, or (not `is_kept`) is no more, and what it was
    made of; None where nobody said.

    `digest` is that of its pixels; `sizes` are the bytes on disk of its chunks, in row-major order.
    """

    box: Region
    reads: tuple[SourceRead, ...] | None = None
    is_kept: bool = True
    is_partial: bool = False
    digest: str = ""
    sizes: tuple[int, ...] = ()

    @property
    def sign(self) -> str:
        """The first letter of its line."""
        return "-" if not self.is_kept else "~" if self.is_partial else "+"


@dataclass(frozen=True)
class JournalContent:
    """What a journal says, oldest first: `sure` entries are on the disk, `unsure` ones later than the last mark, or
    all of them where a line `is_damaged`."""

    sure: tuple[JournalEntry, ...] = ()
    unsure: tuple[JournalEntry, ...] = ()
    is_damaged: bool = False


class Journal:
    """The journal of the result whose level-0 array lies in `base`. Driving thread only. Methods raise OSError.

    One store at a time writes it: who calls `begin` has the result to itself. `result` is the path by which errors
    call it: its user knows of no folders inside.
    """

    def __init__(self, base: Path, result: Path) -> None:
        self._result = result
        self._folder = base / FOLDER
        self._seen = 0
        self._is_unmarked = False
        self._file: int | None = None
        self._release: Callable[[], object] = lambda: None

    @property
    def _lines(self) -> Path:
        return self._folder / "journal"

    @property
    def _marker(self) -> Path:
        return self._folder / "clean"

    @property
    def exists(self) -> bool:
        return self._lines.exists()

    @property
    def has_marker(self) -> bool:
        """Whether the coarse levels on disk were up to date when the result was closed. A copy's are."""
        return self._marker.exists() or not self.exists

    def is_clean(self, coarse_bytes: Callable[[], int]) -> bool:
        """Whether the coarse levels on disk, which are counted only where it matters, are up to date. A copy without
        a journal is."""
        if not self.exists:
            return True
        try:
            return self._marker.read_bytes() == _marked(coarse_bytes())
        except FileNotFoundError:
            return False

    @property
    def is_open(self) -> bool:
        """Whether `begin` was called since the last `finish`."""
        return self._file is not None

    def read(self) -> JournalContent:
        """Everything that was recorded."""
        if not self.exists:
            return JournalContent()
        written = self._lines.read_bytes()
        self._seen = len(written)
        *whole, _torn = written.split(b"\n")
        entries: list[JournalEntry] = []
        ends: list[int] = []
        marked = at = 0
        damaged_at: int | None = None
        for line in whole:
            at += len(line) + 1
            said = _checked(line)
            if said is None:
                damaged_at = at if damaged_at is None else damaged_at
            elif said.startswith("="):
                marked = int(said[1:])
            else:
                entries.append(_parse(said))
                ends.append(at)
        is_damaged = damaged_at is not None and damaged_at <= marked
        self._is_unmarked = any(end > marked for end in ends)
        sure = 0 if is_damaged else sum(end <= marked for end in ends)
        return JournalContent(tuple(entries[:sure]), tuple(entries[sure:]), is_damaged)

    def begin(self) -> None:
        """Say that the coarse levels are about to differ from the disk. Cheap when it was said already.

        Raises OutputUnwritable where another store has written since. Ends with `finish` or with this object.
        """
        if self._file is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undone:
            file = os.open(self._lines, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            undone.callback(os.close, file)
            if os.fstat(file).st_size != self._seen:
                raise OutputUnwritable(
                    f"only what a result holds by now can be continued; another run wrote {self._result} since it was "
                    "opened here; open it again"
                )
            self._marker.unlink(missing_ok=True)
            sync_folder(self._folder)
            sync_folder(self._folder.parent)  # where there is no journal, the coarse levels count as up to date
            _cut_torn_line(self._lines)
            self._file = file
            self._release = weakref.finalize(self, undone.pop_all().close)

    def record(self, entry: JournalEntry) -> None:
        """Append one box; the line reaches the operating system before this returns, so a kill cannot lose it."""
        self._append(_line(entry))
        self._is_unmarked = True

    def mark(self) -> None:
        """Say that the disk has all that was recorded, and put the journal on the disk. Nothing where none is open."""
        if self._file is not None and self._is_unmarked:
            self._append(f"={os.fstat(self._file).st_size}")
            sync_open(self._file)
            self._is_unmarked = False

    def _append(self, said: str) -> None:
        if self._file is None:
            raise BadRequest("a journal is begun before anything is recorded in it; call begin() first")
        line = _with_checksum(said)
        written = os.write(self._file, line)
        if written != len(line):
            # what came through would be a damaged line once more is written behind it
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._lines))

    def rewrite(self, entries: Sequence[JournalEntry]) -> None:
        """Begin anew with these entries, of which none is sure before the next mark. Between `finish` and `begin`."""
        lines = b"".join(_with_checksum(_line(entry)) for entry in entries)
        write_durably(self._lines, lines)
        self._seen, self._is_unmarked = len(lines), True

    def finish(self, coarse_bytes: int) -> None:
        """Put the marker back, the coarse levels, of so many bytes, being on disk."""
        if self._file is None:
            return
        self.let_go()
        write_durably(self._marker, _marked(coarse_bytes))

    def let_go(self) -> None:
        """Close it. Without the marker the coarse levels are made again by whoever opens the result next."""
        if self._file is None:
            return
        self._seen = os.fstat(self._file).st_size
        self._release()
        self._file = None

    def move(self, base: Path) -> None:
        """The array lies elsewhere from now on. Between `finish` and `begin`."""
        self._folder = base / FOLDER


def _cut_torn_line(path: Path) -> None:
    if path.exists():
        written = path.read_bytes()
        whole = written.rfind(b"\n") + 1
        if whole < len(written):
            os.truncate(path, whole)


def _marked(coarse_bytes: int) -> bytes:
    return _with_checksum(f"{coarse_bytes} bytes in the coarse levels")


def _with_checksum(said: str) -> bytes:
    return f"{said} * {crc32(said.encode()):08x}\n".encode()


def _checked(line: bytes) -> str | None:
    """A line without its checksum, None where it is damaged."""
    said, sign, _ = line.partition(b" * ")
    whole = bool(sign) and _with_checksum(said.decode("ascii", "replace")) == line + b"\n"
    return said.decode("ascii") if whole else None


def _format(box: Region) -> str:
    return " ".join(f"{i.lo}:{i.hi}" for i in box.intervals)


def _line(entry: JournalEntry) -> str:
    """
    >>> _line(JournalEntry(Region.of((0, 2)), (SourceRead(Region.of((0, 9)), "f3"),), digest="9c", sizes=(7, 0)))
    '+0:2 # 9c 7 0 @ 0:9 f3'
    """
    pixels = f" # {entry.digest} {' '.join(map(str, entry.sizes))}" if entry.digest else ""
    made_of = entry.reads or ()
    told = "".join(f" @ {_format(read.region)} {read.fingerprint}" for read in made_of) or " @"
    return f"{entry.sign}{_format(entry.box)}{pixels}{'' if entry.reads is None else told}"


def _parse(said: str) -> JournalEntry:
    """What a line says, whose checksum is right."""
    first, *others = said[1:].split("@")
    box, _, pixels = first.partition("#")
    digest, *sizes = pixels.split() or [""]
    reads = [SourceRead(_box(words[:-1]), words[-1]) for words in map(str.split, others) if words]
    made_of, sign = tuple(reads) if others else None, said[0]
    return JournalEntry(_box(box.split()), made_of, sign != "-", sign == "~", digest, tuple(map(int, sizes)))


def _box(words: Sequence[str]) -> Region:
    bounds = [tuple(map(int, word.split(":"))) for word in words]
    return Region.of(*((lo, hi) for lo, hi in bounds))
