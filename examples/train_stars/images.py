"""Annotated images, where they come from, and which of them training may see."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

HELD_OUT = 0.15
"""Share of the images of each kind of the Data Science Bowl's training set that training never sees."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One annotated image: float32 (c, y, x) pixels as the network takes them, and int64 (y, x) numbers of nuclei.

    `source` is where it was made, as far as is known; `group` what must not be divided between training and validation.
    """

    name: str
    source: str
    group: str
    pixels: np.ndarray
    labels: np.ndarray
    is_held_out: bool


def read_pictures(archives: Sequence[Path], kind: str) -> list[Picture]:
    """Every image of this kind ("stained" or "fluorescence"), in the order of the archives."""
    return [picture for archive in archives for picture in _pictures(archive, kind)]


def stained_input(rgb: np.ndarray) -> np.ndarray:
    """uint8 (y, x, 3) -> float32 (3, y, x): 0 is white, 1 black."""
    return np.ascontiguousarray(1 - rgb.transpose(2, 0, 1).astype(np.float32) / 255)


def fluorescence_input(rgb: np.ndarray) -> np.ndarray:
    """(y, x, 3) -> float32 (1, y, x): the strongest channel, 0 at percentile 1 of the image, 1 at percentile 99.8."""
    plane = rgb.max(axis=2).astype(np.float32)
    low, high = np.percentile(plane, (1, 99.8))
    return ((plane - low) / max(high - low, 1)).astype(np.float32)[None]


INPUTS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "stained": stained_input,
    "fluorescence": fluorescence_input,
}


def split(pictures: Sequence[Picture], leave_out: str | None) -> tuple[list[Picture], list[Picture]]:
    """Training and held-out images: a source that is left out alone, or else what the archives hold out."""
    if leave_out is not None:
        chosen = [picture.source == leave_out for picture in pictures]
        if not any(chosen):
            raise SystemExit(f"no source is called {leave_out!r}; there are: {', '.join(sources(pictures))}")
    else:
        chosen = [picture.is_held_out for picture in pictures]
    pairs = list(zip(pictures, chosen, strict=True))
    return [p for p, held_out in pairs if not held_out], [p for p, held_out in pairs if held_out]


def sources(pictures: Sequence[Picture]) -> list[str]:
    return sorted({picture.source for picture in pictures})


def _pictures(path: Path, kind: str) -> Iterator[Picture]:
    with zipfile.ZipFile(path) as archive:
        is_table = "manifest.csv" in archive.namelist()
        rows = list(csv.DictReader(io.StringIO(archive.read("manifest.csv" if is_table else "index.csv").decode())))
        described = _of_manifest(rows) if is_table else _of_index(rows)
        for file, of_kind, source, group, is_held_out in described:
            if of_kind != kind:
                continue
            image, labels = (Image.open(io.BytesIO(archive.read(f"{f}/{file}"))) for f in ("images", "labels"))
            pixels = INPUTS[kind](np.asarray(image.convert("RGB")))
            numbers = np.asarray(labels).astype(np.int64)
            yield Picture(Path(file).stem, source, group, pixels, numbers, is_held_out)


Described = Iterator[tuple[str, str, str, str, bool]]
"""File, kind, source, group, whether it is held out."""


def _of_manifest(rows: Sequence[Mapping[str, str]]) -> Described:
    """Tissue of several laboratories, which is divided by patient or source image already."""
    for row in rows:
        source = row["source"] if row["source"] != "DSB2018 stage1_test" else f"DSB2018 test, {row['stain']}"
        yield row["file"], "stained", source, row["group"], row["split"] == "val"


def _of_index(rows: Sequence[Mapping[str, str]]) -> Described:
    """The training set of the Data Science Bowl: sources are not told, but each has its own size of images."""
    held_out = _held_out([row["id"] for row in rows], [row["kind"] for row in rows], seed=0)
    for row in rows:
        kind = {"histology": "stained", "fluorescence": "fluorescence"}.get(row["kind"].split("-")[0], "other")
        source = f"DSB2018 {row['kind']} {row['height']} x {row['width']}"
        yield f"{row['id']}.png", kind, source, row["id"], row["id"] in held_out


def _held_out(names: Sequence[str], kinds: Sequence[str], seed: int) -> set[str]:
    """The same share of every kind: those that train_nuclei.py holds out with this seed."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name, kind in zip(names, kinds, strict=True):
        by_kind[kind].append(name)
    chosen: set[str] = set()
    for some in by_kind.values():
        order = np.random.default_rng(seed).permutation(len(some))
        chosen |= {some[i] for i in order[: max(1, round(HELD_OUT * len(some)))]}
    return chosen
