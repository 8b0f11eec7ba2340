"""Whether every directory of a TIFF file lies inside the file.

tifffile forgives much: a chain of directories that is cut off gives fewer pages, and a tag whose value is cut off is
left out, which can turn an image into another one (16 bits into 1). So the chain is walked once more, before
tifffile, and whatever points past the end of the file, or has no known type, is named.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from napari_seamless.errors import InputDamaged
from napari_seamless.io.readers.file_access import ByteFile

SUBDIRECTORIES = 330
FIRST_PRIVATE_TAG = 32768
# without one of these the pixels mean something else: sizes, types, compression, colours, places of pieces
ESSENTIAL_TAGS = (*range(256, 260), 262, 266, 273, *range(277, 280), 284, 317, *range(322, 326), 330, 338, 339, 347)
TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
INTEGERS = {4: "I", 13: "I", 16: "Q", 18: "Q"}


MANY, SMALLEST = 5_000, 150
"""Directories, from which on each must have so many bytes of the file: its own ten tags take that."""


@dataclass(frozen=True)
class Form:
    """Field sizes of classic (32-bit) or big (64-bit) TIFF, and the byte order as struct writes it."""

    order: str
    count: str  # number of entries of a directory
    offset: str  # position in the file

    @property
    def entry_size(self) -> int:
        return 4 + 2 * struct.calcsize(self.offset)


def check_directories(file: ByteFile) -> None:
    """Raises InputDamaged when a directory, or the value of a standard tag, lies past the end of the file."""
    form, first = _form(file)
    seen: set[int] = set()
    waiting = [first]
    while waiting:
        offset = waiting.pop()
        if offset and offset not in seen:
            seen.add(offset)
            if len(seen) > MANY and len(seen) * SMALLEST > file.size:
                raise InputDamaged(
                    f"every image of a TIFF file takes some bytes; {file.path.name} has more than {len(seen)} in "
                    f"{file.size}; copy or export the file again"
                )
            waiting.extend(_pointed_to(file, form, offset))


def _form(file: ByteFile) -> tuple[Form, int]:
    head = file.read(0, 8, "the TIFF header")
    order = "<" if head[:2] == b"II" else ">"
    if head[2:4] in (b"*\0", b"\0*"):
        return Form(order, "H", "I"), struct.unpack(order + "I", head[4:])[0]
    return Form(order, "Q", "Q"), struct.unpack(order + "Q", file.read(8, 8, "the BigTIFF header"))[0]


def _pointed_to(file: ByteFile, form: Form, offset: int) -> Iterator[int]:
    """Positions of the next directory and of this one's subdirectories."""
    what = f"the directory at byte {offset}"
    head = struct.calcsize(form.count)
    entries = struct.unpack(form.order + form.count, file.read(offset, head, what))[0]
    body = file.read(offset + head, entries * form.entry_size + struct.calcsize(form.offset), what)
    end = entries * form.entry_size
    for k in range(0, end, form.entry_size):
        yield from _check_tag(file, form, body[k : k + form.entry_size], what)
    yield struct.unpack(form.order + form.offset, body[end:])[0]


def _check_tag(file: ByteFile, form: Form, entry: bytes, what: str) -> tuple[int, ...]:
    """Raises InputDamaged for a tag cut off by the end of the file; gives the subdirectories it names, if it does."""
    code, kind, count = struct.unpack(form.order + "HH" + form.offset, entry[: 4 + struct.calcsize(form.offset)])
    value = entry[4 + struct.calcsize(form.offset) :]
    if code in ESSENTIAL_TAGS and kind not in TYPE_SIZES:
        raise InputDamaged(
            f"a tag must have a type of the TIFF standard; {file.path.name}, {what}, tag {code}: got {kind}; "
            "copy or export the file again"
        )
    size = TYPE_SIZES.get(kind, 0) * count
    outside = size > len(value)
    where = struct.unpack(form.order + form.offset, value)[0]
    if outside and code < FIRST_PRIVATE_TAG and where + size > file.size:
        raise InputDamaged(
            f"a file must hold all its tags; {file.path.name} ends at byte {file.size}, but tag {code} of {what} lies "
            f"at bytes [{where}, {where + size}); copy or export the file again"
        )
    if code != SUBDIRECTORIES or kind not in INTEGERS:
        return ()
    data = file.read(where, size, what) if outside else value[:size]
    return struct.unpack(f"{form.order}{count}{INTEGERS[kind]}", data)
