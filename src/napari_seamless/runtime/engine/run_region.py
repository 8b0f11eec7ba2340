"""Running a region program: forwards, each node on its own region, freeing what has no user left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from napari_seamless.errors import RunCancelled
from napari_seamless.program.graph import Program
from napari_seamless.program.ops.barrier import Barrier, State
from napari_seamless.program.ops.operation import narrow
from napari_seamless.program.ops.saved_value import SavedValue
from napari_seamless.program.region_program import Placed, RegionStep
from napari_seamless.program.spans import Box
from napari_seamless.runtime.engine.cpu_fallback import CpuFallback

Fetch = Callable[[int, Box], Tensor]
"""A region of a saved value, on the device, (1, c, *box) or whatever its layout is."""

Observe = Callable[[int, State], None]
"""Told the value and the state of each barrier, where a whole image is run at once."""


def run_region(
    program: Program,
    placed: Placed,
    image: Tensor | None,
    stop: Callable[[], bool],
    fetch: Fetch | None = None,
    observe: Observe | None = None,
    fallback: CpuFallback | None = None,
) -> Any:
    """Compute the output region of `placed` from `image`, (1, c, *read.shape) float, which may be overwritten.

    A pass that begins at saved values needs no image; `fetch` brings them. The program's constants must be on the
    image's device; a step that this lacks goes to `fallback`. `stop` is asked before every step; RunCancelled is raised
    when it says True.
    """
    values: dict[int, Any] = {program.input: image}
    del image
    for index, step in enumerate(placed.region.steps):
        if stop():
            raise RunCancelled("the run was cancelled; finished tiles are kept")
        operation = step.node.operation
        if isinstance(operation, SavedValue) and fetch is not None:
            result = fetch(operation.value, placed.box(step.node.output))
        elif isinstance(operation, Barrier) and observe is not None:
            inputs = [values[i] for i in step.node.inputs]
            state = operation.partial(inputs, placed.needs(index)[0])
            observe(step.node.output, state)
            result = operation.finish(state, program.constants).to(inputs[0].device)
        else:
            result = _step(program, placed, index, step, values, fallback)
        values[step.node.output] = result
        for done in step.frees:
            del values[done]
    return values[program.output]


def _step(
    program: Program,
    placed: Placed,
    index: int,
    step: RegionStep,
    values: Mapping[int, Any],
    fallback: CpuFallback | None,
) -> Any:
    needs = placed.needs(index)
    inputs = [
        narrow(values[i], program.values[i].dims, placed.box(i), need)
        for i, need in zip(step.node.inputs, needs, strict=True)
    ]
    want: Box = placed.box(step.node.output)
    if fallback is None:
        return _done(program, step, inputs, needs, want)
    if not fallback.takes(step.node):
        with suppress(NotImplementedError):  # torch's answer where a device lacks an operator
            return _done(program, step, inputs, needs, want)
    return fallback.run(step.node, inputs, needs, want)


def _done(program: Program, step: RegionStep, inputs: list[Tensor], needs: list[Box], want: Box) -> Any:
    operation = step.node.operation
    if step.overwrites and not _is_expanded(inputs[0]):
        return operation.overwrite(inputs, program.constants, want)
    return operation.run(inputs, program.constants, needs, want)


def _is_expanded(tensor: Tensor) -> bool:
    """Whether several positions share memory, so that nothing can be written to them one by one."""
    return any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))


def as_image(pixels: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(c, [z,] y, x) of any dtype as (1, c, [z,] y, x) on the device, channels last in memory.

    Convolutions on CPUs and on tensor cores want channels last; a copy is made in any case, because the image may be
    overwritten.
    """
    order = {4: torch.channels_last, 5: torch.channels_last_3d}.get(pixels.dim() + 1, torch.contiguous_format)
    one = pixels.unsqueeze(0)
    if device.type not in ("cpu", "cuda"):  # some have no float64, or no unsigned integers
        return one.to(dtype).to(device, memory_format=order)
    moved = one.to(device, non_blocking=True)
    return moved.to(dtype, memory_format=order, copy=moved.dtype == dtype)
