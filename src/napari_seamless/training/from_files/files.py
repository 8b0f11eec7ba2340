"""Which files are learned from (images and masks by their names, or the rows of a table), and those that are open."""

from __future__ import annotations

import csv
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_seamless.errors import BadRequest, InputMismatch, InputNotFound, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Source
from napari_seamless.io.readers import open_image

BESIDE = {".csv", ".json", ".md", ".txt", ".toml", ".xml", ".ini", ".db", ".yaml", ".yml"}
"""What lies beside images and is none."""
MOST_OPEN, MOST_BYTES, ALWAYS = 64, 1 << 30, 4


@dataclass(frozen=True)
class Pair:
    """An image and its mask, or its label; paths are strings, as open_image takes them."""

    name: str
    image: str
    mask: str | None = None
    label: str | None = None


def pairs_in(images: Path, masks: Path, ending: str = "") -> list[Pair]:
    """Images with the masks of their names, in alphabetical order. Raises InputNotFound, InputMismatch."""
    found, targets = _by_stem(images), _by_stem(masks)
    wanted = {stem + ending: path.name for stem, path in found.items() if stem + ending not in targets}
    if wanted:
        unpaired = list(wanted.values())
        has, it = ("has", "it") if len(unpaired) == 1 else ("have", "them")
        behind = (f" ending in {ending!r}" if ending else "") + _nearly(wanted, targets)
        raise InputMismatch(
            f"every image needs a mask of its name; {_few(unpaired)} of {images} {has} none in {masks}{behind}; add "
            f"{it}, or move the images away"
        )
    return [Pair(path.name, str(path), mask=str(targets[stem + ending])) for stem, path in found.items()]


def pairs_of(table: Path) -> list[Pair]:
    """The rows of a CSV file: a path, relative to it, and a label. Raises InputNotFound, InputUnreadable."""
    if not table.is_file():
        raise InputNotFound(f"labels are read from a CSV file; there is none at {table}; check the path")
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputUnreadable(f"labels are read from a CSV file; {table} is none: {error}; save it as CSV") from error
    short = [number for number, row in enumerate(rows, 2) if len(row) < 2 or not row[0] or not row[1]]
    if len(header) < 2 or short or not rows:
        where = f"row {short[0]} of " if short else ""
        raise InputUnreadable(
            f"a table of labels has a header and, in each row, a path and a label; {where}{table} has not; correct it"
        )
    found = []
    for path, label, *_ in rows:
        full = table.parent / path
        if not full.exists():
            raise InputNotFound(
                f"a table names images that exist; {table.name} names {path}, not found; check the path"
            )
        found.append(Pair(full.name, str(full), label=label.strip()))
    return found


def _nearly(wanted: Iterable[str], targets: Mapping[str, Path]) -> str:
    """A remark on the first mask that has a wanted name but for capitals."""
    names = {stem.lower(): path.name for stem, path in targets.items()}
    near = next((names[stem.lower()] for stem in wanted if stem.lower() in names), None)
    return f" ({near} differs in capitals)" if near else ""


def _by_stem(folder: Path) -> dict[str, Path]:
    """Files (and zarr folders) by what they are called without the format."""
    if not folder.is_dir():
        raise InputNotFound(f"images and masks lie in folders; there is none at {folder}; check the path")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() in BESIDE:
            continue
        stem = path.stem.removesuffix(".ome")
        if stem in found:
            raise BadRequest(
                f"every image has a name of its own; {found[stem].name} and {path.name} in {folder} differ by format "
                "only; keep one of them"
            )
        found[stem] = path
    if not found:
        raise InputNotFound(f"a folder of images holds at least one; {folder} is empty; check the path")
    return found


class OpenFiles:
    """Images that are open: the last ones used stay so. One thread at a time."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Source] = OrderedDict()
        self._bytes = 0

    def source(self, path: str) -> Source:
        """The image at a path."""
        if path not in self._open:
            source = open_image(path)
            self._open[path] = source
            self._bytes += _size(source)
            while len(self._open) > MOST_OPEN or (self._bytes > MOST_BYTES and len(self._open) > ALWAYS):
                _, old = self._open.popitem(last=False)
                self._bytes -= _size(old)
                old.close()
        self._open.move_to_end(path)
        return self._open[path]

    def name(self, path: str) -> str:
        """A path as messages name it."""
        return Path(path).name

    def close(self) -> None:
        """Close all of them."""
        for source in self._open.values():
            source.close()
        self._open.clear()


class FileImage:
    """A level of an image that is opened when it is read."""

    def __init__(self, files: OpenFiles, path: str, shape: tuple[int, ...], level: int) -> None:
        self._files, self._path, self.shape, self._level = files, path, shape, level

    def read(self, region: Region) -> Tensor:
        """float32 (c, *region.shape)."""
        pixels = self._files.source(self._path).read(region, self._level)
        return torch.from_numpy(np.ascontiguousarray(pixels, np.float32))


def _size(source: Source) -> int:
    info = source.info
    return prod(info.levels.shape(0)) * info.channels * info.dtype.itemsize


def _few(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
