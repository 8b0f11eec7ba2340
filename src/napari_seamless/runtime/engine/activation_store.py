"""Where saved activations lie between passes: in the device's memory, in the host's, or in scratch files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_seamless.errors import BadRequest
from napari_seamless.interfaces import Scratch
from napari_seamless.program.graph import Program
from napari_seamless.program.spans import Box, Dims

Tier = Literal["device", "host", "disk"]
Slices = tuple[slice, ...]


@dataclass
class ActivationStore:
    """Whole values, put down piece by piece and fetched region by region. Any thread; pieces never overlap.

    `where` says for each value in which tier it lies. `dtype` is what floating-point values are rounded to while they
    lie there; None keeps them as they are. Values are dropped with `drop`, files with the scratch itself. Only one
    whose values all lie on disk can be pickled, and serves several processes.
    """

    program: Program
    device: torch.device
    where: Mapping[int, Tier]
    scratch: Scratch | None = None
    dtype: torch.dtype | None = None
    _tensors: dict[int, Tensor] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def put(self, value: int, box: Box, piece: Tensor) -> None:
        """Write down the region `box` of a value."""
        at, dtype = slices(self.program.values[value].dims, box), self._dtype(value)
        if dtype != self.program.values[value].dtype and piece.abs().amax() > torch.finfo(dtype).max:
            raise BadRequest(
                f"values kept in half precision must be at most {torch.finfo(dtype).max:.0f}; this network makes "
                f"{float(piece.abs().amax()):.3g}; keep them as they are"
            )
        if self.where[value] == "disk":
            self._disk.write(str(value), at, as_numpy(piece.to(dtype).cpu()))
        else:
            self._tensor(value)[at].copy_(piece, non_blocking=True)

    def get(self, value: int, box: Box) -> Tensor:
        """The region `box` of a value, on the device, in the value's own dtype; it must not be written to."""
        dims, dtype = self.program.values[value].dims, self.program.values[value].dtype
        at = slices(dims, box)
        if self.where[value] == "disk":
            found = torch.from_numpy(self._disk.read(str(value), at))
            if self._dtype(value) == torch.bfloat16:
                found = found.view(torch.bfloat16)
        else:
            found = self._tensor(value)[at]
        order = memory_format(found.dim())
        if found.device == self.device and found.dtype == dtype and self.where[value] != "disk":
            return found
        return found.to(self.device, non_blocking=True).to(dtype).contiguous(memory_format=order)

    def close(self) -> None:
        """Forget everything, files too."""
        with self._lock:
            self._tensors.clear()
        if self.scratch is not None:
            self.scratch.remove()

    def drop(self, values: frozenset[int]) -> None:
        """Forget values that no later pass needs."""
        for value in values:
            with self._lock:
                self._tensors.pop(value, None)
            if self.where.get(value) == "disk":
                self._disk.drop(str(value))

    @property
    def _disk(self) -> Scratch:
        if self.scratch is None:
            raise ValueError("a store of activations with values on disk needs a scratch; got None")
        return self.scratch

    def _dtype(self, value: int) -> torch.dtype:
        own = self.program.values[value].dtype
        return self.dtype if self.dtype is not None and own.is_floating_point and own.itemsize > 2 else own

    def disk_dtype(self, value: int) -> np.dtype[Any]:
        """How a value is laid down in a file: numpy has no bfloat16, so its bits count as integers."""
        return as_numpy(torch.empty(0, dtype=self._dtype(value))).dtype

    def _tensor(self, value: int) -> Tensor:
        with self._lock:
            found = self._tensors.get(value)
            if found is None:
                shape = self.program.values[value].shape
                on_device = self.where[value] == "device" or self.device.type == "cpu"
                found = torch.empty(
                    shape,
                    dtype=self._dtype(value),
                    device=self.device if on_device else "cpu",
                    memory_format=memory_format(len(shape)),
                    pin_memory=not on_device and self.device.type == "cuda",
                )
                self._tensors[value] = found
            return found

    def __reduce__(self) -> tuple[object, ...]:
        if any(tier != "disk" for tier in self.where.values()):
            raise TypeError("values kept in this process's memory cannot be reached from another; keep them on disk")
        return ActivationStore, (self.program, self.device, self.where, self.scratch, self.dtype)


def as_numpy(tensor: Tensor) -> NDArray[Any]:
    """A CPU tensor as an array, and the bits of a bfloat16 one as int16."""
    found: NDArray[Any] = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return found


def slices(dims: Dims, box: Box) -> Slices:
    """Where a region lies in the whole tensor."""
    found = []
    for axes in dims:
        span = box[axes[0]] if axes else None
        found.append(slice(None) if span is None else slice(*span))
    return tuple(found)


def memory_format(rank: int) -> torch.memory_format:
    """Channels last, for those ranks that have it."""
    return {4: torch.channels_last, 5: torch.channels_last_3d}.get(rank, torch.contiguous_format)
