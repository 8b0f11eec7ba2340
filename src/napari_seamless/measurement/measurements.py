"""What was measured of a label image: areas of classes, and a table of objects."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest, OutputExists, Remedy
from napari_seamless.io.writers.output_file import put_in_place
from napari_seamless.io.writers.table_cells import cell_of

Column = NDArray[Any]
Table = Literal["objects", "areas", "rois"]
MANY = 256
"""More than a one-byte image has are not classes but single objects, and nobody wants to read a line for each."""

MICRO = {2: 1e6, 3: 1e9}
"""Square micrometres in a square millimetre, cubic ones in a cubic."""


@dataclass(frozen=True)
class ClassArea:
    """Pixels of one class. `area` is in square micrometres (cubic ones of a volume), None where the size of a pixel is
    not known; `fraction` is of all that was measured."""

    value: int
    name: str
    colour: str | None
    pixels: int
    fraction: float
    area: float | None
    ndim: int = 2

    @property
    def mm(self) -> float | None:
        """`area` in square (or cubic) millimetres."""
        return None if self.area is None else self.area / MICRO[self.ndim]


@dataclass(frozen=True)
class PartMeasurements:
    """What was measured of one outline of a roi: its name ("outline 2" where it has none) and class, its pixels, the
    areas of classes in it, and how many objects of each class have their centroid in it."""

    name: str
    classification: str
    pixels: int
    areas: tuple[ClassArea, ...]
    objects: Mapping[str, int]


@dataclass(frozen=True)
class Remark:
    """A sentence without its full stop, and what can be done about it, which `str()` says after it."""

    text: str
    remedy: Remedy | None = None

    def __str__(self) -> str:
        return self.text if self.remedy is None else f"{self.text}; {self.remedy}"


@dataclass(frozen=True, eq=False)  # columns of numbers are not compared
class Measurements:
    """Areas of classes, and the objects that were counted.

    `objects` are columns of equal length, one row an object in raster order: `object` (from 1), `class`, `label`,
    `pixels`, and, where the size of a pixel is known, `area_um2` (`volume_um3`); the centroid `y`, `x` in level-0
    pixels of the labels (centres at whole numbers), `y_um`, `x_um` from the slide's origin, `slide_y`, `slide_x` where
    the labels have another resolution than the slide; the bounding box `y_min`, `x_min`, `y_max`, `x_max` (half-open;
    `z` first in volumes); `at_edge`: cut by, or touching, the edge of the image or of what is finished; `mean_...` of
    each channel of the image; `roi`, of several outlines: the first that holds its centroid. Empty where no objects
    were sought.

    `parts` are the outlines that were measured, where these are several or have names. What several of them cover is
    in each, and counts once in all the rest. `pixels` is how many were measured, `pixel_size` (micrometres) None where
    it is not known, and `remarks` are sentences on what to bear in mind, with what can be done about it. Frozen; any
    thread.
    """

    name: str
    areas: tuple[ClassArea, ...]
    objects: Mapping[str, Column]
    counted: tuple[str, ...]
    pixels: int
    ndim: int
    pixel_size: tuple[float, ...] | None
    remarks: tuple[Remark, ...] = ()
    parts: tuple[PartMeasurements, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks, in full."""
        return tuple(map(str, self.remarks))

    @property
    def area(self) -> float | None:
        """All that was measured, in square micrometres (cubic ones of a volume)."""
        return None if self.pixel_size is None else self.pixels * prod(self.pixel_size)

    @property
    def area_column(self) -> str:
        """The column of objects' sizes, in the best unit that is known."""
        return "pixels" if self.pixel_size is None else self._real

    def count(self, name: str | None = None) -> int:
        """How many objects, of one class or in all."""
        return sum(self._counts.values()) if name is None else self._counts[name]

    def density(self, name: str | None = None) -> float | None:
        """Objects per square (cubic) millimetre of what was measured; None where the size of a pixel is not known."""
        return self.count(name) / (self.area / MICRO[self.ndim]) if self.area else None

    def sizes(self, name: str | None = None) -> Column:
        """The sizes of the objects, in the unit of `area_column`."""
        return np.asarray(self.objects[self.area_column][self._rows(name)]) if self.objects else np.zeros(0)

    def median(self, name: str | None = None) -> float | None:
        """The size of the object in the middle, in the unit of `area_column`; None without objects."""
        sizes = self.sizes(name)
        return float(np.median(sizes)) if len(sizes) else None

    def mean(self, name: str | None = None) -> float | None:
        """The mean size, likewise."""
        sizes = self.sizes(name)
        return float(sizes.mean()) if len(sizes) else None

    def histogram(
        self, name: str | None = None, bins: int = 30, until: float | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(objects in each bin, the edges of at most `bins` bins), of `sizes` up to `until`. A bin is a whole number of
        pixels wide, so that none is fuller just because more sizes fall into it."""
        sizes = self.sizes(name)
        sizes = sizes if until is None else sizes[sizes <= until]
        if not len(sizes):
            return np.zeros(0, np.int64), np.zeros(0)
        unit = 1.0 if self.pixel_size is None else prod(self.pixel_size)
        step = unit * max(1, -(-round((sizes.max() - sizes.min()) / unit + 1) // bins))
        low = sizes.min() - unit / 2
        edges = low + step * np.arange(int((sizes.max() - low) // step) + 2)
        counts, edges = np.histogram(sizes, edges)
        return counts, edges

    def table(self, what: Table) -> tuple[tuple[str, ...], Iterable[Sequence[Any]]]:
        """(names of the columns, rows) as they are saved: a row for each object, each class, or each outline of a roi
        and a total."""
        if what == "objects":
            columns = [column.tolist() for column in self.objects.values()]
            return tuple(self.objects), zip(*columns, strict=True)
        real = () if self.pixel_size is None else (self._real, self._real.replace("um", "mm"))
        rows = ([a.value, a.name, a.pixels, a.fraction, *((a.area, a.mm) if real else ())] for a in self.areas)
        if what == "rois":
            return self._roi_names(real), self._roi_rows(bool(real))
        return ("label", "class", "pixels", "fraction", *real), rows

    def _roi_names(self, real: Sequence[str]) -> tuple[str, ...]:
        kinds = [area.name for area in self.areas] if len(self.areas) <= MANY else []
        counts = [f"objects_{name}" for name in self.counted] or (["objects"] if self.objects else [])
        per = f"per_mm{self.ndim}"
        densities = [f"{per}_{name}" for name in self.counted] or ([per] if self.objects else [])
        by_class = (f"pixels_{name}" for name in kinds)
        return ("roi", "class", "pixels", *real, *by_class, *counts, *(densities if real else ()))

    def _roi_rows(self, has_size: bool) -> Iterator[Sequence[Any]]:
        """What several outlines cover is in the row of each, and in the total once."""
        kinds = [area.value for area in self.areas] if len(self.areas) <= MANY else []
        each = prod(self.pixel_size) if self.pixel_size is not None else 1.0
        total = {name: self.count(name) for name in self.counted} or {"": self.count()}
        parts = [(p.name, p.classification, p.pixels, p.areas, p.objects) for p in self.parts]
        for name, classification, pixels, areas, objects in (*parts, ("total", "", self.pixels, self.areas, total)):
            by_value = {area.value: area.pixels for area in areas}
            sizes = (pixels * each, pixels * each / MICRO[self.ndim]) if has_size else ()
            counts = [objects.get(kind, 0) for kind in self.counted] or [sum(objects.values())] * bool(self.objects)
            densities = [count / sizes[1] if sizes[1] else 0.0 for count in counts] if sizes else []
            by_class = (by_value.get(value, 0) for value in kinds)
            yield [name, classification, pixels, *sizes, *by_class, *counts, *densities]

    def save_csv(self, path: str | Path, what: Table | None = None, *, overwrite: bool = False) -> Path:
        """Save the objects, or the areas where none were sought, or what is asked for ("rois": a row for each outline,
        and a total); returns the path.

        Raises BadRequest, OutputExists, OutputUnwritable.
        """
        path = Path(path)
        chosen = what or ("objects" if self.objects else "areas")
        if chosen not in ("objects", "areas", "rois"):
            raise BadRequest(f"a table is 'objects', 'areas' or 'rois'; got {what!r}")
        if chosen == "objects" and not self.objects:
            raise BadRequest("a table of objects needs objects; none were sought; name classes, or save the areas")
        names, rows = self.table(chosen)
        with put_in_place(path, overwrite=overwrite) as file, file.open("w", newline="", encoding="utf-8") as text:
            writer = csv.writer(text)
            writer.writerow(map(cell_of, names))
            writer.writerows([cell_of(value) for value in row] for row in rows)
        return path

    def summary(self) -> str:
        """A few lines as a person reads them."""
        lines = [f"{self.name}: {self._extent(self.pixels)} measured"]
        width = max((len(a.name) for a in self.areas), default=0)
        lines += [f"  {a.name:<{width}}  {self._extent(a.pixels)}  {a.fraction:.2%}" for a in self.areas]
        for name in self.counted:
            density = self.density(name)
            per = "" if density is None else f", {density:,.4g} per mm{'²' if self.ndim == 2 else '³'}"
            middle = self.median(name)
            median = "" if middle is None else f", median {self._unit(middle)}"
            lines.append(f"{self.count(name):,} objects of {name}{per}{median}")
        for part in self.parts:
            kind = f" ({part.classification})" if part.classification else ""
            counts = "".join(f", {part.objects.get(name, 0):,} of {name}" for name in self.counted)
            lines.append(f"  {part.name}{kind}: {self._extent(part.pixels)}{counts}")
        return "\n".join([*lines, *self.notes])

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(self.objects["class"].tolist() if self.objects else ())

    @property
    def _real(self) -> str:
        return "area_um2" if self.ndim == 2 else "volume_um3"

    def _rows(self, name: str | None) -> Column:
        if not self.objects:
            return np.zeros(0, bool)
        classes = self.objects["class"]
        return np.ones(len(classes), bool) if name is None else np.asarray(classes == name)

    def _extent(self, pixels: int) -> str:
        if self.pixel_size is None:
            return f"{pixels:,} px"
        return f"{pixels * prod(self.pixel_size) / MICRO[self.ndim]:,.6g} mm{'²' if self.ndim == 2 else '³'}"

    def _unit(self, size: float) -> str:
        if self.pixel_size is None:
            return f"{size:,.4g} px"
        return f"{size:,.4g} µm{'²' if self.ndim == 2 else '³'}"


def check_table_path(path: Path, *, overwrite: bool = False) -> None:
    """Raise OutputExists where a table could not be saved later: before the work, not after it."""
    if path.is_dir() or (path.exists() and not overwrite):
        raise OutputExists(f"a table needs a free path; {path} exists; choose another path or overwrite it")
