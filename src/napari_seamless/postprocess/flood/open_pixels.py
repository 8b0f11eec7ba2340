"""Floods open pixels of tiles together, when more of their neighbours are read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_seamless.postprocess.components.sums import ComponentSums
from napari_seamless.postprocess.flood.candidates import NO_PLACE, OPEN, SIDES, SOURCE
from napari_seamless.postprocess.flood.front import CLAIMED, N_UNREAD, PLACE, FrontTile, find, touching
from napari_seamless.postprocess.object_table import Ints

AT_EDGE = OPEN.index("at_edge")


@dataclass(frozen=True, eq=False)
class Decided:
    """Open pixels of which it is known now what has them: their `rows` (candidates.py), and the number, level and steps
    that each is taken with (number 0: nothing reaches it, it is background)."""

    rows: Ints
    number: Ints
    level: Ints
    steps: Ints

    @property
    def face(self) -> Ints:
        """Those that an object has, as rows of a face."""
        return np.stack([self.rows[:, PLACE], self.number, self.level, self.steps], 1)[self.number > 0]

    def at(self, width: int) -> Ints:
        """Where the pixels are, (n, 2)."""
        return np.stack(np.divmod(self.rows[:, PLACE], width), 1)

    def sums(self, width: int) -> tuple[Ints, ComponentSums, Ints]:
        """The numbers of objects that get pixels, what those add up to, and for each pixel which of these rows it is in
        (less than 0: none)."""
        taken = self.number > 0
        numbers, group = np.unique(self.number[taken], return_inverse=True)
        rows, at = self.rows[taken], self.at(width)[taken]
        ones, zeros = np.ones(len(rows), np.int64), np.zeros(len(rows), np.int64)
        first = np.full(len(rows), NO_PLACE)
        votes = rows[:, len(OPEN) :].astype(np.float64)
        edge = rows[:, AT_EDGE].astype(bool)
        sums = ComponentSums(ones, ones, zeros, first, at, at, at + 1, edge, votes)
        which = np.full(len(taken), -1)
        which[taken] = group
        return numbers, sums.merged(np.asarray(group, np.int64), len(numbers)), which


def flooded_together(tiles: dict[int, FrontTile], core: set[int], width: int) -> tuple[set[int], Decided]:
    """Decide what can be of the open pixels of some tiles, and forget those pixels. Gives the tiles that were looked
    at, and what is decided.

    More tiles are looked at as long as it matters for the `core` what is in them.
    """
    from napari_seamless.postprocess.flood import kernels

    group = set(core)
    with_open = [(key, tile) for key, tile in tiles.items() if len(tile.open)]
    while True:
        keys = sorted(group)
        opened = np.concatenate([tiles[key].open for key in keys])
        owners = np.repeat(keys, [len(tiles[key].open) for key in keys])
        order = np.argsort(opened[:, PLACE])
        opened, owners = opened[order], owners[order]
        around = set(touching(with_open, [tiles[key].region for key in keys])) - group
        beyond = np.sort(np.concatenate([np.zeros(0, np.int64), *(tiles[key].open[:, PLACE] for key in around)]))
        places = opened[:, PLACE]
        neighbours, unknown = np.full((len(places), 4), -1), np.zeros(len(places), np.int64)
        for side, (step_y, step_x) in enumerate(SIDES):
            sought = places + step_y * width + step_x
            at, found = find(places, sought)
            neighbours[found, side] = at
            unknown[find(beyond, sought)[1]] = kernels.BEYOND
        unknown[opened[:, N_UNREAD] > 0] = kernels.UNREAD
        owner, level, steps = kernels.flood_list(opened[:, 1].copy(), neighbours, places, opened[:, SOURCE], unknown)
        if not (owner[np.isin(owners, [*core])] == kernels.BEYOND).any():
            break
        group |= around
    known = owner >= 0
    for key in keys:
        tiles[key].open = opened[(owners == key) & ~known]
    return group, Decided(opened[known], owner[known], level[known], steps[known])


def claims_of(decided: Decided) -> Ints:
    """(n, 2): pixels, by row, that objects of other tiles are known to have, and the numbers of those."""
    rows = np.flatnonzero((decided.rows[:, CLAIMED] > 0) & (decided.number > 0))
    return np.stack([rows, decided.rows[rows, CLAIMED]], 1)
