"""Values that are kept whole between passes, in host memory, and their gradients on the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from napari_seamless.program.graph import Program
from napari_seamless.program.spans import Box
from napari_seamless.runtime.engine.activation_store import slices

Fetched = list[tuple[int, Box, Tensor]]


@dataclass
class HostActivations:
    """Whole values, put down piece by piece and fetched region by region, and the sums of their gradients."""

    program: Program
    device: torch.device
    _values: dict[int, Tensor] = field(default_factory=dict)
    _gradients: dict[int, Tensor] = field(default_factory=dict)

    def put(self, value: int, box: Box, piece: Tensor) -> None:
        """Write down a region of a value."""
        whole = self.program.values[value]
        if value not in self._values:
            self._values[value] = torch.empty(whole.shape, dtype=whole.dtype)
        self._values[value][slices(whole.dims, box)] = piece.to("cpu", whole.dtype)

    def get(self, value: int, box: Box) -> Tensor:
        """A region of a value, on the device, a copy."""
        return self._values[value][slices(self.program.values[value].dims, box)].clone().to(self.device)

    def fetching(self, sensitive: frozenset[int], fetched: Fetched) -> Callable[[int, Box], Tensor]:
        """As `get`, for gradients: what is fetched requires them, and is noted."""

        def fetch(value: int, box: Box) -> Tensor:
            piece = self.get(value, box).requires_grad_(value in sensitive)
            if value in sensitive:
                fetched.append((value, box, piece))
            return piece

        return fetch

    def add(self, value: int, box: Box, gradient: Tensor) -> None:
        """Add the gradient of a region that was fetched."""
        whole = self.program.values[value]
        if value not in self._gradients:
            self._gradients[value] = torch.zeros(whole.shape, dtype=whole.dtype)
        self._gradients[value][slices(whole.dims, box)] += gradient.to("cpu", whole.dtype)

    def has_gradient(self, value: int) -> bool:
        """Whether anything was added for a value."""
        return value in self._gradients

    def gradient(self, value: int, box: Box) -> Tensor:
        """The gradient of a region, on the device."""
        return self._gradients[value][slices(self.program.values[value].dims, box)].to(self.device)

    def forget_gradients(self) -> None:
        """Before another way back."""
        self._gradients.clear()
