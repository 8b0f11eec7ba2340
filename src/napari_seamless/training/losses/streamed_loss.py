"""How a loss comes about: streamed from an image of any size, or in one go from a batch of crops."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import BaseTorchFunctionMode

from napari_seamless.errors import TraceFailed
from napari_seamless.geometry import Region
from napari_seamless.program.trace import Padded, find_divisor
from napari_seamless.training.losses.alignment import Position, origin_of, under
from napari_seamless.training.losses.objective import Objective
from napari_seamless.training.sampling.pieces import Example, Piece
from napari_seamless.training.streaming.streamed_module import StreamedGradient

PLAIN_PIXELS = 512 * 512
"""Images of no more pixels (or than a crop has) are computed in one go where training is on crops."""

See = Callable[[Tensor, Tensor], None]


def unseen(output: Tensor, target: Tensor) -> None:
    """For losses that are not looked at."""
    del output, target


class Losses:
    """Losses with gradients, by the streamed network `stream`; `half` in bfloat16. One thread at a time."""

    def __init__(self, stream: StreamedGradient, objective: Objective, *, half: bool) -> None:
        self.stream, self.objective, self._half = stream, objective, half
        self._divisors: dict[tuple[int, ...], int] = {}

    @property
    def network(self) -> nn.Module:
        return self.stream.module

    def of(self, piece: Piece, see: See = unseen) -> Tensor:
        """The loss of a whole image, streamed; `see` is shown output and target, tile by tile where it can be."""
        label = piece.example.target
        if isinstance(label, int):
            with self._precision():
                output = self.stream(piece).float()
            target = torch.tensor([label], device=output.device)
        elif self.objective.is_sum:
            return self._summed(piece, see)
        else:
            with self._precision():
                output = self.stream(piece).float()
            origin = self._origin(piece.shape, output)
            target = piece.target(output.shape[2:], origin).whole()[None].to(output.device)
        see(output.detach(), target)
        return self.objective(output, target)

    def _summed(self, piece: Piece, see: See) -> Tensor:
        count = 0

        def total(output: Tensor, target: Tensor) -> Tensor:
            nonlocal count
            output, target = output.float(), target[None]
            count += self.objective.count(target)
            see(output.detach(), target)
            return self.objective.total(output, target)

        plan = self.stream.plan_for(piece.shape)
        target = piece.target(plan.output_shape, origin_of(plan.program))
        with self._precision():
            loss = self.stream.loss(piece, target, total, reduction="sum")
        return loss / max(count, 1)

    def of_batch(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of crops (n, c, [z,] y, x), in one go, with the output and what lies under it of the target."""
        with self._precision():
            output = self._plain(x)
        output = output.float()
        if output.dim() > 2:
            target = under(target, output, self._origin(tuple(x.shape[1:]), output))
        return self.objective(output, target), output, target

    def _plain(self, x: Tensor) -> Tensor:
        """The network's output of a batch, padded as the streamed one would be."""
        shape = tuple(x.shape[1:])
        if shape not in self._divisors:
            network = deepcopy(self.network).cpu().eval()
            self._divisors[shape] = find_divisor(network, (1, *shape), torch.float32, BaseTorchFunctionMode())
        divisor = self._divisors[shape]
        module = self.network if divisor == 1 else Padded(self.network, divisor)
        # convolutions of planes are quicker so, on CPUs and on GPUs
        output = module(x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x)
        if not isinstance(output, Tensor):
            raise TraceFailed(f"a network that is trained gives one tensor; this one gives a {type(output).__name__}")
        return output

    def _origin(self, shape: tuple[int, ...], output: Tensor) -> Position:
        """Where the output (n, k, ...) of an image of this shape begins in it."""
        if output.shape[2:] == shape[1:]:
            return (0,) * (len(shape) - 1)
        return origin_of(self.stream.plan_for(shape).program)

    def of_held_out(self, example: Example, crop: int | None, see: See) -> Tensor:
        """The loss of an image as it is, streamed unless it is small and training is on crops."""
        piece = Piece(example)
        if crop is None or math.prod(example.shape) > max(PLAIN_PIXELS, crop ** len(example.shape)):
            return self.of(piece, see)
        whole = piece.read(Region.from_shape(example.shape))[None]
        if example.is_labelled_whole:
            target = torch.tensor([example.target])
        else:
            target = piece.target(example.shape, (0,) * len(example.shape)).whole()[None]
        loss, output, target = self.of_batch(whole.to(self.stream.device), target.to(self.stream.device))
        see(output, target)
        return loss

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.stream.device.type, torch.bfloat16) if self._half else nullcontext()
