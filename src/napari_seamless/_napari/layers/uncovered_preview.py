"""A preview that gives way, pixel by pixel, to what is exact.

Colours that lie above hide what is below. Labels (which are partly transparent, and have a background) and channels
(which add up) do not: there the preview must be empty wherever the exact result is written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.layers.pixels import ArrayLike, written
from napari_seamless.geometry import Grid, Region
from napari_seamless.interfaces import FreshPixels, LabelClass, LiveImage, Pixels

AT_ONCE = 8
"""Pieces that one pump moves, so that a flood of them cannot hold up the window."""


class UncoveredPreview:
    """A LiveImage: `preview` where `exact`, of the same shape, is not written, else 0. GUI thread.

    `pump` keeps it so.
    """

    def __init__(self, preview: LiveImage, exact: LiveImage) -> None:
        self._preview, self._exact = preview, exact
        self._pieces: deque[FreshPixels] = deque(maxlen=1000)
        self._shown, self._hidden = preview.watch(), exact.watch()
        last = len(preview.levels) - 1
        levels: list[Any] = [UncoveredLevel(preview, exact, number) for number in range(last)]
        self._coarsest: NDArray[Any] = UncoveredLevel(preview, exact, last)[...].copy()
        self.levels: Sequence[object] = [*levels, self._coarsest]
        self.info, self.kind = preview.info, preview.kind

    @property
    def classes(self) -> Sequence[LabelClass]:
        return self._preview.classes

    @property
    def provenance(self) -> Mapping[str, Any]:
        """That of the preview."""
        return getattr(self._preview, "provenance", {})

    @property
    def grid(self) -> Grid:
        return self._preview.grid

    @property
    def finished(self) -> NDArray[np.bool_]:
        return self._preview.finished

    def watch(self) -> deque[FreshPixels]:
        """The one deque there is."""
        return self._pieces

    def pump(self) -> bool:
        """Passes on what has come in. False when some was lost, and everything must be looked at again."""
        if any(len(pieces) == pieces.maxlen for pieces in (self._shown, self._hidden)):
            self._shown.clear()
            self._hidden.clear()
            self._coarsest[...] = UncoveredLevel(self._preview, self._exact, len(self.levels) - 1)[...]
            return False
        for _ in range(AT_ONCE):
            if self._hidden:
                piece = self._hidden.popleft()
                self._put(FreshPixels(piece.level, piece.region, np.zeros_like(piece.pixels)))
            elif self._shown:
                piece = self._shown.popleft()
                hidden = written(self._exact, piece.level, piece.region)
                self._put(FreshPixels(piece.level, piece.region, _without(piece.pixels, hidden)))
        return True

    def _put(self, piece: FreshPixels) -> None:
        last = len(self.levels) - 1
        if piece.level > last:
            return
        if piece.level == last:
            at: tuple[Any, ...] = (..., *piece.region.slices())
            self._coarsest[at] = piece.pixels.reshape(self._coarsest[at].shape)
        self._pieces.append(piece)


class UncoveredLevel:
    """One level of it, which answers slices (and a number for the channel)."""

    def __init__(self, preview: LiveImage, exact: LiveImage, number: int) -> None:
        level: Any = preview.levels[number]
        self._level: ArrayLike = level
        self._exact, self._number = exact, number
        self._spatial = preview.info.levels.shape(number)
        self.shape, self.dtype = tuple(level.shape), np.dtype(level.dtype)

    def __getitem__(self, key: Any) -> Pixels:
        pixels = np.asarray(self._level[key])
        return _without(pixels, written(self._exact, self._number, self._region(key)))

    def _region(self, key: Any) -> Region:
        if key is ...:
            return Region.from_shape(self._spatial)
        spans = zip(key[-len(self._spatial) :], self._spatial, strict=True)
        return Region.of(*(span.indices(size)[:2] for span, size in spans))


def _without(pixels: Pixels, hidden: NDArray[np.bool_]) -> Pixels:
    """0 where `hidden`, of the spatial shape."""
    return np.where(hidden, pixels.dtype.type(0), pixels) if hidden.any() else pixels
