"""What a program must know, beyond running, to be trained: how constants follow from weights, and what a step changes.

For inference everything that depends on weights alone is computed once. While a network learns its weights change, and
gradients have to find their way back to them, so a program that was traced for training keeps the recipes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_seamless.program.ops.dropout import drawn, key_of
from napari_seamless.program.ops.local import Weight, weights_of
from napari_seamless.program.ops.operation import resolve


@dataclass(frozen=True)
class DerivedConstant:
    """Constant `name` is a call of torch's `target`, whose arguments name other constants.

    Where `draws` is a number it is the layer's in the counting of random draws, and the call draws random numbers.
    """

    name: str
    target: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...] = ()
    part: int | None = None
    draws: int | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The constants that it is made of."""
        return (*weights_of(self.args), *weights_of(tuple(v for _, v in self.kwargs)))


@dataclass(frozen=True)
class RunningStatistics:
    """Statistics that a normalisation stores: buffers `mean` and `variance` follow the moments measured by a barrier.

    `barrier` is the barrier's value, `path` the layer's name.
    """

    barrier: int
    mean: str
    variance: str
    momentum: float
    path: str


@dataclass(frozen=True)
class TrainingConstants:
    """`recipes` in the order in which they can be made, `running` statistics, and `written`: (buffer, constant)."""

    recipes: tuple[DerivedConstant, ...] = ()
    running: tuple[RunningStatistics, ...] = ()
    written: tuple[tuple[str, str], ...] = ()

    def needed(self, names: Iterable[str]) -> tuple[DerivedConstant, ...]:
        """The recipes that the constants `names`, or written buffers, are made by."""
        wanted = {*names, *(constant for _, constant in self.written)}
        found = []
        for recipe in reversed(self.recipes):
            if recipe.name in wanted:
                wanted.update(recipe.needs)
                found.append(recipe)
        return tuple(reversed(found))


def derive(
    recipes: Sequence[DerivedConstant], constants: Mapping[str, Tensor], seed: int, step: int
) -> dict[str, Tensor]:
    """The constants that `recipes` make of others, with gradients where those have some."""
    known = dict(constants)
    made: dict[str, Tensor] = {}
    for recipe in recipes:
        args = [_filled(a, known) for a in recipe.args]
        if recipe.draws is not None:
            result = drawn(recipe.target, args, key_of(seed, step, recipe.draws))
        else:
            result = resolve(recipe.target)(*args, **{k: _filled(v, known) for k, v in recipe.kwargs})
        known[recipe.name] = made[recipe.name] = result if recipe.part is None else result[recipe.part]
    return made


def _filled(item: Any, known: Mapping[str, Tensor]) -> Any:
    if isinstance(item, Weight):
        return known[item.name]
    return [_filled(i, known) for i in item] if isinstance(item, tuple) else item


def is_random(target: str) -> bool:
    """Whether torch says that an operator draws random numbers."""
    try:
        return torch.Tag.nondeterministic_seeded in resolve(target).tags
    except AttributeError:
        return False
