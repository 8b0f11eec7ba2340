"""Labels of objects with colour keys in place of ids: two bytes a pixel, which go to the screen as they are.

An id says in which cell of the output an object has its centre. Its key repeats only every 255 rows and 256 columns of
cells, so that objects that touch have different keys, and so outlines, unless they are as large as that.
"""

from __future__ import annotations

import colorsys
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.interfaces import FreshPixels, LiveImage, Pixels
from napari_seamless.io.readers.files_behind import files_behind
from napari_seamless.runs.objects.facts import has_objects, id_columns

if TYPE_CHECKING:
    from pathlib import Path

    from napari.utils.colormaps import CyclicLabelColormap

    from napari_seamless._napari.layers.pixels import ArrayLike

ROWS, COLUMNS = 255, 256
KEY_TYPE = np.dtype(np.uint16)
COLOURS = 1058
"""Keys whose cells lie less than 34 cells apart differ by no multiple of it: these objects have different colours."""
GOLDEN = 0.618033988749895
SHADES = ((0.75, 1.0), (1.0, 0.85), (0.5, 1.0))
"""(saturation, value) of one colour after the other."""


class ColourKeys:
    """Of ids that count cells of a grid with so many columns from 1, in raster order."""

    def __init__(self, columns: int) -> None:
        self._columns = columns

    def of(self, ids: Pixels) -> Pixels:
        """Keys of ids, of the same shape; 0 where there is none."""
        row, column = np.divmod(np.asarray(ids, np.int64) - 1, self._columns)
        keys: Pixels = np.where(ids, row % ROWS * COLUMNS + column % COLUMNS + 1, 0).astype(KEY_TYPE)
        return keys


class KeyedLevel:
    """A level of labels with keys in place of ids. Any thread."""

    def __init__(self, level: ArrayLike, keys: ColourKeys) -> None:
        self._level, self._keys = level, keys
        self.shape, self.dtype = tuple(level.shape), KEY_TYPE

    @property
    def paths(self) -> tuple[Path, ...]:
        """Files and folders that it reads from."""
        return files_behind(self._level)

    def __getitem__(self, key: Any) -> Pixels:
        return self._keys.of(np.asarray(self._level[key]))


class KeyedObjects:
    """A live image of labels of objects, with their keys. GUI thread; it is a LiveImage to who shows it."""

    def __init__(self, image: LiveImage, keys: ColourKeys) -> None:
        self._image, self._keys = image, keys
        levels: Sequence[Any] = image.levels
        self._last: NDArray[Any] = keys.of(np.asarray(levels[-1]))
        self.levels: list[Any] = [*(KeyedLevel(level, keys) for level in levels[:-1]), self._last]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._image, name)

    def watch(self) -> deque[FreshPixels]:
        """Pieces with ids, to be given to `take`."""
        return self._image.watch()

    def take(self, piece: FreshPixels) -> FreshPixels:
        """A piece as it is shown; one of the coarsest level goes into that."""
        pixels = self._keys.of(piece.pixels)
        if piece.level == len(self.levels) - 1:
            self._last[piece.region.slices()] = pixels[0]
        return FreshPixels(piece.level, piece.region, pixels)

    def finish(self) -> None:
        """The coarsest level as it is at last."""
        levels: Sequence[Any] = self._image.levels
        self._last[...] = self._keys.of(np.asarray(levels[-1]))


def keyed_objects(image: LiveImage) -> KeyedObjects | None:
    """None for anything but labels of objects."""
    result: Any = image
    if not has_objects(result):
        return None
    return KeyedObjects(image, ColourKeys(id_columns(result.provenance, image.info.levels.shape(0))))


def key_colours() -> CyclicLabelColormap:
    """A colour for each of `COLOURS` keys in turn."""
    from napari.utils.colormaps import CyclicLabelColormap

    shades = [colorsys.hsv_to_rgb(k * GOLDEN % 1, *SHADES[k % len(SHADES)]) for k in range(COLOURS)]
    return CyclicLabelColormap(colors=[(0, 0, 0, 0), *((*shade, 1.0) for shade in shades)], name="objects")
