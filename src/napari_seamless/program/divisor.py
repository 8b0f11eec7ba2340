"""By which numbers a network wants its image's sizes to be divisible, found from the sizes that it makes of it.

A network of which a size is an eighth of the image's, exactly, may need multiples of eight. Which of these it does need
is tried out afterwards, a prime factor at a time: a network is free to round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from math import lcm
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

Divisor = int | tuple[int, ...]
"""One number for all axes, or one for each."""

ROUND = 2**7 * 3**2 * 5 * 7
"""A size with all small factors."""

MARKS = (11, 13, 17)
"""A further factor for each axis, by which its sizes are known again."""

LARGEST = 512
MOST_CALLS = 50_000

PRIMES = (2, 3, 5, 7)
TRIALS = (2, 4, 8, 16, 32, 64, 128, 3, 6, 12, 24, 48, 5, 10, 20, 7, 14, 28, 56, 9, 18, 11, 13, 15, 30)
"""For networks that take no image of such a size."""


class Sizes(TorchFunctionMode):
    """Notes the sizes of all that a network makes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[int] = set()
        self._calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._calls += 1
        if self._calls > MOST_CALLS:
            raise RuntimeError("it takes too many steps for an image of such a size")
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, tuple | list) else (result,):
            if isinstance(one, Tensor):
                self.found.update(one.shape)
        return result


def marked_sizes(ndim: int) -> tuple[int, ...]:
    """The image's sizes for which `of_sizes` can tell the axes apart."""
    return tuple(ROUND * MARKS[k] for k in range(ndim))


def of_sizes(found: Iterable[int], ndim: int) -> tuple[int, ...]:
    """What each axis may have to be divisible by, from the sizes of all that was made of an image of `marked_sizes`."""
    result = []
    for k, size in enumerate(marked_sizes(ndim)):
        others = [MARKS[j] for j in range(ndim) if j != k]
        own = [n for n in found if n % MARKS[k] == 0 and all(n % m for m in others)]
        parts = [Fraction(n, size).denominator for n in own]
        result.append(lcm(*(p for p in parts if p <= LARGEST and ROUND % p == 0)))
    return tuple(result)


Works = Callable[[Divisor, Sequence[int]], bool]
"""Whether a network takes an image of some sizes that is padded to a divisor."""


def smallest(guess: Sequence[int], sizes: Sequence[int], works: Works) -> Divisor | None:
    """The smallest divisors that work, from a guess that is a multiple of them, or by trying some; None if none does.

    Only axes of which the size is no multiple are tried: of others it makes no difference. A smaller divisor is tried
    on sizes that it pads in another way than the larger one does, axes with the same one together.
    """
    if not works(tuple(guess), sizes):
        return _tried(sizes, works)
    found = list(guess)
    for one in sorted(set(guess)):
        axes = [k for k, (n, own) in enumerate(zip(sizes, guess, strict=True)) if own == one and n % one]
        for prime in PRIMES:
            while axes and not found[axes[0]] % prime:
                less = [n // prime if k in axes else n for k, n in enumerate(found)]
                if not works(tuple(less), [_told_apart(*each) for each in zip(sizes, less, found, strict=True)]):
                    break
                found = less
    return unified(found, sizes)


def _tried(sizes: Sequence[int], works: Works) -> Divisor | None:
    """The first of some divisors that works also for sizes that it pads otherwise, or at least for these."""
    first = None
    for divisor in TRIALS:
        if works(divisor, sizes):
            if works(divisor, [n + divisor for n in sizes]):
                return divisor
            first = first or divisor
    return first


def _told_apart(size: int, less: int, more: int) -> int:
    """A size like this one that is padded to `less` in another way than to `more`."""
    return size + less if less != more and -(-size // less) * less % more == 0 else size


def unified(found: Sequence[int], sizes: Sequence[int]) -> Divisor:
    """One number where all axes can have the same one, with the same padding."""
    for one in sorted(set(found)):
        if all(n == one or (size % n == 0 and size % one == 0) for n, size in zip(found, sizes, strict=True)):
            return one
    return tuple(found)


def by_axis(divisor: Divisor, ndim: int) -> tuple[int, ...]:
    """One number for each axis."""
    return (divisor,) * ndim if isinstance(divisor, int) else divisor


def described(divisor: Divisor) -> str:
    """For messages: "8", or "10 (y) and 14 (x)"."""
    if isinstance(divisor, int):
        return str(divisor)
    return " and ".join(f"{n} ({axis})" for n, axis in zip(divisor, "zyx"[-len(divisor) :], strict=True))
