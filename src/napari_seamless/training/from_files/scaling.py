"""The scaling of a recipe for one image after another, whole or in regions, with numbers of the whole image."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_seamless.geometry import Region
from napari_seamless.interfaces import Source
from napari_seamless.models.loaders.recipe_folder import scaling_modules
from napari_seamless.models.preprocessing.percentile import percentile
from napari_seamless.models.recipe_file import AsIs, Normal, Percentile, Scaling
from napari_seamless.training.data.examples import unscaled
from napari_seamless.training.from_files.files import OpenFiles

MEASURED = 1 << 26
"""Values of an image from which its own statistics are taken; larger images are measured on a coarser level."""


class ImageScaling:
    """What a recipe's scaling does to the values of one image; its own statistics are measured when first needed."""

    def __init__(self, scaling: Scaling, files: OpenFiles, path: str, level: int) -> None:
        self._scaling, self._files, self._path, self._level = scaling, files, path, level
        self._module: nn.Module | None = None
        self._line: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """float32 (c, [z,] y, x), the same shape."""
        match self._scaling:
            case AsIs():
                return unscaled(x)
            case Percentile() | Normal():
                if self._line is None:
                    self._line = self._measured()
                low, span = (torch.from_numpy(n).reshape(-1, *[1] * (x.dim() - 1)) for n in self._line)
                x = (x - low) / span
                is_cut = isinstance(self._scaling, Percentile) and self._scaling.clip
                return x.clamp(0.0, 1.0) if is_cut else x
            case _:
                if self._module is None:
                    self._module = nn.Sequential(*scaling_modules(self._scaling))
                scaled: Tensor = self._module(x[None])[0]
                return scaled

    def _measured(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What is subtracted and what is divided by, for each channel or for all."""
        source = self._files.source(self._path)
        x = torch.from_numpy(_whole(source, self._level))[None]
        scaling = self._scaling
        if isinstance(scaling, Percentile):
            low, high = percentile(x, [scaling.low, scaling.high], scaling.per_channel)
            return low.numpy(), (high - low + 1e-20).numpy()
        assert isinstance(scaling, Normal)
        over = tuple(range(2 if scaling.per_channel else 1, x.dim()))
        std, mean = torch.std_mean(x, over, correction=0)
        return mean.reshape(-1).numpy(), (std + 1e-8).reshape(-1).numpy()


def _whole(source: Source, level: int) -> NDArray[np.float32]:
    """All of an image at the finest level, from `level` on, that is small enough."""
    levels, channels = source.info.levels, source.info.channels
    fits = [k for k in range(level, len(levels)) if prod(levels.shape(k)) * channels <= MEASURED]
    chosen = fits[0] if fits else len(levels) - 1
    return source.read(Region.from_shape(levels.shape(chosen)), chosen).astype(np.float32)
