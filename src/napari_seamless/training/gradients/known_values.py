"""Gradients of the values that are known whole between passes: of barriers, and of what is computed from them.

Between two passes forwards, what barriers measured is settled into values; here the same is done backwards, in double
precision on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from napari_seamless.program.graph import Node
from napari_seamless.program.ops.barrier import Barrier, State
from napari_seamless.program.spans import Box
from napari_seamless.program.value import Value
from napari_seamless.training.gradients.plan import TrainingPlan
from napari_seamless.training.gradients.step_options import GradientSums


class KnownValuesBackward:
    """The way back through what is settled before a pass.

    `known` are the values known between passes, `states` those of the barriers that measured; `constants` are the
    program's on the `device`, `host` the same on the CPU; `sensitive` are the values that gradients flow through.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        constants: Mapping[str, Tensor],
        host: Mapping[str, Tensor],
        known: Mapping[int, Tensor],
        states: Mapping[int, State],
        sensitive: frozenset[int],
        device: torch.device,
    ) -> None:
        self._plan, self._constants, self._host = plan, constants, host
        self._known, self._states, self._sensitive, self._device = known, states, sensitive, device

    def run(self, number: int, found: GradientSums, pulls: dict[int, State]) -> None:
        """Gradients of what was settled just before pass `number`: back to what was measured, or known earlier."""
        for node in reversed(self._plan.settled):
            value = node.output
            if self._plan.depth[value] != number or value not in self._sensitive or value not in found.known:
                continue
            given = found.known.pop(value)
            if value in self._plan.measured:
                pulls[value] = self._finish_backward(barrier_of(node), self._states[value], given, found)
            elif isinstance(node.operation, Barrier):
                inputs, own = (
                    [self._known[i] for i in node.inputs],
                    whole_box(self._plan.program.values[node.inputs[0]]),
                )
                state = node.operation.partial(inputs, own)
                pulled = node.operation.pull(
                    inputs, own, state, self._finish_backward(node.operation, state, given, found)
                )
                for i, part in zip(node.inputs, pulled, strict=False):
                    if part is not None and i in self._sensitive:
                        found.add_known(i, part)
            else:
                self._operation_backward(node, given, found)

    def _finish_backward(self, barrier: Barrier, state: State, given: Tensor, found: GradientSums) -> State:
        """From the gradient of a barrier's value to that of its state, and of the constants in it."""
        with torch.enable_grad():
            parts = tuple(part.detach().requires_grad_() for part in state)
            constants = self._leaves(barrier.constant_names)
            value = barrier.finish(parts, constants)
            grads = self._differentiated(value, given, [*parts, *constants.values()])
        for name, grad in zip(constants, grads[len(parts) :], strict=True):
            if grad is not None:
                found.add(name, grad.to(self._device))
        return tuple(torch.zeros_like(part) if grad is None else grad for part, grad in zip(parts, grads, strict=False))

    def _operation_backward(self, node: Node, given: Tensor, found: GradientSums) -> None:
        """Through an operation on values that are known whole."""
        values = self._plan.program.values
        with torch.enable_grad():
            inputs = [self._known[i].detach().requires_grad_(i in self._sensitive) for i in node.inputs]
            constants = self._leaves(node.operation.constant_names)
            boxes = [whole_box(values[i]) for i in node.inputs]
            result = node.operation.run(inputs, constants, boxes, whole_box(values[node.output]))
            grads = self._differentiated(result, given, [*inputs, *constants.values()])
        for i, grad in zip(node.inputs, grads, strict=False):
            if grad is not None:
                found.add_known(i, grad)
        for name, grad in zip(constants, grads[len(inputs) :], strict=True):
            if grad is not None:
                found.add(name, grad.to(self._device))

    def _leaves(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Constants on the CPU, to be differentiated for."""
        constants = self._constants
        return {name: self._host[name].detach().requires_grad_(constants[name].requires_grad) for name in names}

    @staticmethod
    def _differentiated(value: Tensor, given: Tensor, inputs: Sequence[Tensor]) -> list[Tensor | None]:
        """The gradient of each input, None for those that have none."""
        wanted = [x for x in inputs if x.requires_grad]
        if not value.requires_grad or not wanted:
            return [None] * len(inputs)
        grads = iter(torch.autograd.grad(value, wanted, given.to(value.dtype).reshape(value.shape), allow_unused=True))
        return [next(grads) if x.requires_grad else None for x in inputs]


def barrier_of(node: Node) -> Barrier:
    """The barrier of a node that is one."""
    assert isinstance(node.operation, Barrier)
    return node.operation


def whole_box(value: Value) -> Box:
    """All of a value."""
    return tuple((0, n) if n is not None else None for n in value.domain)
