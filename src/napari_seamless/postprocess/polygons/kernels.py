"""Compiled loops over star-convex polygons as rows of bits.

Vertices are counted from the centre, a whole pixel, so a polygon has the same bits wherever it lies.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.postprocess.compiled import compiled
from napari_seamless.postprocess.polygons.masks import Masks
from napari_seamless.postprocess.polygons.stars import PARTS

Array = NDArray[Any]

UNDECIDED, WON, LOST = 0, 1, 2
BUCKET = 32
"""Side, in pixels, of the squares by which neighbours are looked up."""
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@compiled
def words_of(columns: int) -> int:
    """Words of a row of bits."""
    return (columns + 63) // 64


@compiled
def count_bits(word: np.uint64) -> int:
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def toggle_from(bits: Array, at: int, words: int, column: int) -> None:
    """Turn over the bits of a row from a column on."""
    first = column // 64
    if first < words:
        bits[at + first] ^= ALL << np.uint64(column % 64)
        for word in range(first + 1, words):
            bits[at + word] ^= ALL


@compiled
def add_crossings(bits: Array, top: int, left: int, words: int, ys: Array, xs: Array, on_row_is_above: bool) -> None:
    """Turn over the bits beyond each crossing of an edge and a row, so that those inside are set in the end.

    A vertex on a row counts as above it, or as below.
    """
    for ray in range(len(ys)):
        y0, x0, y1, x1 = ys[ray - 1], xs[ray - 1], ys[ray], xs[ray]
        leaves = y1 > y0
        if not leaves:
            y0, x0, y1, x1 = y1, x1, y0, x0
        if on_row_is_above:
            first, last = -(-y0 // PARTS), -(-y1 // PARTS) - 1
        else:
            first, last = y0 // PARTS + 1, y1 // PARTS
        for y in range(first, last + 1):
            part, whole = x0 * (y1 - y0) + (y * PARTS - y0) * (x1 - x0), PARTS * (y1 - y0)
            column = part // whole + 1 if leaves else -(-part // whole)
            toggle_from(bits, (y - top) * words, words, column - left)


@compiled
def fill_bits(masks: Masks, center: Array, ys: Array, xs: Array) -> None:
    """Set the bits of polygons with these centres (n, 2) and vertices (n, rays), and count them."""
    for n in range(len(ys)):
        words = words_of(masks.columns[n])
        top, left = masks.top[n] - center[n, 0], masks.left[n] - center[n, 1]
        own = masks.bits[masks.start[n] : masks.start[n] + masks.rows[n] * words]
        add_crossings(own, top, left, words, ys[n], xs[n], True)
        if (ys[n] % PARTS == 0).any():
            other = np.zeros(len(own), np.uint64)
            add_crossings(other, top, left, words, ys[n], xs[n], False)
            own |= other
        for word in own:
            masks.area[n] += count_bits(word)


@compiled
def has(masks: Masks, n: int, y: int, x: int) -> bool:
    """Whether a polygon has a pixel of its box."""
    column = x - masks.left[n]
    word = masks.start[n] + (y - masks.top[n]) * words_of(masks.columns[n]) + column // 64
    return bool((masks.bits[word] >> np.uint64(column % 64)) & np.uint64(1))


@compiled
def shared_pixels(masks: Masks, a: int, b: int, enough: float) -> int:
    """How many pixels two polygons share; counting ends where it is more than `enough`."""
    bits, start, top, left = masks.bits, masks.start, masks.top, masks.left
    if left[b] < left[a]:
        a, b = b, a
    skip, shift = (left[b] - left[a]) // 64, np.uint64((left[b] - left[a]) % 64)
    words_a, words_b = words_of(masks.columns[a]), words_of(masks.columns[b])
    count = 0
    for y in range(max(top[a], top[b]), min(top[a] + masks.rows[a], top[b] + masks.rows[b])):
        in_a, in_b = start[a] + (y - top[a]) * words_a + skip, start[b] + (y - top[b]) * words_b
        for word in range(min(words_b, words_a - skip)):
            part = bits[in_a + word] >> shift
            if shift > 0 and word + skip + 1 < words_a:
                part |= bits[in_a + word + 1] << (np.uint64(64) - shift)
            count += count_bits(part & bits[in_b + word])
        if count > enough:
            break
    return count


@compiled
def into_buckets(y: Array, x: Array) -> tuple[int, int, int, Array, Array]:
    """Centres by squares: (first y, first x, squares along x, where each square begins, numbers in rising order)."""
    first_y, first_x = y.min(), x.min()
    across = (x.max() - first_x) // BUCKET + 1
    count = ((y.max() - first_y) // BUCKET + 1) * across
    begins = np.zeros(count + 1, np.int64)
    for n in range(len(y)):
        begins[(y[n] - first_y) // BUCKET * across + (x[n] - first_x) // BUCKET + 1] += 1
    for square in range(count):
        begins[square + 1] += begins[square]
    numbers, at = np.zeros(len(y), np.int64), begins.copy()
    for n in range(len(y)):
        square = (y[n] - first_y) // BUCKET * across + (x[n] - first_x) // BUCKET
        numbers[at[square]] = n
        at[square] += 1
    return first_y, first_x, across, begins, numbers


@compiled
def decide(
    masks: Masks, center: Array, overlap: float, is_open: Array, active: Array, state: Array, shown: Array
) -> None:
    """Settle what can be settled of polygons that come by falling rank; changes `state` and `shown`.

    Only those that are `active` change. One that overlaps a winner of higher rank has lost; one that nothing unread can
    reach (`is_open` says the opposite) and that no undecided one of higher rank overlaps has won. `shown` are those
    that would win if there were nothing unread.
    """
    top, left, rows, columns = masks.top, masks.left, masks.rows, masks.columns
    y, x = center[:, 0], center[:, 1]
    first_y, first_x, across, begins, numbers = into_buckets(y, x)
    down = (len(begins) - 1) // across
    reach_top, reach_bottom, reach_left, reach_right = 0, 0, 0, 0
    for n in range(len(y)):
        reach_top, reach_bottom = max(reach_top, y[n] - top[n]), max(reach_bottom, top[n] + rows[n] - 1 - y[n])
        reach_left, reach_right = max(reach_left, x[n] - left[n]), max(reach_right, left[n] + columns[n] - 1 - x[n])
    for n in range(len(y)):
        if state[n] != UNDECIDED or not active[n]:
            continue
        bottom, right = top[n] + rows[n], left[n] + columns[n]
        from_row, to_row = (top[n] - reach_bottom - first_y) // BUCKET, (bottom - 1 + reach_top - first_y) // BUCKET
        from_column = (left[n] - reach_right - first_x) // BUCKET
        to_column = (right - 1 + reach_left - first_x) // BUCKET
        lost, blocked, hidden = False, False, False
        for row in range(max(from_row, 0), min(to_row + 1, down)):
            for square in range(row * across + max(from_column, 0), row * across + min(to_column + 1, across)):
                for at in range(begins[square], begins[square + 1]):
                    m = numbers[at]
                    if m >= n or lost:
                        break
                    if state[m] == LOST or (state[m] == UNDECIDED and blocked and (hidden or not shown[m])):
                        continue
                    if top[m] >= bottom or left[m] >= right or top[m] + rows[m] <= top[n]:
                        continue
                    if left[m] + columns[m] <= left[n]:
                        continue
                    limit = overlap * min(masks.area[n], masks.area[m])
                    if shared_pixels(masks, n, m, limit) > limit:
                        lost |= state[m] == WON
                        blocked |= state[m] == UNDECIDED
                        hidden |= shown[m]
        if lost:
            state[n] = LOST
        elif not is_open[n] and not blocked:
            state[n] = WON
        shown[n] = state[n] == UNDECIDED and not hidden


@compiled
def paint_over(labels: Array, y0: int, x0: int, masks: Masks, ids: Array) -> None:
    """Give the pixels of polygons their ids, one after the other; the first pixel of `labels` lies at (y0, x0)."""
    height, width = labels.shape
    for n in range(len(ids)):
        for y in range(max(masks.top[n], y0), min(masks.top[n] + masks.rows[n], y0 + height)):
            for x in range(max(masks.left[n], x0), min(masks.left[n] + masks.columns[n], x0 + width)):
                if has(masks, n, y, x):
                    labels[y - y0, x - x0] = ids[n]


@compiled
def sums_inside(low: Array, high: Array, masks: Masks, area: Array, total: Array, boxes: Array) -> None:
    """Pixels of polygons inside [low, high): their number, the sum of their coordinates, the box around them."""
    for n in range(len(area)):
        boxes[n, 0, 0], boxes[n, 0, 1] = high[0], high[1]
        for y in range(max(masks.top[n], low[0]), min(masks.top[n] + masks.rows[n], high[0])):
            for x in range(max(masks.left[n], low[1]), min(masks.left[n] + masks.columns[n], high[1])):
                if has(masks, n, y, x):
                    area[n] += 1
                    total[n, 0] += y
                    total[n, 1] += x
                    boxes[n, 0, 0], boxes[n, 1, 0] = min(boxes[n, 0, 0], y), max(boxes[n, 1, 0], y + 1)
                    boxes[n, 0, 1], boxes[n, 1, 1] = min(boxes[n, 0, 1], x), max(boxes[n, 1, 1], x + 1)


@compiled
def measure_rays(labels: Array, grid: int, sin: Array, cos: Array, distance: Array) -> None:
    """How far from every `grid`-th pixel of an object each ray leaves its pixels, into `distance` (rays, y, x).

    A ray goes from pixel to pixel through their common side; through a corner if it meets it.
    """
    height, width = labels.shape
    rays, rows, columns = distance.shape
    for row in range(rows):
        for column in range(columns):
            label = labels[row * grid, column * grid]
            if label == 0:
                continue
            for ray in range(rays):
                y, x = row * grid, column * grid
                step_y, step_x = 1 if sin[ray] > 0 else -1, 1 if cos[ray] > 0 else -1
                per_y = 1 / max(abs(sin[ray]), 1e-12)
                per_x = 1 / max(abs(cos[ray]), 1e-12)
                side_y, side_x, gone = per_y / 2, per_x / 2, 0.0
                while 0 <= y < height and 0 <= x < width and labels[y, x] == label:
                    gone = min(side_y, side_x)
                    if side_y <= gone + 1e-9:
                        y, side_y = y + step_y, side_y + per_y
                    if side_x <= gone + 1e-9:
                        x, side_x = x + step_x, side_x + per_x
                distance[ray, row, column] = gone
