"""How much memory a tile takes on its way back, and so how large tiles may be.

What autograd keeps of a network is not told by any rule that would stay true, so a tile is tried: forwards and
backwards on tensors without memory ("meta"), while every one that is made, kept and let go of is counted.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from napari_seamless.errors import BudgetTooSmall
from napari_seamless.geometry import Region
from napari_seamless.program.analysis import inner_tile
from napari_seamless.program.ops.gather import OwnParts
from napari_seamless.program.passes import known_name
from napari_seamless.program.spans import Box, local_shape
from napari_seamless.runtime.engine._compat import TorchDispatchMode, tensors_in
from napari_seamless.runtime.engine.run_region import run_region
from napari_seamless.training.gradients.plan import TrainingPass, TrainingPlan

EDGES = (4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that are made while it is on, while they are there. `peak` is the most."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._alive: dict[int, tuple[int, Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tensors_in(result):
            if tensor.device.type == "meta":
                self._count(tensor)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._alive:
            return
        size = storage.nbytes()
        self._alive[key] = size, weakref.ref(storage, lambda _: self._delete_training(key))
        self.now += size
        self.peak = max(self.peak, self.now)

    def _delete_training(self, key: int) -> None:
        self.now -= self._alive.pop(key)[0]


def tile_bytes(stage: TrainingPass, write: Region, constants: Mapping[str, Tensor], known: frozenset[int]) -> int:
    """Predicted peak of one tile, forwards and back, in bytes; the weights are not in it, their gradients are.

    `constants` are those of the program, of which those that learn require gradients, and `known` the values known
    between passes that do.
    """
    program = stage.backwards.program
    blank = {
        name: torch.empty_like(tensor, device="meta").requires_grad_(tensor.requires_grad)
        for name, tensor in constants.items()
        if name in {n for node in program.nodes for n in node.operation.constant_names}
    }
    for i in stage.part.known:
        value = program.values[i]
        blank[known_name(i)] = torch.empty(value.shape, dtype=value.dtype, device="meta").requires_grad_(i in known)
    placed = stage.backwards.at(write)
    box, value = placed.box(program.input), program.values[program.input]
    fetched: list[Tensor] = []

    def fetch(index: int, region: Box) -> Tensor:
        whole = program.values[index]
        piece = torch.empty(local_shape(whole.shape, whole.dims, region), dtype=whole.dtype, device="meta")
        fetched.append(piece.requires_grad_(index in known))
        return piece

    with Meter() as meter:
        pixels = None
        if None not in box:
            sizes = [span[1] - span[0] for span in box if span is not None]
            pixels = torch.empty((*value.shape[:2], *sizes), dtype=value.dtype, device="meta")
        with torch.enable_grad():
            result = run_region(replace(program, constants=blank), placed, pixels, lambda: False, fetch)
        del pixels
        ends = _ends(result, isinstance(program.nodes[-1].operation, OwnParts))
        del result
        inputs = [tensor for tensor in (*blank.values(), *fetched) if tensor.requires_grad]
        if ends and inputs:
            torch.autograd.grad(ends, inputs, [torch.empty_like(x) for x in ends], allow_unused=True)
        del ends
    peak: int = meter.peak
    return peak


def _ends(result: Any, is_parts: bool) -> list[Tensor]:
    found = [x for part in result if part is not None for x in part[1]] if is_parts else [result]
    return [x for x in found if x.requires_grad]


def choose_edges(
    plan: TrainingPlan,
    constants: Mapping[str, Tensor],
    sensitive: frozenset[int],
    budget: int,
) -> tuple[int, ...]:
    """For each pass the largest edge of tiles whose predicted peak, with all that stays, fits in `budget` bytes.

    Raises BudgetTooSmall, naming what the smallest tiles need.
    """
    stays = staying_bytes(constants)
    edges, lacking = [], 0
    for stage in plan.stages:
        options, needs = _options(stage.part.shape), _Needs(stage, constants, sensitive)
        fitting = _largest(options, needs, budget - stays)
        if fitting is None:
            lacking = max(lacking, stays + needs(options[0]))
        edges.append(fitting or options[0])
    if lacking:
        raise BudgetTooSmall(
            f"the budget must hold at least the smallest tile on its way back, which needs {_readable(lacking)}; got "
            f"{_readable(budget)}; use a budget of {_readable(lacking)} or more, or a smaller network"
        )
    return tuple(edges)


@dataclass(frozen=True)
class _Needs:
    """Bytes of a pass' tiles, by their edge."""

    stage: TrainingPass
    constants: Mapping[str, Tensor]
    sensitive: frozenset[int]

    def __call__(self, edge: int) -> int:
        return largest_tile(self.stage, edge, self.constants, self.sensitive)


def staying_bytes(constants: Mapping[str, Tensor]) -> int:
    """Weights, and the sums of their gradients."""
    return sum(t.numel() * t.element_size() * (2 if t.requires_grad else 1) for t in constants.values())


def _options(shape: Sequence[int]) -> list[int]:
    """Edges worth choosing from: none beyond the first that covers the whole plane."""
    enough = next((e for e in EDGES if e >= max(shape)), EDGES[-1])
    return [e for e in EDGES if e <= enough]


def _largest(options: Sequence[int], needs: Callable[[int], int], limit: int) -> int | None:
    """The last option that needs no more than `limit`, where all before it need less."""
    lo, hi = 0, len(options)
    while lo < hi:
        middle = (lo + hi) // 2
        lo, hi = (middle + 1, hi) if needs(options[middle]) <= limit else (lo, middle)
    return options[lo - 1] if lo else None


def largest_tile(stage: TrainingPass, edge: int, constants: Mapping[str, Tensor], sensitive: frozenset[int]) -> int:
    """Predicted peak of a tile far from the borders, which reads the most."""
    shape = tuple(min(edge, n) for n in stage.part.shape)
    return tile_bytes(stage, inner_tile(stage.part.shape, shape), constants, sensitive)


def _readable(size: int) -> str:
    """In megabytes or kilobytes, rounded up so that it is always enough."""
    return f"{-(-size // 10**6)} MB" if size >= 10**6 else f"{-(-size // 10**3)} kB"
