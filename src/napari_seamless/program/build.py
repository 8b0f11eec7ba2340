"""From torch's traced graph to our program.

Every traced node is one of three things. What depends on weights alone is computed here, once, and becomes a constant.
What depends on the image becomes a node with an operation from the table. What the table refuses becomes a Refusal,
and the walk goes on where it can, so that the user hears of all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from operator import getitem
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node as Traced

from napari_seamless.errors import TraceFailed
from napari_seamless.program._compat import is_fake
from napari_seamless.program.derived_constants import (
    DerivedConstant,
    RunningStatistics,
    TrainingConstants,
    draws,
    is_random,
)
from napari_seamless.program.flattened import Flattened, Place, flattened_view, is_view, place_flattened
from napari_seamless.program.graph import Node, Program, Refusal
from napari_seamless.program.ops.barrier import Barrier
from napari_seamless.program.ops.constant_image import ConstantImage
from napari_seamless.program.ops.dropout import DRAWS
from napari_seamless.program.ops.local import Weight
from napari_seamless.program.ops.request import (
    Built,
    Constant,
    ImageArgument,
    Operator,
    Request,
    Unplaced,
    Unsupported,
    flatten,
)
from napari_seamless.program.ops.table import build as build_operation
from napari_seamless.program.ops.table import operator as operator_of
from napari_seamless.program.source_lines import code_line, layer_path
from napari_seamless.program.spans import Dims
from napari_seamless.program.value import Value

LARGEST_CONSTANT = 1 << 28
"""Bytes above which something computed from weights alone is refused instead of stored."""

LARGEST_SETTLED = 1 << 20
"""Bytes up to which what follows from barriers alone is taken for known."""

RANDOM = (
    "it draws random numbers, so that no two runs of the network give the same; switch it off in eval mode, or draw "
    "them once and keep them as a buffer"
)

IGNORED = frozenset({"aten._assert_tensor_metadata.default", "aten._assert_scalar.default", "aten.sym_size.int"})
"""Checks of torch's tracer, which make no tensor."""


@dataclass(frozen=True)
class Several:
    """A traced node with several results, waiting for somebody to pick one."""

    node: Traced


@dataclass(frozen=True)
class StoredConstant:
    """New statistics of a normalisation, which go into its buffers and nowhere else."""


@dataclass(frozen=True)
class Stretched:
    """A value that was stretched over dimensions of which nobody knows the axes, waiting to be broadcast instead."""

    image: ImageArgument
    shape: tuple[int, ...]
    refusal: Refusal


@dataclass
class Builder:
    """The state of one walk over a traced graph. With `training` it notes how constants follow from weights."""

    ndim: int
    training: bool = False
    values: list[Value] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    known: dict[Traced, Any] = field(default_factory=dict)
    derived: list[DerivedConstant] = field(default_factory=list)
    running: list[RunningStatistics] = field(default_factory=list)
    barriers: set[int] = field(default_factory=set)
    draws: int = 0

    def image_input(self, node: Traced) -> None:
        shape = tuple(node.meta["val"].shape)
        dims: Dims = ((), (), *((a,) for a in range(self.ndim)))
        self.values.append(Value(shape, node.meta["val"].dtype, dims, shape[2:]))
        self.known[node] = ImageArgument(0, self.values[0])

    def constant(self, node: Traced, name: str, tensor: Tensor) -> None:
        self.constants[name] = tensor.detach()
        self.known[node] = Constant(name, tensor.detach())

    def call(self, node: Traced) -> None:
        if node.target is getitem:
            source = self.known[node.args[0]]  # type: ignore[index]
            if isinstance(source, Several):
                self._request(node, source.node, node.args[1])  # type: ignore[arg-type]
            else:
                self.known[node] = source
            return
        name = str(node.target)
        if name in IGNORED:
            return
        if not isinstance(node.meta.get("val"), torch.Tensor):
            self.known[node] = Several(node)
            return
        self._request(node, node, None)

    def _request(self, result: Traced, node: Traced, part: int | None) -> None:
        args = tuple(self._argument(a) for a in node.args)
        kwargs = {k: self._argument(v) for k, v in node.kwargs.items() if k not in ("device", "pin_memory", "layout")}
        fake = result.meta["val"]
        request = Request(str(node.target), args, kwargs, tuple(fake.shape), fake.dtype, self.ndim, part)
        operator = operator_of(request.target)
        args = self._broadcast(request, operator, request.args)
        request = replace(request, args=args, layer=self._layer(request.target))
        try:
            if not self.training and draws(request.target, request.args, request.kwargs):
                raise Unsupported(RANDOM)
            if any(isinstance(i, Flattened) for i in request.items):
                self.known[result] = self._flattened(request, operator, result)
                return
            if not request.images or (operator is not None and operator.fill is not None):
                self.constant(result, result.name, self._fold(node, request, operator, fake))
                self._note_derived(result.name, request, operator)
                return
            if operator is not None and operator.momentum_at is not None and part not in (None, 0):
                self.known[result] = StoredConstant()
                return
            self.known[result] = self._placed(request, operator, result)
            self._note_statistics(request, operator, layer_path(result))
        except Unplaced as reason:
            refusal = Refusal(request.target, layer_path(node), str(reason), code_line(node))
            self.known[result] = Stretched(request.image(), request.shape, refusal)
        except Unsupported as reason:
            refusal = Refusal(request.target, layer_path(node), str(reason), code_line(node))
            mixed = flattened_view(request, refusal, self._place(result)) if is_view(operator) else None
            if mixed is None:
                self.refusals.append(refusal)
            self.known[result] = mixed or self._stand_in(request)

    def _flattened(self, request: Request, operator: Operator | None, node: Traced) -> ImageArgument | Flattened:
        """What an operator makes of values into which channels and positions were flattened together."""

        def reshaped(constant: Constant, shape: tuple[int, ...]) -> Constant:
            name = f"{constant.name}.{'x'.join(map(str, shape))}"
            given = Request("aten.reshape.default", (constant, shape), {}, shape, constant.tensor.dtype, self.ndim)
            self.constants[name] = constant.tensor.reshape(shape)
            self._note_derived(name, given, None)
            return Constant(name, self.constants[name])

        made = place_flattened(request, operator, self._place(node), reshaped)
        if made is not None:
            return made
        mixed = [i for i in request.items if isinstance(i, Flattened)]
        self.refusals += [i.refusal for i in mixed]
        return self._stand_in(replace(request, args=tuple(i.image for i in mixed)))

    def _place(self, node: Traced) -> Place:
        return lambda request: self._placed(request, operator_of(request.target), node)

    def _placed(self, request: Request, operator: Operator | None, node: Traced) -> ImageArgument:
        return self._add(self._with_constant_images(request, operator), operator, node)

    def _layer(self, target: str) -> int | None:
        """The number of a layer that draws random numbers."""
        if not self.training or not is_random(target):
            return None
        self.draws += 1
        return self.draws

    def _note_derived(self, name: str, request: Request, operator: Operator | None) -> None:
        """Keep how a constant follows from others, unless it is filled without them."""
        if not self.training or (operator is not None and operator.fill is not None):
            return
        if request.layer is not None and request.target not in DRAWS:
            raise Unsupported("it draws random numbers in a way that cannot be repeated; dropout can")

        def named(item: Any) -> Any:
            if isinstance(item, Constant):
                return Weight(item.name)
            return tuple(named(i) for i in item) if isinstance(item, tuple) else item

        args, kwargs = named(request.args), tuple((k, named(v)) for k, v in request.kwargs.items())
        derived = DerivedConstant(name, request.target, args, kwargs, request.part, request.layer)
        if derived.needs or derived.draws is not None:
            self.derived.append(derived)

    def _note_statistics(self, request: Request, operator: Operator | None, path: str) -> None:
        """Keep which buffers follow the statistics that a normalisation just built measures."""
        at = operator.momentum_at if operator is not None else None
        measured = [i for i in self.nodes[-1].inputs if i in self.barriers]
        if not self.training or at is None or not measured:
            return
        mean, variance = request.arg(3), request.arg(4)
        if isinstance(mean, Constant) and isinstance(variance, Constant):
            momentum = float(request.arg(at))
            self.running.append(RunningStatistics(measured[0], mean.name, variance.name, momentum, path))

    def _broadcast(self, request: Request, operator: Operator | None, item: Any) -> Any:
        """Arguments without stretched values: operators that broadcast beside a full-sized image stretch by
        themselves."""
        if isinstance(item, tuple):
            return tuple(self._broadcast(request, operator, i) for i in item)
        if not isinstance(item, Stretched):
            return item
        broadcasts = operator is not None and operator.broadcasts
        if broadcasts and any(_shape_of(i) == request.shape for i in request.items):
            return item.image
        self.refusals.append(item.refusal)
        return self._stand_in(replace(request, args=(item.image,), shape=item.shape))

    def _argument(self, item: Any) -> Any:
        if isinstance(item, Traced):
            return self.known[item]
        if isinstance(item, tuple | list):
            return tuple(self._argument(i) for i in item)
        return item

    def _fold(self, node: Traced, request: Request, operator: Operator | None, fake: Tensor) -> Tensor:
        """Compute what depends on weights alone. Expanded constants stay views, so they cost nothing."""

        def real(item: Any) -> Any:
            if isinstance(item, Traced):
                return self.known[item].tensor
            return [real(i) for i in item] if isinstance(item, tuple | list) else item

        if operator is not None and operator.fill is not None:
            return torch.tensor(operator.fill(request), dtype=fake.dtype).expand(fake.shape)
        is_view = operator is not None and operator.is_view
        if not is_view and fake.nbytes > LARGEST_CONSTANT:
            raise Unsupported("it makes a constant as large as the image")
        kwargs = {k: real(v) for k, v in node.kwargs.items() if k != "device"}
        with torch.no_grad():
            result = node.target(*(real(a) for a in node.args), **kwargs)  # type: ignore[operator]
        return result if request.part is None else result[request.part]  # type: ignore[no-any-return]

    def _with_constant_images(self, request: Request, operator: Operator | None) -> Request:
        """Constants with positions in them (coordinates, position codes) become nodes that hand out their regions."""
        dims = operator.constant_dims(request) if operator is not None and operator.constant_dims is not None else None
        if dims is None:
            return request
        domain = _common_domain(request)

        def convert(item: Any) -> Any:
            if isinstance(item, tuple):
                return tuple(convert(i) for i in item)
            return self._constant_image(item, dims, domain) if isinstance(item, Constant) else item

        return replace(request, args=convert(request.args))

    def _constant_image(
        self, constant: Constant, dims: Dims, domain: tuple[int | None, ...]
    ) -> Constant | ImageArgument:
        tensor = constant.tensor
        own = dims[len(dims) - tensor.dim() :]
        own = tuple(axes if size > 1 else () for axes, size in zip(own, tensor.shape, strict=True))
        if not any(own):
            return constant
        used = {a for axes in own for a in axes}
        sizes = tuple(n if a in used else None for a, n in enumerate(domain))
        if any(axes and n != prod(sizes[a] or 1 for a in axes) for axes, n in zip(own, tensor.shape, strict=True)):
            raise Unsupported("it uses a constant as large as the image whose positions are not the image's")
        built = Built(ConstantImage(constant.name, own, sizes), (), own, sizes)
        return self._append(built, tuple(tensor.shape), tensor.dtype, "", "constant")

    def _add(self, request: Request, operator: Operator | None, node: Traced) -> ImageArgument:
        repeats = operator is not None and operator.repeats_draws
        if self.training and is_random(request.target) and not repeats:
            raise Unsupported("it draws random numbers in a way that cannot be repeated; dropout can")
        built = build_operation(request)
        for name in built.operation.constant_names:
            if name not in self.constants:  # a key, which every step sets
                self.constants[name] = torch.zeros((), dtype=torch.int64)
        return self._append(built, request.shape, request.dtype, layer_path(node), request.target)

    def _append(
        self, built: Built, shape: tuple[int, ...], dtype: torch.dtype, path: str, target: str
    ) -> ImageArgument:
        inputs = [
            i if isinstance(i, ImageArgument) else self._append(i.built, i.shape, i.dtype, path, target)
            for i in built.inputs
        ]
        value = Value(shape, dtype, built.dims, built.domain(shape, self.ndim))
        self.values.append(value)
        index = len(self.values) - 1
        self.nodes.append(Node(index, built.operation, tuple(i.index for i in inputs), path, target))
        if isinstance(built.operation, Barrier):
            self.barriers.add(index)
        is_settled = isinstance(built.operation, Barrier) and not built.operation.keeps_positions
        is_small = value.nbytes <= LARGEST_SETTLED and all(n in (None, 1) for n in value.domain)
        follows = bool(inputs) and all(i.is_settled for i in inputs) and is_small
        return ImageArgument(index, value, is_settled or follows, built.operation)

    def _stand_in(self, request: Request) -> ImageArgument:
        """A value in place of a refused one, so that the rest can still be looked at: spatial where sizes agree."""
        source = request.images[0].value if request.images else self.values[0]
        dims: list[tuple[int, ...]] = [()] * len(request.shape)
        if len(source.shape) == len(request.shape):
            dims = [a if n == m else () for a, n, m in zip(source.dims, source.shape, request.shape, strict=True)]
        single = tuple(axes if len(axes) == 1 else () for axes in dims)
        domain: list[int | None] = [None] * self.ndim
        for size, axes in zip(request.shape, single, strict=True):
            for axis in axes:
                domain[axis] = size
        self.values.append(Value(request.shape, request.dtype, single, tuple(domain)))
        return ImageArgument(len(self.values) - 1, self.values[-1])


def _common_domain(request: Request) -> tuple[int | None, ...]:
    """The sizes of the grid on which a request's images lie, where one of them may be a single pixel."""
    axes = zip(*(i.value.domain for i in request.images), strict=True)
    return tuple(max((n for n in sizes if n is not None), default=None) for sizes in axes)


def _shape_of(item: Any) -> tuple[int, ...] | None:
    """The shape of an argument that depends on the image."""
    if isinstance(item, Flattened):
        return item.shape
    return item.value.shape if isinstance(item, ImageArgument) else None


def program_of(exported: torch.export.ExportedProgram, ndim: int, *, training: bool = False) -> Program:
    """Build the program of a traced network. Its input must be one image and its output one tensor."""
    signature = exported.graph_signature
    tensors: Mapping[str, Any] = {**exported.state_dict, **exported.constants}
    origin = {spec.arg.name: spec.target for spec in signature.input_specs if spec.target is not None}
    builder = Builder(ndim, training)
    for node in exported.graph.nodes:
        match node.op:
            case "placeholder" if node.name in origin:
                builder.constant(node, origin[node.name], _real(tensors[origin[node.name]], origin[node.name]))
            case "placeholder":
                builder.image_input(node)
            case "call_function":
                builder.call(node)
            case "output":
                result = _output(builder, node, signature.user_outputs)
                written = _written(builder, node, signature.buffers_to_mutate) if training else ()
    constants = TrainingConstants(tuple(builder.derived), tuple(builder.running), written) if training else None
    refusals = tuple(builder.refusals)
    values = tuple(builder.values)
    return Program(tuple(builder.nodes), values, builder.constants, 0, result, refusals=refusals, training=constants)


def _real(tensor: Tensor, name: str) -> Tensor:
    """A constant. It is fake if tracing lost sight of a tensor on its way from the image and took it for a weight."""
    if is_fake(tensor):
        raise TraceFailed(
            f"every tensor must be a weight or be computed from the image by torch; the one at '{name}' of shape "
            f"{tuple(tensor.shape)} comes from elsewhere; compute with plain tensors in forward"
        )
    return tensor


def _written(builder: Builder, node: Traced, buffers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The buffers that a step changes, other than by stored statistics: (buffer, the constant that it becomes)."""
    found = []
    for result in flatten(node.args):
        buffer = buffers.get(result.name) if isinstance(result, Traced) else None
        value = builder.known[result] if buffer is not None else None
        if isinstance(value, Constant) and buffer is not None:
            found.append((buffer, value.name))
        elif isinstance(value, ImageArgument):
            reason = f"what is computed from the image is written into the buffer '{buffer}'"
            builder.refusals.append(Refusal("output", buffer or "", reason))
    return tuple(found)


def _output(builder: Builder, node: Traced, names: Sequence[Any]) -> int:
    """The program's result: the first tensor of what the network returns."""
    results = [builder.known[r] for r in flatten(node.args) if isinstance(r, Traced) and r.name in names]
    images = [r for r in results if isinstance(r, ImageArgument)]
    stretched = [r.refusal for r in results if isinstance(r, Stretched | Flattened)]
    if not images and stretched:
        builder.refusals += stretched
        return 0
    if not images:
        builder.refusals.append(Refusal("output", "", "the network's result does not depend on the image"))
        return 0
    return images[0].index
