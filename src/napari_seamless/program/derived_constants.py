"""What a program must know, beyond running, to be trained: how constants follow from weights, and what a step changes.

For inference everything that depends on weights alone is computed once. In training weights change, and gradients have
to find their way back to them, so a program that was traced for training keeps how its constants are derived.
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
    """`derived` in the order in which they can be made, `running` statistics, and `written`: (buffer, constant)."""

    derived: tuple[DerivedConstant, ...] = ()
    running: tuple[RunningStatistics, ...] = ()
    written: tuple[tuple[str, str], ...] = ()

    def needed(self, names: Iterable[str]) -> tuple[DerivedConstant, ...]:
        """What the constants `names`, and written buffers, are made of."""
        wanted = {*names, *(constant for _, constant in self.written)}
        found = []
        for one in reversed(self.derived):
            if one.name in wanted:
                wanted.update(one.needs)
                found.append(one)
        return tuple(reversed(found))


def derive(
    derived: Sequence[DerivedConstant], constants: Mapping[str, Tensor], seed: int, step: int
) -> dict[str, Tensor]:
    """The constants `derived`, made of others, with gradients where those have some."""
    known = dict(constants)
    made: dict[str, Tensor] = {}
    for one in derived:
        args = [_filled(a, known) for a in one.args]
        if one.draws is not None:
            result = drawn(one.target, args, key_of(seed, step, one.draws))
        else:
            result = resolve(one.target)(*args, **{k: _filled(v, known) for k, v in one.kwargs})
        known[one.name] = made[one.name] = result if one.part is None else result[one.part]
    return made


def _filled(item: Any, known: Mapping[str, Tensor]) -> Any:
    if isinstance(item, Weight):
        return known[item.name]
    return [_filled(i, known) for i in item] if isinstance(item, tuple) else item


def draws(target: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call draws random numbers: not dropout of probability 0 or in eval mode, for example."""
    if not is_random(target):
        return False
    schema = resolve(target)._schema.arguments
    given = {a.name: a.default_value for a in schema} | dict(zip((a.name for a in schema), args, strict=False))
    given |= kwargs
    is_off = [given[name] is False for name in ("train", "training") if name in given]
    return not any(is_off) and not any(given[name] == 0 for name in ("p", "dropout_p") if name in given)


def is_random(target: str) -> bool:
    """Whether torch says that an operator draws random numbers."""
    try:
        return torch.Tag.nondeterministic_seeded in resolve(target).tags
    except AttributeError:
        return False
