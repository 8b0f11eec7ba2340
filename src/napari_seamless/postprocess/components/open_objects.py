"""Objects of which something may lie in an unread tile: unions of components, and what they add up to."""

# mypy: allow-untyped-calls

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_seamless.postprocess.components.sums import ComponentSums
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.step import SavedState

SPARE = 256


class OpenObjects:
    """A union-find over components of which each has a number, from 1, by the order in which they came. One thread.

    The newest component of an object stands for it, so that old numbers fall out of use and are forgotten. An object is
    open while a face with one of its components is; then it is taken, and its numbers are answered with its id.
    """

    def __init__(self, ndim: int, saved: SavedState | None = None) -> None:
        self._numbers, self._open, self._sums = np.zeros(0, np.int64), np.zeros(0, np.int64), ComponentSums.empty(ndim)
        self._base, self._limit = 1, SPARE
        self._parent, self._id = np.zeros(0, np.int64), np.zeros(0, np.int64)
        if saved is not None:
            self._numbers, self._open, self._sums = saved["numbers"], saved["open"], ComponentSums.of(saved)
            self._base, self._parent, self._id = int(saved["base"][0]), saved["parent"], saved["id"]

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._numbers)

    def add(self, sums: ComponentSums) -> Ints:
        """Take components; give their numbers."""
        numbers = np.arange(self.next, self.next + len(sums))
        self._parent = np.append(self._parent, numbers)
        self._id = np.append(self._id, np.zeros(len(sums), np.int64))
        self._numbers, self._sums = np.append(self._numbers, numbers), self._sums + sums
        self._open = np.append(self._open, np.zeros(len(sums), np.int64))
        return numbers

    def join(self, pairs: Ints) -> Ints:
        """Unite components that touch, (n, 2), where their classes are equal.

        Gives (m, 3) what has changed: what stood for an object before, its id so far, and what stands for it now.
        Every object that changes must have one of the components that were added last.
        """
        rows = self._rows(self.roots(pairs))
        rows = rows[self._sums.label[rows[:, 0]] == self._sums.label[rows[:, 1]]]
        involved, inner = np.unique(rows, return_inverse=True)
        if not len(involved):
            return np.zeros((0, 3), np.int64)
        inner = inner.reshape(rows.shape)
        links = coo_array((np.ones(len(inner), np.int8), tuple(inner.T)), shape=(len(involved),) * 2)
        count, group = connected_components(links, directed=False)
        before, ids = self._numbers[involved], self._sums.ids[involved]
        newest = np.zeros(count, np.int64)
        np.maximum.at(newest, group, before)
        self._parent[before - self._base] = newest[group]
        self._replace(involved, newest, np.asarray(group, np.int64))
        return np.stack([before, ids, newest[group]], 1)

    def _replace(self, rows: Ints, newest: Ints, group: Ints) -> None:
        """Put one row for each group in the place of these."""
        still = np.ones(len(self._numbers), bool)
        still[rows] = False
        counts = np.zeros(len(newest), np.int64)
        np.add.at(counts, group, self._open[rows])
        sums = self._sums.take(still) + self._sums.take(rows).merged(group, len(newest))
        numbers = np.append(self._numbers[still], newest)
        order = np.argsort(numbers)
        self._numbers, self._sums = numbers[order], sums.take(order)
        self._open = np.append(self._open[still], counts)[order]

    def open_face(self, numbers: Ints) -> None:
        """Keep these open until `close_face` is called with the same."""
        np.add.at(self._open, self._rows(self.roots(numbers)), 1)

    def close_face(self, numbers: Ints) -> None:
        np.subtract.at(self._open, self._rows(self.roots(numbers)), 1)

    def close_all(self) -> None:
        self._open[:] = 0

    def take_closed(self) -> tuple[Ints, ComponentSums]:
        """The objects that no open face holds any more: their numbers and sums. Each comes once."""
        closed = self._open == 0
        numbers, sums = self._numbers[closed], self._sums.take(closed)
        self._id[numbers - self._base] = sums.ids
        self._numbers, self._sums, self._open = self._numbers[~closed], self._sums.take(~closed), self._open[~closed]
        return numbers, sums

    def sums_of(self, numbers: Ints) -> ComponentSums:
        """Of these objects, as they are by now; those that are taken are left out."""
        return self._sums.take(np.flatnonzero(np.isin(self._numbers, numbers)))

    def roots(self, numbers: Ints) -> Ints:
        """What stands for the object of each component, any shape; shortens the ways there."""
        at = numbers - self._base
        while True:
            up = self._parent[at] - self._base
            further = self._parent[up]
            if (further == up + self._base).all():
                return np.asarray(up + self._base)
            self._parent[at] = further
            at = further - self._base

    def ids(self, numbers: Ints) -> Ints:
        """The id of the object of each component; 0 while it is open."""
        return np.asarray(self._id[self.roots(numbers) - self._base])

    @property
    def next(self) -> int:
        """The number of the component that comes next."""
        return self._base + len(self._parent)

    @property
    def is_long(self) -> bool:
        """Whether so many components are remembered that it is worth forgetting some."""
        return len(self._parent) > self._limit

    def forget_below(self, number: int) -> None:
        """Components below this number are asked for no more."""
        unused = min([number, *self._numbers[:1].tolist()]) - self._base
        self._base, self._parent, self._id = self._base + unused, self._parent[unused:].copy(), self._id[unused:].copy()
        self._limit = 2 * len(self._parent) + SPARE

    def save(self) -> SavedState:
        state = {"numbers": self._numbers, "open": self._open, "base": np.array([self._base])}
        state |= {"parent": self._parent, "id": self._id, **self._sums.columns}
        return {name: array.copy() for name, array in state.items()}

    def _rows(self, roots: Ints) -> Ints:
        return np.searchsorted(self._numbers, roots)
