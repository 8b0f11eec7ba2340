"""Steps that a device cannot do are done on the host, and said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from napari_seamless.program.graph import Node
from napari_seamless.program.spans import Box


class CpuFallback:
    """Runs single steps on the CPU, for a device that lacks an operator. One thread at a time.

    `constants` are the program's, on the CPU. What was once done here is done here at once the next time.
    """

    def __init__(self, device: torch.device, constants: Mapping[str, Tensor]) -> None:
        self._device, self._constants = device, constants
        self.operators: dict[str, None] = {}

    def takes(self, node: Node) -> bool:
        """Whether a step has been done here before."""
        return node.operator in self.operators

    def run(self, node: Node, inputs: Sequence[Tensor], needs: Sequence[Box], want: Box) -> Any:
        """Do a step here, and bring its result to the device."""
        self.operators[node.operator] = None
        found = node.operation.run([x.cpu() for x in inputs], self._constants, needs, want)
        return found.to(self._device) if isinstance(found, Tensor) else found

    @property
    def notices(self) -> tuple[str, ...]:
        """A sentence for each operator that was missing."""
        kind = self._device.type
        return tuple(f"{kind} has no {name}: computed on the CPU, which is slower" for name in self.operators)
