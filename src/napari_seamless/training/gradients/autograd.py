"""The streamed output and the streamed loss as functions of torch.autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.training.gradients.step import TrainingStep
from napari_seamless.training.gradients.targets import TiledTarget

LossFunction = Callable[[Tensor, Tensor], Tensor]
Reduction = Literal["mean", "sum"]


class TiledLoss:
    """A loss that is added up tile by tile."""

    def __init__(self, target: TiledTarget, loss: LossFunction, shape: Sequence[int], reduction: Reduction) -> None:
        if reduction not in ("mean", "sum"):
            raise BadRequest(f"a streamed loss is a mean or a sum over pixels; got reduction={reduction!r}")
        self._target, self._loss = target, loss
        self._pixels = Region.from_shape(shape).size if reduction == "mean" else None
        self.total = 0.0

    def share(self, output: Tensor, write: Region) -> Tensor:
        """A tile's share of the loss, which is added to the total."""
        value = self._loss(output, self._target.part(write))
        if value.numel() != 1:
            raise BadRequest(
                f"a streamed loss must give one number for a tile; got shape {tuple(value.shape)}; take its mean or sum"
            )
        share = value.reshape(()) if self._pixels is None else value.reshape(()) * (write.size / self._pixels)
        self.total += float(share.detach())
        return share

    def add(self, output: Tensor, write: Region) -> None:
        """Add a tile's share to the total."""
        self.share(output, write)


class StreamedOutput(torch.autograd.Function):
    """The output with a gradient: forwards every tile once, backwards every tile again."""

    @staticmethod
    def forward(
        ctx: Any,
        step: TrainingStep,
        place: torch.device,
        learn: list[nn.Parameter],
        image: Tensor | None,
        *given: Tensor,
    ) -> Tensor:
        ctx.step, ctx.learn = step, learn
        ctx.save_for_backward(*given)  # torch then notices weights that were changed in between
        ctx.image = None if image is None else (image.device, image.dtype)
        return step.make(place)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Any, ...]:
        _ = ctx.saved_tensors
        step: TrainingStep = ctx.step
        final = step.plan.stages[-1].backwards

        def ends(result: Tensor, write: Region) -> tuple[list[Tensor], list[Tensor]]:
            part = cotangent[step.where(final.at(write))]
            return [result], [part.to(result.device, result.dtype)]

        found = step.backward(ends)
        image = None if ctx.image is None or found.image is None else found.image.to(*ctx.image)
        return (None, None, None, image, *step.weights.gradients(ctx.learn, found.constants))


class StreamedLoss(torch.autograd.Function):
    """The loss with a gradient, both found in one go; the way back only scales it."""

    @staticmethod
    def forward(
        ctx: Any, step: TrainingStep, loss: TiledLoss, learn: list[nn.Parameter], image: Tensor | None, *given: Tensor
    ) -> Tensor:
        del given
        if not any(ctx.needs_input_grad):
            step.visit(loss.add)
            return torch.tensor(loss.total, dtype=step.output.dtype, device=step.options.device)

        def ends(result: Tensor, write: Region) -> tuple[list[Tensor], list[Tensor]]:
            share = loss.share(result, write)
            return [share], [torch.ones_like(share)]

        found = step.backward(ends)
        ctx.image = None if image is None or found.image is None else found.image.to(image.device, image.dtype)
        ctx.grads = step.weights.gradients(learn, found.constants)
        return torch.tensor(loss.total, dtype=step.output.dtype, device=step.options.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Any, ...]:
        def scaled(grad: Tensor | None) -> Tensor | None:
            return None if grad is None else grad * cotangent.to(grad.device, grad.dtype)

        return (None, None, None, scaled(ctx.image), *(scaled(g) for g in ctx.grads))
