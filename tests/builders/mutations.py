"""Copies of good files and folders with one thing broken: bytes, a tag, a value of JSON, a word of a text, an entry.

A zip file that is broken inside is packed again, so that its checksums are right: they are no defence against people.
"""

from __future__ import annotations

import io
import json
import pickletools
import re
import shutil
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

NUMBERS: tuple[Any, ...] = (-1, 0, 1, 2, 7, 255, 65535, 10**6, 10**12, 2**31, 2**63, -(2**40), 0.5, 1e300)
OTHERS: tuple[Any, ...] = (None, True, "", "x", "nonsense", [], {}, [1], [[]], {"a": 1}, "NaN", "\x00")
WORDS = (
    *("", "-1", "0", "99999999999999999999", "1e999", "nan", "true", "[]", "{}", "null", "'", '"', "..", "/etc/passwd"),
    *("http://127.0.0.1:9/x", "\\", "\t", "é", "%s", "*", "&a", "0x7fffffff", "9**9**9", "__import__"),
    *("(" * 500, "[" * 2000, "a" * 100_000),
)
METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
TEXTS = (".json", ".toml", ".yaml", ".py", ".md", ".txt", ".xml")


def mutate(good: Path, rng: np.random.Generator, target: Path) -> str:
    """Puts a broken copy of a file or folder at `target`, and says what was done to it."""
    if good.is_dir():
        shutil.copytree(good, target)
        return _folder_mutated(target, rng)
    data, what = mutated_bytes(good.read_bytes(), rng, good.suffix)
    target.write_bytes(data)
    return what


def mutated_bytes(data: bytes, rng: np.random.Generator, suffix: str = "") -> tuple[bytes, str]:
    """A file's content with one thing broken, in the ways that its format has."""
    if data[:2] == b"PK" and rng.integers(4):
        return _inside_zip(data, rng)
    if suffix in TEXTS and rng.integers(4):
        return _text_mutated(data, rng)
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") and rng.integers(2):
        return _tag(data, rng)
    if suffix == ".safetensors" and rng.integers(4):
        return _header_mutated(data, rng)
    return _plainly(data, rng)


def _tag(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """One field (code, type, count or value) of one directory entry of a TIFF file becomes another number."""
    entries = list(_entries(data))
    if not entries:
        return _flip(data, rng)
    at, size = entries[rng.integers(len(entries))]
    order = "<" if data[:1] == b"I" else ">"
    wide = size == 20
    fields = [(0, "H"), (2, "H"), (4, "Q" if wide else "I"), (12 if wide else 8, "Q" if wide else "I")]
    offset, form = fields[(0, 1, 2, 2, 3, 3, 3)[rng.integers(7)]]
    code = struct.unpack_from(order + "H", data, at)[0]
    limit = 256 ** struct.calcsize(form)
    short = offset > 4 and struct.unpack_from(order + "H", data, at + 2)[0] == 3
    form, limit = ("H", 65536) if short else (form, limit)
    numbers = (0, 1, 2, 3, 5, 8, 16, 255, 1000, limit // 2, limit - 1, int(rng.integers(limit // 2)))
    value = numbers[rng.integers(len(numbers))]
    out = bytearray(data)
    struct.pack_into(order + form, out, at + offset, value)
    return bytes(out), f"tag {code} at byte {at + offset} became {value}"


def _entries(data: bytes) -> Iterator[tuple[int, int]]:
    """Position and size of every directory entry of the main chain."""
    order = "<" if data[:1] == b"I" else ">"
    wide = struct.unpack_from(order + "H", data, 2)[0] == 43
    offset = struct.unpack_from(order + ("Q" if wide else "I"), data, 8 if wide else 4)[0]
    while offset:
        count = struct.unpack_from(order + ("Q" if wide else "H"), data, offset)[0]
        first, size = offset + (8 if wide else 2), 20 if wide else 12
        yield from ((first + k * size, size) for k in range(count))
        offset = struct.unpack_from(order + ("Q" if wide else "I"), data, first + count * size)[0]


def _flip(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    out = bytearray(data)
    reach = (32, 600, len(data))[rng.integers(3)]
    places = rng.integers(min(reach, len(data)), size=int(rng.integers(1, 9)))
    for at in places:
        out[at] = rng.integers(256)
    return bytes(out), f"bytes {places.tolist()} changed"


def _hole(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    at, size = int(rng.integers(len(data))), int(rng.choice([4, 64, 512, 4096]))
    filler = bytes(size) if rng.integers(2) else rng.bytes(size)
    return data[:at] + filler + data[at + size :], f"bytes [{at}, {at + size}) overwritten"


def _cut(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    at = int(rng.integers(len(data)))
    return data[:at], f"cut to {at} bytes of {len(data)}"


def _folder_mutated(path: Path, rng: np.random.Generator) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file())
    metadata = [p for p in files if p.name in METADATA]
    chunks = [p for p in files if p not in metadata]
    if not metadata:
        file = chunks[rng.integers(len(chunks))]
        data, what = mutated_bytes(file.read_bytes(), rng, file.suffix)
        file.write_bytes(data)
        return f"{file.relative_to(path)}: {what}"
    if rng.integers(3):
        file = metadata[rng.integers(len(metadata))]
        if rng.integers(5) == 0:
            data, what = _plainly(file.read_bytes(), rng)
            file.write_bytes(data)
            return f"{file.relative_to(path)}: {what}"
        content = json.loads(file.read_text())
        what = _json_mutated(content, rng)
        file.write_text(json.dumps(content))
        return f"{file.relative_to(path)}: {what}"
    file = chunks[rng.integers(len(chunks))]
    if rng.integers(4) == 0:
        file.unlink()
        return f"{file.relative_to(path)} removed"
    data, what = _plainly(file.read_bytes(), rng)
    file.write_bytes(data)
    return f"{file.relative_to(path)}: {what}"


def _plainly(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    return (_flip, _hole, _cut)[rng.integers(3)](data, rng)


def _json_mutated(content: Any, rng: np.random.Generator) -> str:
    """One value anywhere in it is exchanged, removed, doubled, or a list is turned round."""
    places = list(_places(content))
    if not places:
        content["more"] = OTHERS[rng.integers(len(OTHERS))]
        return "a key added"
    holder, key = places[rng.integers(len(places))]
    old = holder[key]
    way = rng.integers(6)
    if way == 0:
        del holder[key]
        return f"{key} removed"
    if way == 1 and isinstance(old, list):
        holder[key] = old[::-1]
    elif way == 2 and isinstance(old, list):
        holder[key] = old + old
    else:
        pool = NUMBERS if isinstance(old, int | float) and rng.integers(4) else NUMBERS + OTHERS
        holder[key] = pool[rng.integers(len(pool))]
    return f"{key}: {old!r:.60} became {holder[key]!r:.60}"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _inside_zip(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """An entry is broken, dropped or renamed, and all are packed again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(entry, archive.read(entry)) for entry in archive.infolist()]
    chosen = int(rng.integers(len(entries)))
    way = int(rng.integers(12))
    packed, what = io.BytesIO(), ""
    with zipfile.ZipFile(packed, "w") as archive:
        for k, (entry, content) in enumerate(entries):
            name = entry.filename
            if k == chosen and way == 0:
                what = f"{name} dropped"
                continue
            if k == chosen and way == 1:
                name = name[:-1] or "x"
                what = f"{entry.filename} is called {name}"
            elif k == chosen:
                is_text = name.endswith(TEXTS)
                content, what = _inner(content, rng, is_text=is_text)
                what = f"{name}: {what}"
            archive.writestr(name, content, entry.compress_type)
    return packed.getvalue(), what


def _inner(content: bytes, rng: np.random.Generator, *, is_text: bool) -> tuple[bytes, str]:
    if not content:
        return b"x", "filled"
    if content[:2] == b"\x80\x02" and content[-1:] == b"." and rng.integers(2):
        return _pickle_mutated(content, rng)
    return (_text_mutated if is_text and rng.integers(5) else _plainly)(content, rng)


def _pickle_mutated(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """A number or an opcode of a pickle becomes another one."""
    operations = list(pickletools.genops(data))
    numbers = [(at, name.name) for name, _, at in operations if name.name in ("BININT", "BININT1", "BININT2")]
    if numbers and rng.integers(2):
        at, name = numbers[rng.integers(len(numbers))]
        size = {"BININT": 4, "BININT1": 1, "BININT2": 2}[name]
        value = int(rng.choice([0, 1, 2, 255, 256**size // 2 - 1, 256**size - 1, int(rng.integers(256**size))]))
        out = data[: at + 1] + value.to_bytes(size, "little") + data[at + 1 + size :]
        return out, f"the number at byte {at} became {value}"
    at = int(operations[rng.integers(len(operations))][2])
    code = b"(.0123FGIJKLMNPQRSTUVX]abcdeghijlopqrstu}\x85\x86\x87\x88\x89\x8a\x8b"[rng.integers(37)]
    return data[:at] + bytes([code]) + data[at + 1 :], f"the opcode at byte {at} became {chr(code)!r}"


def _header_mutated(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """The JSON at the head of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    header, what = _text_mutated(data[8 : 8 + size], rng)
    return len(header).to_bytes(8, "little") + header + data[8 + size :], what


def _text_mutated(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """A value of JSON, or a word or a line of any text, becomes another one."""
    text = data.decode("utf-8", errors="replace")
    if text[:1] in "[{" and rng.integers(3):
        content = json.loads(text)
        what = _json_mutated(content, rng)
        return json.dumps(content).encode(), what
    if rng.integers(4) == 0:
        lines = text.splitlines(keepends=True)
        k, way = int(rng.integers(len(lines))), int(rng.integers(3))
        changed = [
            lines[:k] + lines[k + 1 :],
            lines[: k + 1] + lines[k:],
            [*lines[:k], "  " + lines[k], *lines[k + 1 :]],
        ]
        return "".join(changed[way]).encode(), f"line {k} {('dropped', 'doubled', 'moved')[way]}"
    words = list(re.finditer(r"[\w.+-]+|[^\s\w]", text))
    word = words[rng.integers(len(words))]
    other = WORDS[rng.integers(len(WORDS))] if rng.integers(3) else words[rng.integers(len(words))].group()
    changed_text = text[: word.start()] + other + text[word.end() :]
    return changed_text.encode(), f"{word.group()[:40]!r} at {word.start()} became {other[:40]!r}"
