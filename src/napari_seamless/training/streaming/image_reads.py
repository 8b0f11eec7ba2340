"""Where pixels come from: a tensor, an array in memory or a lazy one, or whatever reads its own regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from napari_seamless.errors import InputMismatch
from napari_seamless.geometry import Region
from napari_seamless.runtime.engine.torch_engine import as_tensor


@runtime_checkable
class Image(Protocol):
    """One image: `shape` is (c, [z,] y, x). Reading is asked for in the thread that trains."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def read(self, region: Region) -> Tensor:
        """The pixels of a region, (c, *region.shape), of any type and on any device."""


@dataclass(frozen=True)
class TensorImage:
    """A tensor as a network takes it, (1, c, [z,] y, x)."""

    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape[1:])

    def read(self, region: Region) -> Tensor:
        return self.tensor.detach()[0][(slice(None), *region.slices())]


@dataclass(frozen=True)
class ArrayImage:
    """Anything with a shape (c, [z,] y, x) that gives parts of itself when sliced: numpy, dask, zarr."""

    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(n) for n in self.array.shape)

    def read(self, region: Region) -> Tensor:
        return as_tensor(np.asarray(self.array[(slice(None), *region.slices())]))


def opened(image: Any) -> Image:
    """The image meant by a tensor (1, c, [z,] y, x), an array (c, [z,] y, x), or an Image. Raises InputMismatch."""
    if isinstance(image, Tensor):
        if image.dim() not in (4, 5) or image.shape[0] != 1:
            raise InputMismatch(
                "an image is streamed alone, as a tensor (1, channels, [z,] y, x); got shape "
                f"{tuple(image.shape)}; call it for each image and add the losses up"
            )
        return TensorImage(image)
    if isinstance(image, Image):
        return image
    shape = getattr(image, "shape", ())
    if not hasattr(image, "__getitem__") or len(shape) not in (3, 4):
        raise InputMismatch(
            "an image must be a tensor (1, channels, [z,] y, x) or an array (channels, [z,] y, x); got "
            f"{type(image).__name__} of shape {tuple(shape)}; add the missing axes, or open it with open_image"
        )
    return ArrayImage(image)


@dataclass(frozen=True)
class Target:
    """What the output is compared with: a tensor or array whose last dimensions are the output's positions."""

    data: Any
    device: torch.device

    @classmethod
    def of(cls, data: Any, shape: Sequence[int], device: torch.device) -> Target:
        """Raises InputMismatch where it does not lie on the output's grid of `shape` ((z,) y, x)."""
        found = tuple(int(n) for n in getattr(data, "shape", ()))
        if found[-len(shape) :] != tuple(shape):
            size, own = (" x ".join(str(n) for n in sizes) for sizes in (shape, found[-len(shape) :]))
            raise InputMismatch(
                f"a target must have the size of the network's output, {size} here; got {own or type(data).__name__}; "
                "cut or resize it (labels by nearest neighbour)"
            )
        return cls(data, device)

    def part(self, region: Region) -> Tensor:
        """The target of a region of the output, all of its leading dimensions with it."""
        piece = self.data[(..., *region.slices())]
        tensor = piece if isinstance(piece, Tensor) else as_tensor_or_labels(np.asarray(piece))
        return tensor.to(self.device)


def as_tensor_or_labels(array: np.ndarray[Any, Any]) -> Tensor:
    """numpy to torch; integers become int64, which torch's losses want for labels."""
    return torch.from_numpy(array.astype(np.int64)) if array.dtype.kind in "uib" else as_tensor(array)
