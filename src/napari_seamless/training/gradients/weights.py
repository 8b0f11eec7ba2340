"""The weights of one step: what a program's constants are now, and gradients back to the module's own parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from napari_seamless.program.derived_constants import RunningStatistics, derive
from napari_seamless.program.ops.barrier import State
from napari_seamless.program.ops.dropout import key_of
from napari_seamless.training.gradients.plan import TrainingPlan

KEY = "random key "


class Weights:
    """All constants of a program, by name, on a device, as the module has them at this moment.

    `constants` are leaves: cut off from what they were made of, with `requires_grad` where a gradient is to be found.
    The module's own tensors are shared where they lie on the device already, and never written to, but for buffers in
    `store`.
    """

    def __init__(self, plan: TrainingPlan, module: nn.Module, device: torch.device, seed: int, step: int) -> None:
        self._module = dict(module.named_parameters(remove_duplicate=False))
        self._buffers = dict(module.named_buffers(remove_duplicate=False))
        made = {one.name for one in plan.derived}
        own: dict[str, Tensor] = {}
        for name, traced in plan.program.constants.items():
            if name in made:
                continue
            if name.startswith(KEY):
                own[name] = key_of(seed, step, int(name.removeprefix(KEY))).to(device)
            else:
                tensor = self._module.get(name, self._buffers.get(name, traced))
                learns = torch.is_grad_enabled() and tensor.requires_grad
                own[name] = tensor.detach().to(device).requires_grad_(learns)
        self._own = own
        self._made = derive(plan.derived, own, seed, step)
        cut = {name: tensor.detach().requires_grad_(tensor.requires_grad) for name, tensor in self._made.items()}
        self.constants: dict[str, Tensor] = {**own, **cut}

    def gradients(self, parameters: Sequence[nn.Parameter], found: dict[str, Tensor]) -> list[Tensor | None]:
        """The gradient of each parameter, from those of constants; None where there is none."""
        total = {name: grad for name, grad in found.items() if name in self._own}
        made = [name for name in found if name in self._made]
        if made:
            sources = [name for name, tensor in self._own.items() if tensor.requires_grad]
            cotangents = [found[name].to(self._made[name].dtype) for name in made]
            parts = torch.autograd.grad(
                [self._made[name] for name in made],
                [self._own[name] for name in sources],
                cotangents,
                allow_unused=True,
                retain_graph=True,
            )
            for name, part in zip(sources, parts, strict=True):
                if part is not None:
                    total[name] = total[name] + part if name in total else part
        return [self._of(parameter, total) for parameter in parameters]

    def _of(self, parameter: nn.Parameter, total: dict[str, Tensor]) -> Tensor | None:
        """A parameter may go by several names."""
        parts = [grad for name, grad in total.items() if self._module.get(name) is parameter]
        if not parts:
            return None
        return sum(parts[1:], parts[0]).to(parameter.device, parameter.dtype)

    @torch.no_grad()
    def store(self, plan: TrainingPlan, states: dict[int, State]) -> None:
        """Bring the module's buffers up to date, as torch's own layers do once in a step."""
        constants = plan.program.training
        assert constants is not None
        for running in constants.running:
            if running.barrier in states:
                self._follow(running, states[running.barrier])
        for buffer, constant in constants.written:
            self._buffers[buffer].copy_(self.constants[constant])

    def _follow(self, running: RunningStatistics, state: State) -> None:
        count, mean, squares = state
        for name, new in ((running.mean, mean), (running.variance, squares / (count - 1))):
            buffer = self._buffers[name]
            buffer.copy_((1 - running.momentum) * buffer.double().cpu() + running.momentum * new.flatten())
