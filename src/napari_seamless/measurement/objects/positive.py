"""Which objects are positive: a threshold on a column, and how many lie above it, in all and in each outline."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.io.writers.output_file import put_in_place
from napari_seamless.io.writers.table_cells import cell_of
from napari_seamless.runs.roi_parts import RoiPart

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
COMPARISONS = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}


@dataclass(frozen=True)
class Threshold:
    """Objects whose `column` is on that side of `value` are positive."""

    column: str
    comparison: str
    value: float

    @classmethod
    def of(cls, text: str) -> Threshold:
        """Of a text such as "mean_DAB>0.2". Raises BadRequest.

        >>> Threshold.of("mean_DAB > 0.2")
        Threshold(column='mean_DAB', comparison='>', value=0.2)
        """
        matched = re.fullmatch(r"\s*(.+?)\s*(>=|<=|>|<)\s*([-+0-9.eE]+)\s*", text)
        try:
            if matched is None:
                raise ValueError
            return cls(matched[1], matched[2], float(matched[3]))
        except ValueError:
            raise BadRequest(
                f"a threshold is a column, one of > >= < <=, and a number, such as mean_DAB>0.2; got {text!r}"
            ) from None

    def __str__(self) -> str:
        return f"{self.column} {self.comparison} {self.value:g}"

    def column_of(self, columns: Mapping[str, NDArray[Any]]) -> Floats:
        """The numbers that are compared. Raises BadRequest where there are none of this name."""
        numbers = [name for name, column in columns.items() if column.dtype.kind in "iuf"]
        if self.column not in numbers:
            raise BadRequest(
                f"a threshold is on a column of numbers; got {self.column!r}; choose one of {', '.join(numbers)}"
                f"{'' if any(n.startswith('mean_') for n in numbers) else '; an image (--image) adds its channels'}"
            )
        return np.asarray(columns[self.column], np.float64)

    def holds(self, values: Floats) -> Bools:
        """Which are positive; NaN is not."""
        return np.asarray(COMPARISONS[self.comparison](values, self.value))


@dataclass(frozen=True)
class PositiveShare:
    """How many of the objects of an outline (by `name`; "" is all of them) are positive, and how many are not."""

    name: str
    positive: int
    negative: int

    @property
    def count(self) -> int:
        return self.positive + self.negative

    @property
    def percent(self) -> float | None:
        """Of all that have a value; None where there are none."""
        return 100 * self.positive / self.count if self.count else None


@dataclass(frozen=True, eq=False)
class PositiveShares:
    """The split by a threshold. `shares` begin with all objects; then one for each outline of a roi, where several or
    named ones were measured. An object in two outlines counts in both. `values` are those of all objects (8 bytes
    each); objects without a number count on neither side."""

    threshold: Threshold
    shares: tuple[PositiveShare, ...]
    values: Floats

    @property
    def percent(self) -> float | None:
        """Of all objects."""
        return self.shares[0].percent

    def histogram(self, bins: int = 64) -> tuple[NDArray[np.int64], Floats]:
        """(objects in each bin, the bins' edges, one more), of the values from the least to the most."""
        finite = self.values[np.isfinite(self.values)]
        counts, edges = np.histogram(finite, bins)
        return counts.astype(np.int64), edges

    def save_histogram(self, path: str | Path, bins: int = 64, *, overwrite: bool = False) -> Path:
        """A row for each bin: where it begins and ends, how many objects it has; returns the path.

        Raises OutputExists, OutputUnwritable.
        """
        counts, edges = self.histogram(bins)
        with (
            put_in_place(Path(path), overwrite=overwrite) as file,
            file.open("w", newline="", encoding="utf-8") as text,
        ):
            table = csv.writer(text)
            table.writerow((f"{self.threshold.column}_from", f"{self.threshold.column}_to", "objects"))
            rows = zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
            table.writerows([cell_of(value) for value in row] for row in rows)
        return Path(path)

    def at(self, value: float) -> float | None:
        """The percentage of positive objects at another value of the threshold."""
        moved = Threshold(self.threshold.column, self.threshold.comparison, value)
        return _share("", moved, self.values).percent


def shares_of(threshold: Threshold, values: Floats, centroid: Floats, parts: Sequence[RoiPart]) -> PositiveShares:
    """The split of objects with these `values` (n,) and centroids (n, 2)."""
    shares = [_share("", threshold, values)]
    if len(parts) > 1 or any(part.name for part in parts):
        shares += [
            _share(part.name or f"outline {k}", threshold, values[part.holds(centroid)])
            for k, part in enumerate(parts, 1)
        ]
    return PositiveShares(threshold, tuple(shares), values)


def _share(name: str, threshold: Threshold, values: Floats) -> PositiveShare:
    known = values[~np.isnan(values)]
    positive = int(np.count_nonzero(threshold.holds(known)))
    return PositiveShare(name, positive, len(known) - positive)
