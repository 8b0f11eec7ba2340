"""The loss of an example: streamed from an image of any size, or in one go from a batch of crops."""

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
from napari_seamless.program.divisor import Divisor
from napari_seamless.program.trace import Padded, find_divisor
from napari_seamless.training.data.examples import AugmentedImage, Example
from napari_seamless.training.gradients.streamed_gradient import StreamedGradient
from napari_seamless.training.losses.objective import Objective
from napari_seamless.training.losses.output_grid import Position, crop_to_output, origin_of

UNTILED_PIXELS = 512 * 512
"""Images of no more pixels (or than a crop has) are computed in one go where training is on crops."""

OnTile = Callable[[Tensor, Tensor], None]
"""Gets an output, detached, and its target."""


def ignore(output: Tensor, target: Tensor) -> None:
    """For losses whose outputs nobody asks for."""
    del output, target


class ExampleLoss:
    """Losses with gradients, by the streamed network `stream`; `half` in bfloat16. One thread at a time."""

    def __init__(self, stream: StreamedGradient, objective: Objective, *, half: bool) -> None:
        self.stream, self.objective, self._half = stream, objective, half
        self._divisors: dict[tuple[int, ...], Divisor] = {}

    @property
    def network(self) -> nn.Module:
        return self.stream.module

    def streamed(self, image: AugmentedImage, on_tile: OnTile = ignore) -> Tensor:
        """The loss of a whole image, streamed; `on_tile` gets output and target, tile by tile where it can be."""
        label = image.example.target
        if isinstance(label, int):
            with self._precision():
                output = self.stream(image).float()
            target = torch.tensor([label], device=output.device)
        elif self.objective.is_sum:
            return self._streamed_sum(image, on_tile)
        else:
            with self._precision():
                output = self.stream(image).float()
            origin = self._origin(image.shape, output)
            target = image.target(output.shape[2:], origin).whole()[None].to(output.device)
        on_tile(output.detach(), target)
        return self.objective(output, target)

    def _streamed_sum(self, image: AugmentedImage, on_tile: OnTile) -> Tensor:
        count = 0

        def total(output: Tensor, target: Tensor) -> Tensor:
            nonlocal count
            output, target = output.float(), target[None]
            count += self.objective.count(target)
            on_tile(output.detach(), target)
            return self.objective.total(output, target)

        plan = self.stream.plan_for(image.shape)
        target = image.target(plan.output_shape, origin_of(plan.program))
        with self._precision():
            loss = self.stream.loss(image, target, total, reduction="sum")
        return loss / max(count, 1)

    def of_batch(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of crops (n, c, [z,] y, x), in one go, with the output and what lies under it of the target."""
        with self._precision():
            output = self._plain(x)
        output = output.float()
        if output.dim() > 2:
            target = crop_to_output(target, output, self._origin(tuple(x.shape[1:]), output))
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

    def evaluate(self, example: Example, crop: int | None, on_tile: OnTile) -> Tensor:
        """The loss of an image as it is, streamed unless it is small and training is on crops."""
        image = AugmentedImage(example)
        if crop is None or math.prod(example.shape) > max(UNTILED_PIXELS, crop ** len(example.shape)):
            return self.streamed(image, on_tile)
        whole = image.read(Region.from_shape(example.shape))[None]
        if example.is_labelled_whole:
            target = torch.tensor([example.target])
        else:
            target = image.target(example.shape, (0,) * len(example.shape)).whole()[None]
        loss, output, target = self.of_batch(whole.to(self.stream.device), target.to(self.stream.device))
        on_tile(output, target)
        return loss

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.stream.device.type, torch.bfloat16) if self._half else nullcontext()
