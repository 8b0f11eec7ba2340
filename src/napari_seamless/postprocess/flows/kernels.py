"""Compiled loops over particles, the squares that they move in, and the places where they end."""

# mypy: allow-untyped-calls

from __future__ import annotations

from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.postprocess.compiled import compiled
from napari_seamless.postprocess.flows.measured import ShapeColumns, ShapeSums
from napari_seamless.postprocess.flows.places import PlaceIndex, UnreadGrid

Array = NDArray[Any]

ROUNDING = 1e-9
"""More than rounding can add to a step, as a part of the longest one at a corner."""


@compiled
def first_from(index: PlaceIndex, y: int, x: int) -> int:
    """The number of the first place of a row at `x` or behind it."""
    low, high = index.begins[y - index.first], index.begins[y - index.first + 1]
    while low < high:
        middle = (low + high) // 2
        if index.x[middle] < x:
            low = middle + 1
        else:
            high = middle
    return int(low)


@compiled
def number_of(index: PlaceIndex, y: int, x: int) -> int:
    """Which place it is, -1 for none of them."""
    if y < index.first or y - index.first >= len(index.begins) - 1:
        return -1
    number = first_from(index, y, x)
    return number if number < index.begins[y - index.first + 1] and index.x[number] == x else -1


@compiled
def some_near(index: PlaceIndex, y: int, x: int, distance: int) -> bool:
    """Whether any place lies within this many pixels, along both axes."""
    for row in range(max(y - distance, index.first), min(y + distance, index.first + len(index.begins) - 2) + 1):
        number = first_from(index, row, x - distance)
        if number < index.begins[row - index.first + 1] and index.x[number] <= x + distance:
            return True
    return False


@compiled
def block_of(edges: Array, at: int) -> int:
    """The last edge that is not behind a pixel."""
    low, high = 0, len(edges)
    while high - low > 1:
        middle = (low + high) // 2
        if edges[middle] <= at:
            low = middle
        else:
            high = middle
    return low


@compiled
def unread_near(grid: UnreadGrid, y: int, x: int, distance: int) -> bool:
    """Whether any pixel within this distance, along both axes, is unread."""
    if y + distance < grid.y[0] or y - distance >= grid.y[-1] or x + distance < grid.x[0] or x - distance >= grid.x[-1]:
        return False
    top, left = block_of(grid.y, y - distance), block_of(grid.x, x - distance)
    bottom = min(block_of(grid.y, y + distance) + 1, len(grid.y) - 1)
    right = min(block_of(grid.x, x + distance) + 1, len(grid.x) - 1)
    before = grid.before
    return bool(before[bottom, right] - before[top, right] - before[bottom, left] + before[top, left] > 0)


@compiled
def move(
    start: Array,
    place: Array,
    part: Array,
    left: Array,
    corner: Array,
    index: PlaceIndex,
    grid: UnreadGrid,
    shape: tuple[int, int],
    reach: int,
) -> None:
    """Let particles move as far as they can, in squares with these corners; changes `place`, `part` and `left`.

    One that comes to where nothing moves is at its end, and one that comes to an unread pixel waits there.
    """
    for n in range(len(left)):
        if left[n] <= 0:
            continue
        y, x, v, u, steps = place[n, 0], place[n, 1], part[n, 0], part[n, 1], left[n]
        square = -1
        while steps > 0:
            if square < 0:
                square = number_of(index, y, x)
                if square < 0:
                    if not unread_near(grid, y, x, 0):
                        steps = 0
                    break
            c = corner[square]
            step_y = c[0] * (1 - v) * (1 - u) + c[2] * (1 - v) * u + c[4] * v * (1 - u) + c[6] * v * u
            step_x = c[1] * (1 - v) * (1 - u) + c[3] * (1 - v) * u + c[5] * v * (1 - u) + c[7] * v * u
            to_v, to_u = v + step_y, u + step_x
            more_y, more_x = floor(to_v), floor(to_u)
            to_v, to_u = to_v - more_y, to_u - more_x
            if to_v >= 1:
                more_y, to_v = more_y + 1, 0.0
            if to_u >= 1:
                more_x, to_u = more_x + 1, 0.0
            if y + more_y < 0 or y + more_y >= shape[0] - 1:
                more_y, to_v = (0 if y + more_y < 0 else shape[0] - 1) - y, 0.0
            if x + more_x < 0 or x + more_x >= shape[1] - 1:
                more_x, to_u = (0 if x + more_x < 0 else shape[1] - 1) - x, 0.0
            steps -= 1
            if more_y != 0 or more_x != 0:
                y, x, square = y + more_y, x + more_x, -1
                if abs(y - start[n, 0]) > reach or abs(x - start[n, 1]) > reach:
                    steps = -1
            elif to_v == v and to_u == u:
                steps = 0
            v, u = to_v, to_u
        place[n, 0], place[n, 1], part[n, 0], part[n, 1], left[n] = y, x, v, u, steps


@compiled
def span_of(a: float, b: float, c: float, d: float) -> tuple[int, int]:
    """From and to how many pixels further a particle can be one step later, of the steps at the corners."""
    low, high = min(min(a, b), min(c, d)), max(max(a, b), max(c, d))
    more = ROUNDING * max(abs(low), abs(high))
    lowest = floor(low - more) if low < 0 else 0
    highest = ceil(high + more) if high > 0 else 0
    return lowest, highest


@compiled
def flood(
    at: Array,
    corner: Array,
    index: PlaceIndex,
    grid: UnreadGrid,
    low: Array,
    high: Array,
    leap: int,
    reach: int,
    is_open: Array,
) -> None:
    """Find the squares that a particle of an unread pixel may still come to, among those inside [low, high).

    The others are taken to be open, and so is what particles come to from there.
    """
    waiting = np.zeros(len(at), np.int64)
    count = 0
    for n in range(len(at)):
        y, x = at[n, 0], at[n, 1]
        is_judged = low[0] <= y < high[0] and low[1] <= x < high[1]
        if not is_judged or unread_near(grid, y, x, leap):
            is_open[n] = True
            waiting[count] = n
            count += 1
    while count > 0:
        count -= 1
        n = waiting[count]
        c = corner[n]
        from_y, to_y = span_of(c[0], c[2], c[4], c[6])
        from_x, to_x = span_of(c[1], c[3], c[5], c[7])
        y, x = at[n, 0], at[n, 1]
        for row in range(max(y + from_y, index.first), min(y + to_y, index.first + len(index.begins) - 2) + 1):
            m = first_from(index, row, x + from_x)
            while m < index.begins[row - index.first + 1] and index.x[m] <= x + to_x:
                if not is_open[m] and unread_near(grid, at[m, 0], at[m, 1], reach):
                    is_open[m] = True
                    waiting[count] = m
                    count += 1
                m += 1


@compiled
def is_peak(at: Array, count: Array, index: PlaceIndex, enough: int, peak: Array) -> None:
    """Which places have more ends than `enough`, and as many as any within two pixels."""
    for n in range(len(at)):
        if count[n] <= enough:
            continue
        peak[n] = True
        for row in range(at[n, 0] - 2, at[n, 0] + 3):
            for column in range(at[n, 1] - 2, at[n, 1] + 3):
                m = number_of(index, row, column)
                if m >= 0 and count[m] > count[n]:
                    peak[n] = False


@compiled
def grow(peaks: Array, at: Array, count: Array, index: PlaceIndex, enough: int, by: int, owner: Array) -> None:
    """Give each peak (a number of a place) the places that it grows over, one step a time for `by` steps, among those
    with more ends than `enough`; later peaks take from earlier ones."""
    side = 2 * by + 3
    for k in range(len(peaks)):
        top, left = at[peaks[k], 0] - by - 1, at[peaks[k], 1] - by - 1
        number, depth = np.full((side, side), -1, np.int64), np.full((side, side), by + 1, np.int64)
        for row in range(1, side - 1):
            for column in range(1, side - 1):
                m = number_of(index, top + row, left + column)
                if m >= 0 and count[m] > enough:
                    number[row, column] = m
        depth[by + 1, by + 1] = 0
        for step in range(1, by + 1):
            for row in range(1, side - 1):
                for column in range(1, side - 1):
                    if number[row, column] >= 0 and depth[row, column] > step:
                        for y in range(row - 1, row + 2):
                            for x in range(column - 1, column + 2):
                                if depth[y, x] == step - 1:
                                    depth[row, column] = step
        for row in range(1, side - 1):
            for column in range(1, side - 1):
                if depth[row, column] <= by:
                    owner[number[row, column]] = k


@compiled
def are_final(
    at: Array, squares: PlaceIndex, grid: UnreadGrid, low: Array, high: Array, leap: int, distance: int, final: Array
) -> None:
    """Which places inside [low, high) have only places around them, within `distance`, to which no particle can still
    come. `squares` are the open ones."""
    for n in range(len(at)):
        y, x = at[n, 0], at[n, 1]
        if low[0] <= y < high[0] and low[1] <= x < high[1] and not unread_near(grid, y, x, leap + distance):
            final[n] = not some_near(squares, y, x, leap + distance)


@compiled
def mask_of(start: Array, top: int, left: int, rows: int, columns: int) -> Array:
    """1 where pixels of an object are, 2 outside of it, 0 in its holes; with an edge of one pixel."""
    height, width = rows + 2, columns + 2
    mask = np.zeros((height, width), np.uint8)
    for pixel in start:
        mask[pixel[0] - top + 1, pixel[1] - left + 1] = 1
    waiting = np.zeros(height * width, np.int64)
    mask[0, 0] = 2
    count = 1
    while count > 0:
        count -= 1
        y, x = waiting[count] // width, waiting[count] % width
        for side in range(4):
            to_y, to_x = y + (side == 0) - (side == 1), x + (side == 2) - (side == 3)
            if 0 <= to_y < height and 0 <= to_x < width and mask[to_y, to_x] == 0:
                mask[to_y, to_x] = 2
                waiting[count] = to_y * width + to_x
                count += 1
    return mask


@compiled
def flow_to_middle(start: Array) -> Array:
    """Steps (n, 2) of length 1 at the pixels of an object, as heat flows that is added at the pixel nearest to their
    mean, and spreads among them."""
    size = len(start)
    top, left, bottom, right = start[0, 0], start[0, 1], start[0, 0], start[0, 1]
    total_y, total_x = 0, 0
    for pixel in start:
        top, bottom = min(top, pixel[0]), max(bottom, pixel[0])
        left, right = min(left, pixel[1]), max(right, pixel[1])
    for pixel in start:
        total_y += pixel[0] - top
        total_x += pixel[1] - left
    height, width = bottom - top + 3, right - left + 3
    y, x = np.empty(size, np.int64), np.empty(size, np.int64)
    nearest, middle = np.inf, 0
    for n in range(size):
        y[n], x[n] = start[n, 0] - top + 1, start[n, 1] - left + 1
        distance = (y[n] - 1 - total_y / size) ** 2 + (x[n] - 1 - total_x / size) ** 2
        if distance < nearest:
            nearest, middle = distance, n
    heat, spread = np.zeros((height, width)), np.zeros((height, width))
    for _ in range(2 * (height + width)):
        heat[y[middle], x[middle]] += 1
        for n in range(size):
            a, b = y[n], x[n]
            row = heat[a, b - 1] + heat[a, b] + heat[a, b + 1]
            above = heat[a - 1, b - 1] + heat[a - 1, b] + heat[a - 1, b + 1]
            below = heat[a + 1, b - 1] + heat[a + 1, b] + heat[a + 1, b + 1]
            spread[a, b] = (row + above + below) / 9
        heat, spread = spread, heat
    flow = np.empty((size, 2))
    for n in range(size):
        a, b = y[n], x[n]
        flow_y, flow_x = heat[a + 1, b] - heat[a - 1, b], heat[a, b + 1] - heat[a, b - 1]
        length = 1e-60 + np.sqrt(flow_y * flow_y + flow_x * flow_x)
        flow[n, 0], flow[n, 1] = flow_y / length, flow_x / length
    return flow


@compiled
def flow_error(start: Array, step: Array) -> float:
    """The mean squared difference of the steps of an object's pixels from those to its middle."""
    expected, total = flow_to_middle(start), 0.0
    for n in range(len(start)):
        total += (expected[n, 0] - step[n, 0]) ** 2 + (expected[n, 1] - step[n, 1]) ** 2
    return float(total / len(start))


@compiled
def perfect_flow(start: Array, begins: Array, output: Array) -> None:
    """Steps of the pixels of objects, each of which has the rows from `begins` on, into `output` (2, y, x)."""
    for k in range(len(begins) - 1):
        flow = flow_to_middle(start[begins[k] : begins[k + 1]])
        for n in range(len(flow)):
            y, x = start[begins[k] + n]
            output[0, y, x], output[1, y, x] = flow[n, 0], flow[n, 1]


@compiled
def measure(
    particles: ShapeColumns,
    begins: Array,
    smallest: int,
    largest_error: float,
    near_limit: int,
    sums: ShapeSums,
    holes: Array,
) -> Array:
    """Sums over the pixels of objects, each of which has the rows from `begins` on; gives the holes (m, 3) of those
    that are kept: y, x, and which object's. `holes` is where to begin to gather them."""
    count = 0
    for k in range(len(begins) - 1):
        first, last = begins[k], begins[k + 1]
        start = particles.start[first:last]
        if last - first < max(smallest, 1):
            continue
        top, left, bottom, right = start[0, 0], start[0, 1], start[0, 0], start[0, 1]
        for pixel in start:
            top, bottom = min(top, pixel[0]), max(bottom, pixel[0])
            left, right = min(left, pixel[1]), max(right, pixel[1])
        mask = mask_of(start, top, left, bottom - top + 1, right - left + 1)
        if largest_error < np.inf:
            sums.error[k] = flow_error(start, particles.step[first:last])
            if not sums.error[k] <= largest_error:
                continue
        sums.kept[k] = True
        sums.low[k, 0], sums.low[k, 1], sums.high[k, 0], sums.high[k, 1] = top, left, bottom + 1, right + 1
        for y in range(bottom - top + 1):
            for x in range(right - left + 1):
                if mask[y + 1, x + 1] == 2:
                    continue
                sums.area[k] += 1
                sums.total[k, 0] += top + y
                sums.total[k, 1] += left + x
                if mask[y + 1, x + 1] == 0:
                    if count == len(holes):
                        holes = np.concatenate((holes, np.zeros_like(holes)))
                    holes[count, 0], holes[count, 1], holes[count, 2] = top + y, left + x, k
                    count += 1
        for n in range(first, last):
            sums.score[k] += 1 / (1 + np.exp(-float(particles.logit[n])))
            sums.kinds[k, particles.kind[n]] += 1
            sums.cut[k] |= particles.cut[n]
            for axis in range(2):
                sums.limited[k] |= abs(particles.place[n, axis] - particles.start[n, axis]) >= near_limit
        sums.score[k] /= last - first
    return holes[:count]
