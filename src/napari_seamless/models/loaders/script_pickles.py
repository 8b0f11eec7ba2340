"""The pickles in a TorchScript file, read without making anything of them, before torch's own reader gets them.

That reader calls itself for each list inside another one, makes room for as many remembered objects as a pickle says,
and takes the numbers of a tensor from memory beyond the file where this has fewer of them than it says.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from functools import lru_cache
from typing import Any

READ = ("/data.pkl", "/constants.pkl", ".debug_pkl")
"""Endings of what torch reads while it opens a file, or tells an error."""
LONGEST = 2**22
"""Bytes of a pickle; the weights are in entries of their own."""
ITEM_SIZES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1, "ComplexDoubleStorage": 16,
    "ComplexFloatStorage": 8, "QUInt8Storage": 1, "QInt8Storage": 1, "QInt32Storage": 4,
}  # fmt: skip
CODES = {ord(code.code): code.arg for code in pickletools.opcodes}
LINES = {
    code: 2 if "pair" in arg.name else 1 for code, arg in CODES.items() if arg and arg.n == pickletools.UP_TO_NEWLINE
}
COUNTED = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT8U: 8}
LENGTHS = {code: COUNTED.get(arg.n, 4) for code, arg in CODES.items() if arg and arg.n < pickletools.UP_TO_NEWLINE}
"""What follows an opcode: so many bytes with it, so many lines, or a length of so many bytes and as many more."""
LONG_PUT = ord("r")
FIXED = {
    code: arg.n if arg and arg.n > 0 else 0 for code, arg in CODES.items() if code not in {*LINES, *LENGTHS, LONG_PUT}
}
PLAIN = re.compile(
    b"(?:" + b"|".join(re.escape(bytes([code])) + b".{%d}" % size for code, size in FIXED.items()) + b")++", re.DOTALL
)


class Thing:
    """An object of any type in a pickle: what it was made from, for its depth alone."""

    parts: list[Any]

    def __new__(cls, *args: object, **kwargs: object) -> Thing:
        made = super().__new__(cls)
        made.parts = [args, kwargs]
        return made

    def __init__(self, *args: object, **kwargs: object) -> None:
        del args, kwargs

    def __reduce__(self) -> tuple[type[Thing], tuple[()], list[Any]]:
        return Thing, (), self.parts

    def __setstate__(self, state: object) -> None:
        self.parts.append(state)


@lru_cache(1000)
def _kind(name: str) -> type[Thing]:
    return type(name, (Thing,), {})


class _Inert(pickle.Unpickler):
    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.storages: list[tuple[Any, ...]] = []

    def find_class(self, module: str, name: str, /) -> type[Thing]:
        del module
        return _kind(name)

    def persistent_load(self, pid: Any, /) -> Any:
        self.storages.append(pid)
        return None


def pickle_problem(archive: zipfile.ZipFile) -> str:
    """Why torch's reader may not survive the pickles of a file, as the end of a sentence; "" for what torch writes."""
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    for name, size in sizes.items():
        if not name.endswith(READ):
            continue
        if size > LONGEST:
            return f"has a pickle of more than {LONGEST >> 20} MB"
        if problem := _problem(archive.read(name), name, sizes):
            return problem
    return ""


def _problem(content: bytes, name: str, sizes: dict[str, int]) -> str:
    file, folder = name.rpartition("/")[2], name.rpartition(".")[0]
    if not _remembers_little(content):
        return f"has a damaged {file}"
    reader = _Inert(content)
    try:
        found = reader.load()
    except (pickle.UnpicklingError, ValueError, TypeError, LookupError, AttributeError, EOFError, ArithmeticError,
            ImportError, MemoryError):  # fmt: skip
        return f"has a damaged {file}"
    if not _is_shallow(found):
        return f"has a {file} of lists in lists"
    for storage in reader.storages:
        match storage:
            case ("storage", type() as kind, str() as key, _, int() as count) if kind.__name__ in ITEM_SIZES:
                wanted = count * ITEM_SIZES[kind.__name__]
                if sizes.get(f"{folder}/{key}") != wanted:
                    return f"does not hold the {wanted} bytes of a tensor that it names"
            case _:
                return f"has a tensor of a kind that {file} alone knows"
    return ""


def _remembers_little(content: bytes) -> bool:
    """Whether a pickle can be walked, and numbers what it remembers without gaps."""
    at, end = 0, len(content)
    try:
        while at < end:
            code = content[at]
            if code in FIXED:
                at = _after_plain(content, at)
            elif code == LONG_PUT:
                if int.from_bytes(content[at + 1 : at + 5], "little") > end:
                    return False
                at += 5
            elif code in LINES:
                for _ in range(LINES[code]):
                    at = content.index(b"\n", at + 1)
                at += 1
            else:
                size = LENGTHS[code]
                at += 1 + size + int.from_bytes(content[at + 1 : at + 1 + size], "little")
    except (KeyError, ValueError):
        return False
    return True


def _after_plain(content: bytes, at: int) -> int:
    """Where a row of opcodes ends whose arguments have a fixed size. Raises ValueError where one is cut off."""
    found = PLAIN.match(content, at)
    if found is None:
        raise ValueError(content[at : at + 1])
    return found.end()


def _is_shallow(found: Any) -> bool:
    """Whether lists, tables and objects lie in each other no deeper than Python itself would write them."""
    try:
        pickle.dumps(found)
    except RecursionError:
        return False
    return True
