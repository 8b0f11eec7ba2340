"""Compiled floods.

A pixel's cost is (level, steps): the highest height on the way from a marker, and how many steps ago it was reached.
Pixels are taken by rising (cost, place), and each takes the neighbours that nobody has. Heights are whole numbers here
(`ordered_bits`), so that equal ones are equal.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.postprocess.compiled import compiled

Array = NDArray[Any]
Number = Any
"""Of numpy or Python."""

NOBODY, UNREAD, BEYOND, OUTSIDE = 0, -1, -2, -3
"""Owners that are no marker: none yet; something that is not read; something that is not looked at; the pixel is no
pixel of an object."""


@compiled
def cost_of(level: Number, steps: Number, owner: Number) -> Number:
    """A number by which costs are compared: of equal ones, those of owners that are not known come first."""
    known = 2 if owner > 0 else (1 if owner == BEYOND else 0)
    return (level << 30) | (steps << 2) | known


@compiled
def is_before(costs: Array, places: Array, a: int, b: int) -> bool:
    return bool(costs[a] < costs[b] or (costs[a] == costs[b] and places[a] < places[b]))


@compiled
def sift_up(costs: Array, places: Array, items: Array, at: int) -> None:
    """Bring the last entry of a heap to where it belongs."""
    cost, place, item = costs[at], places[at], items[at]
    while at > 0:
        parent = (at - 1) >> 1
        if costs[parent] < cost or (costs[parent] == cost and places[parent] < place):
            break
        costs[at], places[at], items[at] = costs[parent], places[parent], items[parent]
        at = parent
    costs[at], places[at], items[at] = cost, place, item


@compiled
def sift_down(costs: Array, places: Array, items: Array, size: int) -> None:
    """Put the last entry of a heap of size + 1 in the place of the first, and bring it to where it belongs."""
    cost, place, item = costs[size], places[size], items[size]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and is_before(costs, places, child + 1, child):
            child += 1
        if cost < costs[child] or (cost == costs[child] and place < places[child]):
            break
        costs[at], places[at], items[at] = costs[child], places[child], items[child]
        at = child
    costs[at], places[at], items[at] = cost, place, item


@compiled
def ordered_bits(bits: Number) -> Number:
    """A whole number from 0, less than 2 to the power of 32, in the order of finite floats with these bits."""
    if bits == 0x80000000:  # -0 is 0
        bits = 0
    return 0xFFFFFFFF - bits if bits >> 31 else bits + 0x80000000


@compiled
def flood_window(
    bits: Array, foreground: Array, markers: Array, open_sides: Array, owner: Array, level: Array, steps: Array
) -> None:
    """The owner of each pixel of a window, and its cost, into `owner`, `level` and `steps`.

    `bits` (y, x) are those of float32 heights, `markers` numbers from 1. The results are larger by a pixel on each
    side. Beyond the `open_sides` (top, bottom, left, right; bool) is something that is not known: it takes the pixels
    there that are no markers, at the least cost that they can have. What it does not take of the others is taken as in
    the whole image, since nothing outside can come sooner, or cheaper.
    """
    rows, columns = bits.shape
    width = columns + 2
    taken_by, levels, counts = owner.ravel(), level.ravel(), steps.ravel()
    taken_by[:] = OUTSIDE
    count = 0
    for y in range(rows):
        for x in range(columns):
            if not foreground[y, x]:
                continue
            count += 1
            pixel = (y + 1) * width + x + 1
            levels[pixel] = ordered_bits(np.int64(bits[y, x]))
            taken_by[pixel] = markers[y, x]
            if markers[y, x] > 0:
                continue
            above, below = y == 0 and open_sides[0], y == rows - 1 and open_sides[1]
            if above or below or (x == 0 and open_sides[2]) or (x == columns - 1 and open_sides[3]):
                taken_by[pixel] = UNREAD
    costs, places = np.empty(count + 1, np.int64), np.empty(count + 1, np.int32)
    neighbours = np.array([-width, -1, 1, width])
    size = 0
    for pixel in range(width, len(taken_by) - width):
        if taken_by[pixel] == NOBODY or taken_by[pixel] == OUTSIDE:
            continue
        for step in neighbours:
            if taken_by[pixel + step] == NOBODY:
                costs[size], places[size] = cost_of(np.int64(levels[pixel]), 0, taken_by[pixel]), pixel
                sift_up(costs, places, places, size)
                size += 1
                break
    while size > 0:
        pixel = places[0]
        size -= 1
        sift_down(costs, places, places, size)
        for step in neighbours:
            other = pixel + step
            if taken_by[other] != NOBODY:
                continue
            taken_by[other] = taken_by[pixel]
            if levels[other] <= levels[pixel]:
                levels[other], counts[other] = levels[pixel], counts[pixel] + 1
            cost = cost_of(np.int64(levels[other]), np.int64(counts[other]), taken_by[other])
            costs[size], places[size] = cost, other
            sift_up(costs, places, places, size)
            size += 1


@compiled
def flood_list(
    height: Array, neighbours: Array, place: Array, source: Array, unknown: Array
) -> tuple[Array, Array, Array]:
    """The owner, level and steps of each of n pixels in rising order of `place`.

    `neighbours` (n, 4) are numbers of other pixels of the list, or less than 0. `source` (n, 4) is the neighbour
    elsewhere that is taken first: its owner (0: there is none), level, steps and place. `unknown` is UNREAD or BEYOND
    where a neighbour is, which then takes the pixel, else 0.
    """
    n = len(height)
    owner, level, steps = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    costs, places, items = np.empty(2 * n + 1, np.int64), np.empty(2 * n + 1, np.int64), np.empty(2 * n + 1, np.int64)
    size = 0
    for pixel in range(n):
        if unknown[pixel] != 0:
            owner[pixel], level[pixel] = unknown[pixel], height[pixel]
            costs[size], places[size], items[size] = cost_of(height[pixel], 0, owner[pixel]), place[pixel], pixel
        elif source[pixel, 0] > 0:
            costs[size] = cost_of(source[pixel, 1], source[pixel, 2], source[pixel, 0])
            places[size], items[size] = source[pixel, 3], n + pixel
        else:
            continue
        sift_up(costs, places, items, size)
        size += 1
    while size > 0:
        item = items[0]
        size -= 1
        sift_down(costs, places, items, size)
        for side in range(4):
            if item >= n:
                other = item - n
                by, at_level, at_steps = source[other, 0], source[other, 1], source[other, 2]
            else:
                other = neighbours[item, side]
                by, at_level, at_steps = owner[item], level[item], steps[item]
            if other < 0 or owner[other] != NOBODY:
                continue
            owner[other] = by
            if height[other] > at_level:
                level[other], steps[other] = height[other], 0
            else:
                level[other], steps[other] = at_level, at_steps + 1
            costs[size] = cost_of(level[other], steps[other], by)
            places[size], items[size] = place[other], other
            sift_up(costs, places, items, size)
            size += 1
    return owner, level, steps


@compiled
def renumber(owner: Array, numbers: Array, number: Array) -> int:
    """Into `number`: the owners of pixels as 1, 2, 3, ... in raster order of their first pixels, 0 for those that are
    not known; into `numbers`: what each owner, from 0, became. Gives how many there are."""
    rows, columns = owner.shape
    count = 0
    for y in range(rows):
        for x in range(columns):
            by = owner[y, x]
            if by <= 0:
                continue
            if numbers[by] == 0:
                count += 1
                numbers[by] = count
            number[y, x] = numbers[by]
    return count


@compiled
def parts_of(probability: float) -> int:
    """A probability in whole parts (maps.py)."""
    return int(np.rint(min(max(probability, 0.0), 1.0) * 65536))


@compiled
def add_up(
    number: Array,
    markers: Array,
    edge: Array,
    probability: Array,
    classes: Array,
    ints: Array,
    boxes: Array,
    at_edge: Array,
    votes: Array,
) -> None:
    """Sums over the pixels of a tile with `number` 1 ... n, counted from its corner: `ints` (n, 5) area, marker pixels,
    first marker pixel (as an index of the tile; stays what it was where there is none), sums of y and of x; `boxes`
    (n, 4) low and high y, low and high x; `votes` (n, 1 + c) parts of the probability, and pixels of each of the
    `classes` from 1, if that has pixels at all."""
    rows, columns = number.shape
    for y in range(rows):
        for x in range(columns):
            n = number[y, x] - 1
            if n < 0:
                continue
            ints[n, 0] += 1
            if markers[y, x]:
                ints[n, 1] += 1
                ints[n, 2] = min(ints[n, 2], y * columns + x)
            ints[n, 3] += y
            ints[n, 4] += x
            boxes[n, 0], boxes[n, 1] = min(boxes[n, 0], y), max(boxes[n, 1], y + 1)
            boxes[n, 2], boxes[n, 3] = min(boxes[n, 2], x), max(boxes[n, 3], x + 1)
            at_edge[n] |= edge[y, x]
            votes[n, 0] += parts_of(probability[y, x])
            if votes.shape[1] > 1 and classes[y, x] > 0:
                votes[n, classes[y, x]] += 1


@compiled
def runs_of(number: Array, runs: Array) -> int:
    """Runs of equal numbers from 1 along the rows of a tile, into (n, 3): first pixel as an index of the tile, length,
    number. Gives how many there are; if they are more than fit, those that fit are written."""
    rows, columns = number.shape
    count = 0
    for y in range(rows):
        start = 0
        for x in range(1, columns + 1):
            if x < columns and number[y, x] == number[y, start]:
                continue
            if number[y, start] > 0:
                if count < len(runs):
                    runs[count, 0], runs[count, 1], runs[count, 2] = y * columns + start, x - start, number[y, start]
                count += 1
            start = x
    return count


@compiled
def paint_runs(labels: Array, runs: Array, ids: Array) -> None:
    """Give runs of a flattened tile the ids of their numbers, counted from 1."""
    for n in range(len(runs)):
        labels[runs[n, 0] : runs[n, 0] + runs[n, 1]] = ids[runs[n, 2] - 1]
