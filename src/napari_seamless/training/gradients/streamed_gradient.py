"""Exact streaming gradients: a module that takes images of any size and can be trained through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
from cachetools import LRUCache
from torch import Tensor, nn

from napari_seamless.errors import BadRequest
from napari_seamless.program.own_attributes import require_methods
from napari_seamless.program.trace import TIME_LIMIT, trace
from napari_seamless.runs.option_text import parse_budget
from napari_seamless.runtime.engine.device import default_budget, resolve_device
from napari_seamless.training.gradients.autograd import LossFunction, Reduction, StreamedLoss, StreamedOutput, TiledLoss
from napari_seamless.training.gradients.images import open_training_image
from napari_seamless.training.gradients.plan import (
    ACCELERATOR,
    CPU,
    TrainingPlan,
    require_floats,
    require_streamable,
    traced_module,
)
from napari_seamless.training.gradients.step import TrainingStep
from napari_seamless.training.gradients.step_options import StepOptions
from napari_seamless.training.gradients.targets import TiledTarget, open_target
from napari_seamless.training.gradients.tile_memory import choose_edges, largest_tile, staying_bytes
from napari_seamless.training.gradients.weights import Weights

PLANS_KEPT = 8


class StreamedGradient(nn.Module):
    """A network that is trained on images of any size, with the gradients of the whole image, tile by tile.

    >>> stream = StreamedGradient(network, tile=512)  # doctest: +SKIP
    >>> loss = criterion(stream(image), target)  # doctest: +SKIP
    >>> loss.backward()  # doctest: +SKIP

    Afterwards the network's parameters have their gradients. It is a module with `module` inside, so `parameters`,
    `train`, `eval`, `to`, `torch.optim`, Lightning and DistributedDataParallel see it as any other; each layer does
    what its mode says. Gradients are those of plain torch up to rounding, normalisations, gates and poolings over the
    whole plane included; what cannot be streamed is refused by operator and layer. Batch norm in training mode takes
    the statistics of the whole image (a batch of one) and updates its running ones. Dropout draws by position, from
    (seed, step, layer), so that it does not depend on tiles; it is not torch's own stream.

    `module` takes one image, (1, c, [z,] y, x); of what it returns the first tensor counts, (1, c, [z,] y, x) or
    without positions, (1, c).

    `budget` is bytes of device memory, or a text such as "2GB": the largest tile is taken that is predicted to fit. Or
    `tile` is the edge of tiles in output pixels. `keep` is bytes of host memory (or a text) for values (and their
    gradients) between the passes of a network that looks at the whole plane; with 0 every pass begins at the image.
    `level` is taken of images and targets that have several. `device` "auto" is where the module's parameters are.
    `stop` is asked before every layer of every tile (then RunCancelled is raised, and no gradient has been touched);
    `progress` gets (tiles done, tiles of this pass). `step` counts calls, as the draws of dropout do; set it (and
    `seed`) to go on where training stopped.

    Calls come from one thread at a time.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        budget: int | str | None = None,
        tile: int | None = None,
        keep: int | str = 0,
        device: str = "auto",
        seed: int = 0,
        level: int = 0,
        stop: Callable[[], bool] = lambda: False,
        progress: Callable[[int, int], None] | None = None,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        super().__init__()
        if tile is not None and tile < 1:
            raise BadRequest(f"a tile's edge must be a positive number of pixels; got {tile}; use 512")
        if budget is not None and tile is not None:
            raise BadRequest("the tile follows from the budget; give one of the two")
        require_methods(module)
        self.module = module
        self.budget = parse_budget(budget) if isinstance(budget, str) else budget
        self.keep = parse_budget(keep) if isinstance(keep, str) else keep
        self.tile, self.level = tile, level
        self.seed, self.step = seed, 0
        self._device_name, self._time_limit = device, time_limit
        self._stop, self._progress = stop, progress
        self._plans: LRUCache[Any, TrainingPlan] = LRUCache(PLANS_KEPT)

    def forward(
        self, image: Any, target: Any = None, loss: LossFunction | None = None, *, reduction: Reduction = "mean"
    ) -> Tensor:
        """The network's output of an image; or, with `loss`, what `StreamedGradient.loss` gives.

        `image` is a tensor (1, c, [z,] y, x), whatever `open_image` opens (a path, a source, a numpy, dask or zarr
        array), of which `level` is taken, or anything with `shape` and `read` (`training.gradients.images`). The output
        lies where a tensor image lies, in host memory otherwise. A tensor that requires a gradient gets one.

        Raises InputMismatch, NotTileable, TraceFailed, BudgetTooSmall, RunCancelled.
        """
        step = self._step(image)
        if loss is None:
            return self._output(step, image)
        if not any(step.output.dims):
            return loss(self._output(step, image), target)
        return self._loss(step, image, target, loss, reduction)

    def _output(self, step: TrainingStep, image: Any) -> Tensor:
        place = image.device if isinstance(image, Tensor) else torch.device("cpu")
        parameters = self._trainable_parameters()
        return StreamedOutput.apply(step, place, parameters, _tensor(image), *parameters)  # type: ignore[no-any-return, no-untyped-call]

    def loss(self, image: Any, target: Any, loss: LossFunction, *, reduction: Reduction = "mean") -> Tensor:
        """A loss that is a mean (or sum) over the output's pixels, tile by tile; the output is never there as a whole.

        `loss(output, target)` gets a tile of the output, (1, c, [z,] y, x), and of the target (all of its dimensions
        but the last ones, which must be the output's positions), and gives one number: with `reduction` "mean" the mean
        over the tile's pixels, and tiles count by their pixels; with "sum" the sum, and tiles are added. A loss that
        divides by something else, such as the number of labelled pixels or a sum of class weights, is given as a sum,
        to be divided afterwards.

        `image` and the errors are as for `forward`; a target of another size is an InputMismatch.
        """
        return self(image, target, loss, reduction=reduction)  # type: ignore[no-any-return]

    @property
    def device(self) -> torch.device:
        """Where tiles are computed."""
        if self._device_name != "auto":
            return resolve_device(self._device_name)
        return next((p.device for p in self.module.parameters()), torch.device("cpu"))

    def plan_for(self, shape: Sequence[int]) -> TrainingPlan:
        """The plan for an image of shape (c, [z,] y, x): traced once for each shape and mode of the layers."""
        modes = tuple(m.training for m in self.module.modules())
        key = (tuple(shape), modes, self._dtype, self.keep)
        if key not in self._plans:
            module = _on_cpu(self.module)
            program = trace(
                module, (1, *shape), dtype=self._dtype, time_limit=self._time_limit, cancelled=self._stop, training=True
            )
            require_floats(program)
            speed = CPU if self.device.type == "cpu" else ACCELERATOR
            self._plans[key] = TrainingPlan.of(program, self.keep, speed)
        return self._plans[key]

    def edges_for(self, shape: Sequence[int]) -> tuple[int, ...]:
        """For each pass over an image of shape (c, [z,] y, x) the edge of its tiles, in pixels of what it makes.

        Raises BudgetTooSmall, and what `forward` raises.
        """
        plan = self.plan_for(shape)
        return self._edges(plan, self._weights(plan))

    def predicted_bytes(self, shape: Sequence[int]) -> int:
        """The predicted peak of device memory of a step on an image of shape (c, [z,] y, x): weights, sums of
        gradients, one tile's tensors. The output, and the image where it is a tensor, are not in it."""
        plan = self.plan_for(shape)
        constants = self._weights(plan).constants
        edges, learn = self._edges(plan, self._weights(plan)), plan.sensitive(constants, image=False)
        tiles = zip(plan.stages, edges, strict=True)
        return staying_bytes(constants) + max(largest_tile(stage, edge, constants, learn) for stage, edge in tiles)

    def _edges(self, plan: TrainingPlan, weights: Weights) -> tuple[int, ...]:
        if self.tile is not None:
            return (self.tile,) * len(plan.stages)
        budget = default_budget(self.device) if self.budget is None else self.budget
        constants = weights.constants
        key = budget, frozenset(name for name, tensor in constants.items() if tensor.requires_grad)
        if key not in plan.edges:
            plan.edges[key] = choose_edges(plan, constants, plan.sensitive(constants, image=False), budget)
        return plan.edges[key]

    def _weights(self, plan: TrainingPlan) -> Weights:
        """What the module's weights are now."""
        return Weights(plan, traced_module(self.module, plan.program.divisor), self.device, self.seed, self.step)

    @property
    def _dtype(self) -> torch.dtype:
        return next((p.dtype for p in self.module.parameters() if p.dtype.is_floating_point), torch.float32)

    def _trainable_parameters(self) -> list[nn.Parameter]:
        return [p for p in self.module.parameters() if p.requires_grad]

    def _step(self, image: Any) -> TrainingStep:
        """A step that has measured everything."""
        source = open_training_image(image, self.level)
        plan = self.plan_for(source.shape)
        device = self.device
        autocast = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
        self.step += 1
        weights = self._weights(plan)
        options = StepOptions(device, self._edges(plan, weights), autocast, self._stop, self._progress)
        wants_image = torch.is_grad_enabled() and isinstance(image, Tensor) and image.requires_grad
        step = TrainingStep(plan, weights, source, options, image_gradient=wants_image)
        require_streamable(plan.program, step.sensitive)
        step.measure()
        return step

    def _loss(self, step: TrainingStep, image: Any, target: Any, loss: LossFunction, reduction: Reduction) -> Tensor:
        aim = TiledTarget.of(open_target(target, self.level), step.plan.output_shape, step.options.device)
        tiled = TiledLoss(aim, loss, step.plan.output_shape, reduction)
        parameters = self._trainable_parameters()
        return StreamedLoss.apply(step, tiled, parameters, _tensor(image), *parameters)  # type: ignore[no-any-return, no-untyped-call]


def _tensor(image: Any) -> Tensor | None:
    return image if isinstance(image, Tensor) else None


def _on_cpu(module: nn.Module) -> nn.Module:
    """The module, or a copy of it, on the CPU, where it is traced."""
    tensors = [*module.parameters(), *module.buffers()]
    return module if all(t.device.type == "cpu" for t in tensors) else deepcopy(module).cpu()
