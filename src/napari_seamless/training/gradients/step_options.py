"""How a step is taken, and the gradients that it adds up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class StepOptions:
    """How a step is taken: on which device, in tiles of which edge in each pass, in which precision, who follows it."""

    device: torch.device
    edges: tuple[int, ...]
    autocast: torch.dtype | None = None
    stop: Callable[[], bool] = lambda: False
    progress: Callable[[int, int], None] | None = None

    def report(self, done: int, total: int) -> None:
        """Report how many tiles of a pass are done."""
        if self.progress is not None:
            self.progress(done, total)

    def precision(self) -> AbstractContextManager[Any]:
        """torch's mixed precision, if it is wanted."""
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.autocast)


@dataclass
class GradientSums:
    """What has been added up so far: of constants by name, of known values by number, and of the image."""

    constants: dict[str, Tensor] = field(default_factory=dict)
    known: dict[int, Tensor] = field(default_factory=dict)
    image: Tensor | None = None

    def add(self, name: str, part: Tensor) -> None:
        """Of a constant: in its own precision, in single precision at least."""
        if name in self.constants:
            self.constants[name] += part
        else:
            wide = torch.promote_types(part.dtype, torch.float32)
            self.constants[name] = part.to(wide, copy=True)

    def add_known(self, value: int, part: Tensor) -> None:
        """Of a value known between passes: in double precision on the CPU."""
        precise = part.detach().cpu().double()
        self.known[value] = self.known[value] + precise if value in self.known else precise
