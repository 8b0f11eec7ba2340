"""What is shown of a result of which a part was asked for: that part; pixels computed beyond it are hidden."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.layers.pixels import ArrayLike
from napari_seamless.geometry import Region
from napari_seamless.interfaces import FreshPixels, LiveImage
from napari_seamless.io.readers.files_behind import files_behind
from napari_seamless.runs.asked_roi import asked_levels
from napari_seamless.runs.roi_parts import RoiPart, any_mask


class AskedLevel:
    """A level of a live image, 0 outside of what was asked for. Any thread."""

    def __init__(self, level: ArrayLike, parts: Sequence[RoiPart]) -> None:
        self._level, self._parts = level, parts
        self.shape, self.dtype = tuple(level.shape), np.dtype(level.dtype)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Files and folders that it reads from."""
        return files_behind(self._level)

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """With a slice that has a start and a stop for each axis of space."""
        pixels = np.asarray(self._level[key])
        spatial = key[len(key) - self._parts[0].region.ndim :] if self._parts else ()
        if not spatial:
            return np.zeros_like(pixels)
        inside = any_mask(self._parts, Region.of(*((s.start, s.stop) for s in spatial)))
        return np.where(inside, pixels, 0).astype(self.dtype)


class AskedPixels:
    """A live image in which only what was asked for is seen. GUI thread; it is a LiveImage to who shows it."""

    def __init__(self, image: LiveImage, parts: Sequence[Sequence[RoiPart]]) -> None:
        self._image, self._parts = image, parts
        self.levels: list[Any] = [
            AskedLevel(level, inside)  # type: ignore[arg-type]
            for level, inside in zip(image.levels[:-1], parts, strict=False)
        ]
        self.levels.append(self._last())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._image, name)

    def shown(self, level: int, region: Region) -> NDArray[np.bool_]:
        """Which pixels of a region of a level were asked for."""
        return any_mask(self._parts[level], region)

    def take(self, piece: FreshPixels) -> FreshPixels:
        """A piece as it is shown; one of the coarsest level goes into that."""
        pixels = np.where(self.shown(piece.level, piece.region), piece.pixels, 0).astype(piece.pixels.dtype)
        if piece.level == len(self.levels) - 1:
            last = self.levels[-1]
            last[(..., *piece.region.slices())] = pixels if last.ndim > piece.region.ndim else pixels[0]
        return FreshPixels(piece.level, piece.region, pixels)

    def finish(self) -> None:
        """The coarsest level as it is at last."""
        self.levels[-1][...] = self._last()

    def _last(self) -> NDArray[Any]:
        pixels = np.asarray(self._image.levels[-1])
        level = len(self._image.levels) - 1
        whole = Region.from_shape(self._image.info.levels.shape(level))
        return np.where(any_mask(self._parts[-1], whole), pixels, 0).astype(pixels.dtype)


def asked_pixels(image: LiveImage) -> AskedPixels | None:
    """None where all of an image was asked for, or nobody wrote down what was."""
    result: Any = image
    if not hasattr(result, "kept"):
        return None
    parts = asked_levels(result, result.provenance, image.info.levels)
    return AskedPixels(image, parts) if parts else None
