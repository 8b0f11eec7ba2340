"""Compiled loops over labels: runs of pixels, and what is summed over the pixels of objects.

Objects are looked for in their boxes only, in raster order. `labels` (int64, y by x) begin at row `top` and column
`left` of the image; `low` and `high` (n, 2) are boxes in the image, half-open. A pass over some rows of the labels goes
on with the sums of the pass before, so that an object taller than what is read at once is summed in the same order.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from math import log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.postprocess.compiled import compiled

Array = NDArray[Any]


@compiled
def count_runs(labels: Array) -> int:
    """How many runs of equal labels, other than 0, there are along rows."""
    count = 0
    for y in range(labels.shape[0]):
        before = 0
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label != before and label != 0:
                count += 1
            before = label
    return count


@compiled
def find_runs(labels: Array, runs: Array) -> None:
    """Fill `runs` (n, 4) with label, row, first column, and the column after the last one."""
    count = 0
    for y in range(labels.shape[0]):
        before = 0
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label != before:
                if before != 0:
                    runs[count - 1, 3] = x
                if label != 0:
                    runs[count, 0], runs[count, 1], runs[count, 2] = label, y, x
                    count += 1
            before = label
        if before != 0:
            runs[count - 1, 3] = labels.shape[1]


@compiled
def is_border(labels: Array, y: int, x: int, label: int) -> bool:
    """Whether a pixel has this label and a neighbour, by a side, that has not; outside there is none that has."""
    height, width = labels.shape
    if y < 0 or x < 0 or y >= height or x >= width or labels[y, x] != label:
        return False
    if y == 0 or x == 0 or y == height - 1 or x == width - 1:
        return True
    return bool(
        labels[y - 1, x] != label or labels[y + 1, x] != label or labels[y, x - 1] != label or labels[y, x + 1] != label
    )


@compiled
def border_kind(labels: Array, y: int, x: int, label: int) -> int:
    """Which step along the perimeter a border pixel stands for (Benkrid and Crookes): 0 a side, 1 a diagonal, 2 half of
    each, 3 none."""
    sides, corners = 0, 0
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            if (dy != 0 or dx != 0) and is_border(labels, y + dy, x + dx, label):
                if dy == 0 or dx == 0:
                    sides += 1
                else:
                    corners += 1
    code = 1 + 2 * sides + 10 * corners
    if code == 5 or code == 7 or code == 15 or code == 17 or code == 25 or code == 27:
        return 0
    if code == 21 or code == 33:
        return 1
    return 2 if code == 13 or code == 23 else 3


@compiled
def add_shapes(
    labels: Array,
    top: int,
    left: int,
    rows: tuple[int, int],
    ids: Array,
    low: Array,
    high: Array,
    sums: Array,
    steps: Array,
    first_span: Array,
    spans: Array,
) -> None:
    """Add the pixels of objects in rows [rows[0], rows[1]) of the image.

    `sums` (n, 6): pixels, y, x, y y, x x, x y, counted from the box's corner. `steps` (n, 4): border pixels by kind.
    `spans` (rows of all boxes, 2): first and last column of each row of an object, from its box's corner; those of an
    object begin at `first_span`.
    """
    for n in range(len(ids)):
        label = ids[n]
        for row in range(max(low[n, 0], rows[0]), min(high[n, 0], rows[1])):
            y, dy = row - top, row - low[n, 0]
            for column in range(low[n, 1], high[n, 1]):
                x, dx = column - left, column - low[n, 1]
                if labels[y, x] != label:
                    continue
                sums[n, 0] += 1
                sums[n, 1] += dy
                sums[n, 2] += dx
                sums[n, 3] += dy * dy
                sums[n, 4] += dx * dx
                sums[n, 5] += dx * dy
                span = first_span[n] + dy
                if spans[span, 1] < 0:
                    spans[span, 0] = dx
                spans[span, 1] = dx
                if is_border(labels, y, x, label):
                    steps[n, border_kind(labels, y, x, label)] += 1


@compiled
def add_values(
    labels: Array,
    image: Array,
    top: int,
    left: int,
    rows: tuple[int, int],
    ids: Array,
    low: Array,
    high: Array,
    stains: Array,
    darkest: float,
    white: float,
    pivot: Array,
    sums: Array,
    squares: Array,
    least: Array,
    most: Array,
) -> None:
    """Add the values of `image` (c, y, x; float64) under objects, each (n, c + stains).

    `stains` (c, s) makes optical densities of channels into those of stains; s may be 0. A value counts as `darkest` at
    least, and `white` has the density 0. `sums` and `squares` are of differences from `pivot`, an object's first value.
    """
    channels, count = len(image), len(image) + stains.shape[1]
    values, density = np.zeros(count), np.zeros(channels)
    for n in range(len(ids)):
        label = ids[n]
        for row in range(max(low[n, 0], rows[0]), min(high[n, 0], rows[1])):
            y = row - top
            for column in range(low[n, 1], high[n, 1]):
                x = column - left
                if labels[y, x] != label:
                    continue
                for c in range(channels):
                    values[c] = image[c, y, x]
                if count > channels:
                    for c in range(channels):
                        density[c] = -log10(max(values[c], darkest) / white)
                    for s in range(stains.shape[1]):
                        total = 0.0
                        for c in range(channels):
                            total += density[c] * stains[c, s]
                        values[channels + s] = max(total, 0.0)
                for k in range(count):
                    value = values[k]
                    if np.isnan(pivot[n, k]):
                        pivot[n, k] = value
                    difference = value - pivot[n, k]
                    sums[n, k] += difference
                    squares[n, k] += difference * difference
                    if not value >= least[n, k]:
                        least[n, k] = value
                    if not value <= most[n, k]:
                        most[n, k] = value


@compiled
def envelope(xs: Array, count: int, hull_y: Array, hull_x: Array) -> int:
    """The corners of the convex hull of points (y, xs[y]) towards small x, of which those with a negative number of
    their kind are none; how many there are."""
    size = 0
    for y in range(count):
        if xs[y] == NOWHERE:
            continue
        while size > 1:
            dy, dx = hull_y[size - 1] - hull_y[size - 2], hull_x[size - 1] - hull_x[size - 2]
            if dy * (xs[y] - hull_x[size - 2]) - dx * (y - hull_y[size - 2]) > 0:
                break
            size -= 1
        hull_y[size], hull_x[size] = y, xs[y]
        size += 1
    return size


NOWHERE = np.iinfo(np.int64).max


@compiled
def nearest_columns(spans: Array, side: int, towards: int, columns: Array) -> None:
    """For each row of an object the smallest column, times `towards`, of its convex hull.

    The hull is that of all corners of squares on their tips around pixels: half a pixel up, down, left and right.
    Counted in half pixels, row y is at 2 y + 1.
    """
    height = len(spans)
    points = np.full(2 * height + 1, NOWHERE, np.int64)
    for y in range(height):
        if spans[y, 1] >= 0:
            x = 2 * towards * spans[y, side]
            points[2 * y + 1] = x - 1
            points[2 * y], points[2 * y + 2] = min(points[2 * y], x), min(points[2 * y + 2], x)
    hull_y, hull_x = np.zeros(len(points), np.int64), np.zeros(len(points), np.int64)
    size = envelope(points, len(points), hull_y, hull_x)
    at = 0
    for y in range(height):
        while at + 2 < size and hull_y[at + 1] < 2 * y + 1:
            at += 1
        dy, dx = hull_y[at + 1] - hull_y[at], hull_x[at + 1] - hull_x[at]
        columns[y] = -(-(hull_x[at] * dy + (2 * y + 1 - hull_y[at]) * dx) // (2 * dy))


@compiled
def hull_pixels(first_span: Array, spans: Array, counts: Array) -> None:
    """How many pixels have their centre in the convex hull of each object, or on its edge."""
    for n in range(len(counts)):
        own = spans[first_span[n] : first_span[n + 1]]
        left, right = np.zeros(len(own), np.int64), np.zeros(len(own), np.int64)
        nearest_columns(own, 0, 1, left)
        nearest_columns(own, 1, -1, right)
        for y in range(len(own)):
            counts[n] += max(0, -right[y] - left[y] + 1)
