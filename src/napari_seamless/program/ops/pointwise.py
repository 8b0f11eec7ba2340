"""Elementwise operators, with broadcasting: whatever torch tags as pointwise, and a few more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_seamless.program.ops.local import Local, Slot, stored
from napari_seamless.program.ops.operation import (
    Activation,
    LowPrecision,
    resolve,
)
from napari_seamless.program.ops.request import (
    Built,
    Constant,
    ImageArgument,
    Operator,
    Operators,
    Request,
    Unsupported,
    flatten,
)
from napari_seamless.program.spans import Box, Dims

KEEPS = frozenset({
    "relu", "relu6", "leaky_relu", "hardtanh", "hardsigmoid", "hardswish", "sigmoid", "tanh", "silu", "gelu", "elu",
    "selu", "celu", "mish", "prelu", "add", "sub", "rsub", "mul", "div", "neg", "abs", "clamp", "clamp_min",
    "clamp_max", "maximum", "minimum", "clone", "dropout",
})  # fmt: skip
"""Those that are computed in the type that they get, in reduced precision."""

IN_PLACE = frozenset({
    "relu", "relu6", "sigmoid", "tanh", "silu", "hardswish", "hardsigmoid", "hardtanh", "leaky_relu", "elu", "selu",
    "celu", "mish", "clamp", "clamp_min", "clamp_max", "add", "sub", "mul", "div", "neg", "sqrt", "rsqrt", "exp", "log",
    "abs", "square", "pow", "floor", "round",
})  # fmt: skip
"""Those that torch can compute over their first argument."""

ACTIVATIONS = {"aten.relu.default": "relu", "aten.sigmoid.default": "sigmoid", "aten.tanh.default": "tanh",
               "aten.leaky_relu.default": "leaky_relu", "aten.silu.default": "silu"}  # fmt: skip
DEFAULT_SLOPE = 0.01

DETACH = "aten.detach.default"
COPIES = frozenset({"aten.clone.default", "aten.contiguous.default", DETACH, "aten.alias.default",
                    "aten.lift_fresh_copy.default", "aten.dropout.default"})  # fmt: skip

UNTAGGED = frozenset({
    *COPIES, "aten._to_copy.default", "aten.to.dtype", "aten.type_as.default",
    "aten.zeros_like.default", "aten.ones_like.default", "aten.full_like.default",
    "aten.empty_like.default", "aten.where.Scalar", "aten.where.ScalarOther", "aten.where.ScalarSelf",
    "aten.fill.Scalar", "aten.masked_fill.Scalar", "aten.masked_fill.Tensor", "aten.hardswish.default",
    "aten.log_sigmoid.default", "aten.rsub.Tensor", "aten.floor_divide.default", "aten.floor_divide.Scalar",
    "aten.absolute.default", "aten.negative.default", "aten.arctan.default", "aten.arctan2.default",
    "aten.special_expit.default", "aten.true_divide.Tensor", "aten.true_divide.Scalar",
    "aten.divide.Tensor_mode", "aten.divide.Scalar_mode",
    *(f"aten.{name}.default" for name in (
        "arccos", "arccosh", "arcsin", "arcsinh", "arctanh", "fix", "isclose", "special_digamma", "special_erf",
        "special_erfc", "special_erfinv", "special_exp2", "special_expm1", "special_gammaln", "special_i0",
        "special_log1p", "special_logit", "special_ndtr", "special_psi", "special_round", "special_sinc")),
    *(f"aten.{name}.{kind}" for kind in ("Tensor", "Scalar") for name in (
        "multiply", "subtract", "divide", "greater", "greater_equal", "less", "less_equal", "not_equal")),
})  # fmt: skip
"""Elementwise operators that torch does not tag as pointwise; most are other names of those that it does."""


@dataclass(frozen=True)
class Pointwise(Local):
    """A stored call of an elementwise operator."""

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps" if self.packet in KEEPS and self.part is None else "float32"

    @property
    def can_overwrite(self) -> bool:
        return self._twin is not None

    def overwrite(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], want: Box) -> Tensor:
        return self.call(self._twin, inputs, constants, want)

    @property
    def _twin(self) -> Any:
        """torch's operator that writes its result over its first argument, or None."""
        namespace, packet, overload = self.target.split(".")
        if packet not in IN_PLACE or self.part is not None or self.args[:1] != (Slot(0),):
            return None
        twin = getattr(getattr(torch.ops, namespace), packet + "_", None)
        return getattr(twin, overload) if twin is not None and overload in twin.overloads() else None

    @property
    def is_copy(self) -> bool:
        return self.target in COPIES

    @property
    def stops_gradient(self) -> bool:
        return self.target == DETACH

    @property
    def activation(self) -> Activation | None:
        name = ACTIVATIONS.get(self.target)
        if name is None or self.args[:1] != (Slot(0),):
            return None
        slope = float(self.args[1]) if len(self.args) > 1 else DEFAULT_SLOPE
        return Activation(name, (slope,) if name == "leaky_relu" else ())


def pointwise(request: Request) -> Built:
    """Any elementwise operator, with broadcasting: dimensions are matched from the last one."""
    rank = len(request.shape)
    dims: list[tuple[int, ...]] = [()] * rank
    for image in request.images:
        shift = rank - len(image.value.shape)
        for d, axes in enumerate(image.value.dims):
            if axes and dims[shift + d] and dims[shift + d] != axes:
                raise Unsupported("it combines one spatial axis with another")
            dims[shift + d] = axes or dims[shift + d]
    for image in request.images:
        shift = rank - len(image.value.shape)
        if any(dims[shift + d] and not axes and image.value.shape[d] > 1 for d, axes in enumerate(image.value.dims)):
            raise Unsupported("it combines positions with numbers that have lost theirs, one for each position")
    built = stored(request, tuple(dims), Pointwise)
    for item in flatten((request.args, tuple(request.kwargs.values()))):
        if isinstance(item, Constant):
            _refuse_whole_constants(item, request, tuple(dims))
    return built


def _refuse_whole_constants(constant: Constant, request: Request, dims: Dims) -> None:
    shift = len(request.shape) - constant.tensor.dim()
    for d, size in enumerate(constant.tensor.shape):
        if dims[shift + d] and size > 1:
            raise Unsupported("it uses a constant as large as the image in a way that is not known here")


def is_pointwise(target: str) -> bool:
    """Whether torch says that an operator treats every element by itself."""
    try:
        return torch.Tag.pointwise in resolve(target).tags
    except AttributeError:
        return False


def broadcast_dims(request: Request) -> Dims:
    """The output's dimensions where those of all images are matched from the last one."""
    dims: list[tuple[int, ...]] = [()] * len(request.shape)
    for image in request.images:
        shift = len(dims) - len(image.value.dims)
        for d, axes in enumerate(image.value.dims):
            dims[shift + d] = axes or dims[shift + d]
    return tuple(dims)


def copy_of(image: ImageArgument, request: Request) -> Built:
    """The image itself."""
    plain = Request("aten.clone.default", (image,), {}, request.shape, request.dtype, request.ndim)
    return stored(plain, image.value.dims, Pointwise)


def prelu(request: Request) -> Built:
    """Its slopes lie along dimension 1, so they are not broadcast from the last one."""
    request.constant(1, "slope")
    return stored(request, request.image().value.dims, Pointwise)


def by_table(request: Request) -> Built:
    """Comparing every element with a constant list of numbers."""
    if not isinstance(request.arg(1), Constant):
        raise Unsupported("its list of numbers is computed from the image")
    return stored(request, request.image().value.dims)


def by_sorted_table(request: Request) -> Built:
    """aten.searchsorted(sorted list, input)."""
    numbers = request.arg(0)
    if not isinstance(numbers, Constant) or numbers.tensor.dim() != 1:
        raise Unsupported("its sorted numbers are computed from the image, or are several lists")
    return stored(request, request.image(1).value.dims)


TAGGED = Operator(pointwise, constant_dims=broadcast_dims, broadcasts=True)
"""For all those that torch tags."""

OPERATORS: Operators = {
    **{name: TAGGED if is_pointwise(name) else Operator(pointwise) for name in sorted(UNTAGGED)},
    "aten.bucketize.Tensor": Operator(by_table),
    "aten.searchsorted.Tensor": Operator(by_sorted_table),
    "aten.isin.Tensor_Tensor": Operator(by_table),
    "aten.prelu.default": Operator(prelu, broadcasts=True),
}
