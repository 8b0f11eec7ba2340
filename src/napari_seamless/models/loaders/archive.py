"""Zip files from strangers: looked at as a whole before anything of them is written or read.

Refused are names that lead out of the folder (`..`, absolute, drive letters, backslashes), links, two entries of one
name, encryption, more than ENTRIES entries, contents of more than LIMIT bytes or more than RATIO times their packed
size, entries that lie on each other, and an entry that is not as long as it says.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from napari_seamless.errors import ModelError

ENTRIES = 10_000
LIMIT = 16 * 2**30
DIRECTORY = 4 * 2**20
"""Bytes of the list of entries, which is read before any of them."""
RATIO = 50
"""Weights hardly shrink at all, text to a tenth."""
SMALL = 2**20
"""Below this no ratio is looked at."""


DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError, struct.error, OverflowError)
"""What reading an archive raises where it is broken."""


class _Careful(io.FileIO):
    """A file of which no more than `most` bytes are read at once: the list of entries is read whole."""

    most: int | None = DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        if self.most is not None and size is not None and size > self.most:
            raise ModelError(
                f"a model's zip file has at most {ENTRIES} entries; {Path(str(self.name)).name} lists them in {size} "
                "bytes; do not open it"
            )
        return super().read(size)


def names_in(path: Path) -> tuple[str, ...]:
    """The names of a zip file's entries; none where it is no zip file, or a damaged one."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return ()
    try:
        with _Careful(path) as file, zipfile.ZipFile(file) as archive:
            return tuple(archive.namelist())
    except DAMAGE:
        return ()


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, once all of its entries were found harmless. Raises ModelError."""
    try:
        with _Careful(path) as file, zipfile.ZipFile(file) as archive:
            file.most = None
            check_entries(archive, path)
            yield archive
    except DAMAGE as error:
        raise ModelError(
            f"a zip file must be whole; {path.name} is damaged ({error}); copy or download it again"
        ) from None


def unpack(path: Path, folder: Path) -> None:
    """Write all files of an archive below `folder`, which exists. Raises ModelError."""
    with opened(path) as archive:
        for entry in archive.infolist():
            target = folder.joinpath(*PurePosixPath(entry.filename).parts)
            if entry.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as packed, target.open("wb") as file:
                left = entry.file_size
                # a lying header ends here, not when the disk is full
                while left and (piece := packed.read(min(left, SMALL))):
                    file.write(piece)
                    left -= len(piece)
                if left or packed.read(1):
                    raise _refusal(path.name, entry.filename, "is not as long as it says")


def check_entries(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive that would do anything else than hold files. Raises ModelError."""
    entries, name = archive.infolist(), path.name
    if len(entries) > ENTRIES:
        raise ModelError(f"a model's zip file has at most {ENTRIES} entries; {name} has {len(entries)}; do not open it")
    seen: set[str] = set()
    for entry in entries:
        if (reason := _harm(entry)) is not None:
            raise _refusal(name, entry.filename, reason)
        if entry.filename.casefold() in seen:
            raise _refusal(name, entry.filename, "is there twice")
        seen.add(entry.filename.casefold())
    if sum(e.compress_size for e in entries) > path.stat().st_size:
        raise ModelError(f"entries of a zip file lie one after the other; those of {name} share bytes; do not open it")
    total, packed = sum(e.file_size for e in entries), sum(e.compress_size for e in entries)
    if total > LIMIT or (total > SMALL and total > RATIO * max(packed, 1)):
        raise ModelError(
            f"a model's zip file holds at most {LIMIT >> 30} GB and at most {RATIO} times its own size; {name} says it "
            f"holds {total} bytes in {packed}; do not open it"
        )


def _harm(entry: zipfile.ZipInfo) -> str | None:
    name = entry.filename
    path = PurePosixPath(name)
    if path.is_absolute() or "\\" in name or ":" in name or "\0" in name:
        return "is an absolute path or one of another system"
    if ".." in path.parts:
        return "leads out of the folder"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    return None


def _refusal(archive: str, entry: str, reason: str) -> ModelError:
    return ModelError(
        f"a model's zip file holds plain files inside its own folder; in {archive} the entry {entry!r} {reason}; "
        "do not open it, or ask its author"
    )
