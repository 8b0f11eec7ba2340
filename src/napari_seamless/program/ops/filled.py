"""Tensors full of one number, of which nothing but shape and dtype follow from the image: constants."""

from __future__ import annotations

from napari_seamless.program.ops.request import (
    Built,
    Operator,
    Operators,
    Request,
)


def _never(request: Request) -> Built:
    raise AssertionError(f"{request.target} becomes a constant")


def _full(request: Request) -> float:
    """aten.full(size, fill value)."""
    number: float = request.arg(1)
    return number


def _new_full(request: Request) -> float:
    """aten.new_full(input, size, fill value)."""
    number: float = request.arg(2)
    return number


ZEROS, ONES = Operator(_never, fill=lambda _: 0), Operator(_never, fill=lambda _: 1)

OPERATORS: Operators = {
    "aten.new_zeros.default": ZEROS,
    "aten.new_empty.default": ZEROS,
    "aten.new_full.default": Operator(_never, fill=_new_full),
    "aten.new_ones.default": ONES,
    "aten.zeros.default": ZEROS,
    "aten.zero.default": ZEROS,
    "aten.ones.default": ONES,
    "aten.full.default": Operator(_never, fill=_full),
}
