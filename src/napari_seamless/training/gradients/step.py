"""One image on its way through a network, and back.

::

    forwards    pass 0: moments  -->  pass 1: moments  -->  ...  -->  last pass: output, tile by tile
                          |                 |                          |
                       settle            settle                     the loss
                          |                 |                          |
    backwards   pass 0: tiles    <--  pass 1: tiles    <--  ...  <--  last pass: tiles

Every tile is computed again on the way back, this time with gradients, and let go of before the next. Tiles of the last
pass get the loss' gradient at their own pixels of the output; tiles of a pass that measured get the gradient of what it
measured, at their own pixels. Both are partitions of a plane, so that the sum over tiles is the whole image's gradient
(for networks without barriers: Pinckaers and Litjens 2018, arXiv 1804.05712).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from napari_seamless.geometry import Interval, Region
from napari_seamless.program.graph import Program
from napari_seamless.program.ops.barrier import State
from napari_seamless.program.passes import known_name, settle
from napari_seamless.program.region_program import Placed
from napari_seamless.program.value import Value
from napari_seamless.runtime.engine.activation_store import slices
from napari_seamless.runtime.engine.precision import arithmetic
from napari_seamless.runtime.engine.run_region import as_image, run_region
from napari_seamless.training.gradients.host_activations import Fetched, HostActivations
from napari_seamless.training.gradients.images import TrainingImage
from napari_seamless.training.gradients.known_values import KnownValuesBackward, barrier_of
from napari_seamless.training.gradients.plan import TrainingPass, TrainingPlan
from napari_seamless.training.gradients.step_options import GradientSums, StepOptions
from napari_seamless.training.gradients.weights import Weights

OutputGradients = Callable[[Any, Region], tuple[Sequence[Tensor], Sequence[Tensor]]]
"""From a tile's result and its region: tensors, and their gradients."""


class TrainingStep:
    """A plan, its weights and one image. Not to be shared between threads.

    `image_gradient` says that the image's own gradient is wanted.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        weights: Weights,
        image: TrainingImage,
        options: StepOptions,
        *,
        image_gradient: bool = False,
    ) -> None:
        self.plan, self.weights, self._image, self.options = plan, weights, image, options
        self.sensitive = plan.sensitive(weights.constants, image=image_gradient)
        self.wants_image = image_gradient
        self.states: dict[int, State] = {}
        self._known: dict[int, Tensor] = {}
        self._saved = HostActivations(plan.program, options.device)
        hosted = {name for node in plan.settled for name in node.operation.constant_names}
        self._host = {name: weights.constants[name].detach().cpu() for name in hosted}
        self._device = {name: tensor.detach() for name, tensor in weights.constants.items()}

    @property
    def output(self) -> Value:
        """What the network's output is."""
        return self.plan.program.values[self.plan.program.output]

    @torch.no_grad()
    def measure(self) -> None:
        """All passes but the last: afterwards everything that barriers look for is known. Buffers are written to."""
        program = replace(self.plan.program, constants=self._host)
        for stage in self.plan.stages[:-1]:
            states: list[State | None] = [None] * len(stage.part.barriers)
            for _, _, found in self._forwards(stage):
                for piece in found.pieces:
                    self._saved.put(*piece)
                states = [
                    b if a is None else a if b is None else barrier_of(node).merge(a, b)
                    for a, b, node in zip(states, found.states, stage.part.barriers, strict=True)
                ]
            measured = {n.output: s for n, s in zip(stage.part.barriers, states, strict=True) if s is not None}
            self.states.update(measured)
            self._known = settle(program, measured, self._known)
        self.weights.store(self.plan, self.states)

    @torch.no_grad()
    def make(self, device: torch.device) -> Tensor:
        """The output, (1, c, [z,] y, x), after `measure`."""
        result = torch.empty(self.output.shape, dtype=self.output.dtype, device=device)
        for placed, _, found in self._forwards(self.plan.stages[-1]):
            result[self.where(placed)] = found.to(device, result.dtype)
        return result

    @torch.no_grad()
    def visit(self, on_tile: Callable[[Tensor, Region], None]) -> None:
        """Show each tile of the output, after `measure`, without keeping any."""
        for _, write, found in self._forwards(self.plan.stages[-1]):
            on_tile(found, write)

    def where(self, placed: Placed) -> tuple[slice, ...]:
        """Where a tile lies in the output."""
        return slices(self.output.dims, placed.box(self.plan.program.output))

    def _forwards(self, stage: TrainingPass) -> Any:
        """Each tile of a pass: where it is placed, its region, what it found."""
        program = self._ready(stage, stage.forwards.program, self._device, self._known)
        tiles = stage.tiles(self.options.edges[stage.part.number])
        for k, write in enumerate(tiles):
            placed = stage.forwards.at(write)
            with arithmetic(self.options.device), self.options.precision():
                found = run_region(program, placed, self._pixels(placed), self.options.stop, self._saved.get)
            yield placed, write, found
            self.options.report(k + 1, len(tiles))

    def _ready(
        self, stage: TrainingPass, program: Program, constants: Mapping[str, Tensor], known: Mapping[int, Tensor]
    ) -> Program:
        """A pass' program with everything that it asks for."""
        values = {known_name(i): known[i].to(self.options.device) for i in stage.part.known}
        return replace(program, constants={**program.constants, **constants, **values})

    def _region(self, placed: Placed) -> Region | None:
        """What a tile reads of the image; None for nothing."""
        box = placed.box(self.plan.program.input)
        return None if None in box else Region(tuple(Interval(*span) for span in box if span is not None))

    def _pixels(self, placed: Placed) -> Tensor | None:
        region = self._region(placed)
        if region is None:
            return None
        dtype = self.plan.program.values[self.plan.program.input].dtype
        return as_image(self._image.read(region), self.options.device, dtype)

    def backward(self, last: OutputGradients) -> GradientSums:
        """All passes in reverse, after `measure`. `last` says what a tile of the output is to be differentiated for."""
        found = GradientSums()
        if self.wants_image:
            value = self.plan.program.values[self.plan.program.input]
            found.image = torch.zeros(value.shape, dtype=value.dtype)
        pulls: dict[int, State] = {}
        self._saved.forget_gradients()
        known_values = KnownValuesBackward(
            self.plan,
            self.weights.constants,
            self._host,
            self._known,
            self.states,
            self.sensitive,
            self.options.device,
        )
        for stage in reversed(self.plan.stages):
            if stage is self.plan.stages[-1]:
                self._backwards(stage, last, found)
            elif self._is_asked(stage, pulls):
                self._backwards(stage, self._puller(stage, pulls), found)
            known_values.run(stage.part.number, found, pulls)
        return found

    def _is_asked(self, stage: TrainingPass, pulls: Mapping[int, State]) -> bool:
        """Whether any gradient comes back to what a pass measured or kept."""
        measured = any(node.output in pulls for node in stage.part.barriers)
        return measured or any(self._saved.has_gradient(value) for value in stage.part.saves)

    def _puller(self, stage: TrainingPass, pulls: Mapping[int, State]) -> OutputGradients:
        """What the tiles of a pass that measured are to be differentiated for."""

        def ends(parts: Any, write: Region) -> tuple[list[Tensor], list[Tensor]]:
            del write
            tensors: list[Tensor] = []
            given: list[Tensor] = []
            for node, part in zip(stage.part.barriers, parts, strict=False):
                if part is None or node.output not in pulls:
                    continue
                own, inputs = part
                with torch.no_grad(), torch.autocast(self.options.device.type, enabled=False):
                    pulled = barrier_of(node).pull(inputs, own, self.states[node.output], pulls[node.output])
                for x, gradient in zip(inputs, pulled, strict=False):
                    if gradient is not None and x.requires_grad:
                        tensors.append(x)
                        given.append(gradient)
            for value, part in zip(stage.part.saves, parts[len(stage.part.barriers) :], strict=True):
                if part is not None and self._saved.has_gradient(value):
                    own, (piece,) = part
                    tensors.append(piece)
                    given.append(self._saved.gradient(value, own).to(piece.dtype))
            return tensors, given

        return ends

    def _backwards(self, stage: TrainingPass, ends: OutputGradients, found: GradientSums) -> None:
        """Each tile of a pass again, with gradients, which are added up."""
        device = self.options.device
        known = {i: self._known[i].to(device).clone().requires_grad_(i in self.sensitive) for i in stage.part.known}
        program = self._ready(stage, stage.backwards.program, self.weights.constants, known)
        names = {name for node in program.nodes for name in node.operation.constant_names}
        leaves = {name: program.constants[name] for name in sorted(names) if program.constants[name].requires_grad}
        values = {known_name(i): i for i in stage.part.known}
        tiles = stage.tiles(self.options.edges[stage.part.number])
        for k, write in enumerate(tiles):
            self._tile(stage, program, write, ends, leaves, values, found)
            self.options.report(k + 1, len(tiles))

    def _tile(
        self,
        stage: TrainingPass,
        program: Program,
        write: Region,
        ends: OutputGradients,
        leaves: Mapping[str, Tensor],
        values: Mapping[str, int],
        found: GradientSums,
    ) -> None:
        placed = stage.backwards.at(write)
        image = self._pixels(placed)
        if image is not None and self.wants_image:
            image.requires_grad_()
        fetched: Fetched = []
        fetch = self._saved.fetching(self.sensitive, fetched)
        with torch.enable_grad(), arithmetic(self.options.device):
            with self.options.precision():
                result = run_region(program, placed, image, self.options.stop, fetch)
            tensors, given = ends(result, write)
            del result
            inputs = [*leaves.values(), *(piece for _, _, piece in fetched)]
            if image is not None and self.wants_image:
                inputs.append(image)
            live = [(t, g) for t, g in zip(tensors, given, strict=True) if t.requires_grad]
            if not live or not inputs:
                return
            parts: Sequence[Tensor | None] = torch.autograd.grad(
                [t for t, _ in live], inputs, [g for _, g in live], allow_unused=True
            )
        for name, part in zip(leaves, parts, strict=False):
            if part is None:
                continue
            if name in values:
                found.add_known(values[name], part)
            else:
                found.add(name, part)
        region = self._region(placed)
        for (value, box, _), part in zip(fetched, parts[len(leaves) :], strict=False):
            if part is not None:
                self._saved.add(value, box, part)
        last = parts[-1]
        if found.image is not None and region is not None and last is not None:
            found.image[(slice(None), slice(None), *region.slices())] += last.cpu()
