"""Which chunks are done, on disk, in a form that survives a kill.

One line a finished region, the box of its chunks on the level-0 grid, appended after the chunk data was written:
`+0:2 3:4` is rows 0 and 1 of column 3; after ` @` follow the regions of the image that it was made of, each with its
fingerprint (`+0:2 3:4 @ 0:512 0:300 9f3c...`). `-0:2 3:4` takes a box back, and `~0:2 3:4` is one of which only what
was asked for was made. A line counts once its newline is there, and every line begins with one of these signs, so that
a torn or damaged one cannot be read as another box: its region is computed again. The marker `clean` says that
the coarse levels on disk belong to the journal's chunks; it is removed before the first change and put back on
close. Whoever writes has a third file, `lock`, locked. All lie in a hidden folder inside the level-0 array, where zarr
looks for chunks only (in the group's own folder every zarr library would warn of an unknown member).
"""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from napari_seamless.errors import BadRequest, OutputUnwritable
from napari_seamless.geometry import Region
from napari_seamless.interfaces import SourceRead
from napari_seamless.store.file_lock import is_locked, locked, open_locked

FOLDER = ".seamless"


@dataclass(frozen=True)
class JournalEntry:
    """A box of chunks that is done, in part only where it `is_partial`, or (not `is_kept`) is no more, and what it was
    made of; None where nobody said."""

    box: Region
    reads: tuple[SourceRead, ...] | None = None
    is_kept: bool = True
    is_partial: bool = False

    @property
    def sign(self) -> str:
        """The first letter of its line."""
        return "-" if not self.is_kept else "~" if self.is_partial else "+"


class Journal:
    """The journal of the result whose level-0 array lies in `base`. Driving thread only. Methods raise OSError.

    `result` is the path by which errors call it: its user knows of no folders inside.
    """

    def __init__(self, base: Path, result: Path) -> None:
        self._result = result
        self._folder = base / FOLDER
        self._lines = self._folder / "journal"
        self._marker = self._folder / "clean"
        self._lock = self._folder / "lock"
        self._seen = 0
        self._file: int | None = None
        self._release: Callable[[], object] = lambda: None

    @property
    def exists(self) -> bool:
        return self._lines.exists()

    @property
    def is_clean(self) -> bool:
        """Whether the coarse levels on disk are up to date. A copy without a journal is."""
        return self._marker.exists() or not self.exists

    @property
    def is_open(self) -> bool:
        """Whether `begin` was called since the last `finish`."""
        return self._file is not None

    def entries(self) -> Iterator[JournalEntry]:
        """Everything that was recorded, oldest first."""
        if not self.exists:
            return
        written = self._lines.read_bytes()
        self._seen = len(written)
        *whole, _torn = written.split(b"\n")
        for line in whole:
            entry = _parse(line)
            if entry is not None:
                yield entry

    @property
    def is_busy(self) -> bool:
        """Whether another store, here or in another process, is writing this result now."""
        return self._file is None and is_locked(self._lock)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other stores from writing for a moment, without a change to what is done. Raises OutputUnwritable."""
        if self._file is not None or not self.exists:
            yield
            return
        with locked(self._lock) as is_ours:
            if not is_ours:
                raise OutputUnwritable(
                    f"a result is written by one run at a time; another one is writing {self._result}; "
                    "wait until it ends, or cancel it"
                )
            yield

    def begin(self) -> None:
        """Say that the coarse levels are about to differ from the disk. Cheap when it was said already.

        Raises OutputUnwritable where another store is writing. The hold ends with `finish`, with this object or with
        the process, whichever is first.
        """
        if self._file is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = open_locked(self._lock)
        if lock is None:
            raise OutputUnwritable(
                f"a result is written by one run at a time; another one is writing {self._result}; "
                "wait until it ends, cancel it, or choose another path"
            )
        with ExitStack() as undone:
            undone.callback(os.close, lock)
            file = os.open(self._lines, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            undone.callback(os.close, file)
            if os.fstat(file).st_size != self._seen:
                raise OutputUnwritable(
                    f"only what a result holds by now can be continued; another run wrote {self._result} since it was "
                    "opened here; open it again"
                )
            self._marker.unlink(missing_ok=True)
            _cut_torn_line(self._lines)
            self._file = file
            self._release = weakref.finalize(self, undone.pop_all().close)

    def record(self, entry: JournalEntry) -> None:
        """Append one box; the line reaches the operating system before this returns, so a kill cannot lose it."""
        if self._file is None:
            raise BadRequest("a journal is begun before anything is recorded in it; call begin() first")
        line = f"{_line(entry)}\n".encode()
        if os.write(self._file, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._lines))

    def sync(self) -> None:
        """Ask the operating system to put the lines on the disk itself."""
        if self._file is not None:
            os.fsync(self._file)

    def finish(self) -> None:
        """Put the marker back, the coarse levels being on disk."""
        if self._file is None:
            return
        self.sync()
        self.let_go()
        self._marker.touch()

    def let_go(self) -> None:
        """End the hold. Without the marker the coarse levels are made again by whoever opens the result next."""
        if self._file is None:
            return
        self._seen = os.fstat(self._file).st_size
        self._release()
        self._file = None


def _cut_torn_line(path: Path) -> None:
    if path.exists():
        written = path.read_bytes()
        whole = written.rfind(b"\n") + 1
        if whole < len(written):
            os.truncate(path, whole)


def _format(box: Region) -> str:
    return " ".join(f"{i.lo}:{i.hi}" for i in box.intervals)


def _line(entry: JournalEntry) -> str:
    """
    >>> _line(JournalEntry(Region.of((0, 2)), (SourceRead(Region.of((0, 9)), "f3"),)))
    '+0:2 @ 0:9 f3'
    """
    made_of = entry.reads or ()
    told = "".join(f" @ {_format(read.region)} {read.fingerprint}" for read in made_of) or " @"
    return f"{entry.sign}{_format(entry.box)}{'' if entry.reads is None else told}"


def _parse(line: bytes) -> JournalEntry | None:
    """What a line says, None where it is damaged."""
    sign = line[:1]
    if sign not in (b"+", b"-", b"~"):
        return None
    try:
        first, *others = line[1:].decode("ascii").split("@")
        reads = [SourceRead(_box(words[:-1]), words[-1]) for words in map(str.split, others) if words]
        return JournalEntry(_box(first.split()), tuple(reads) if others else None, sign != b"-", sign == b"~")
    except ValueError:  # BadRequest, for a box that ends before it starts, is one too
        return None


def _box(words: Sequence[str]) -> Region:
    bounds = [tuple(map(int, word.split(":"))) for word in words]
    return Region.of(*((lo, hi) for lo, hi in bounds))
