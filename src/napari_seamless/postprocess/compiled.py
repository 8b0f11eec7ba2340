"""Compiles loops over pixels. Imported where they are needed, since the compiler takes a while to load."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compile a function when it is first called, and keep the machine code for later processes if some folder can be
    written to."""
    try:
        return cast(Kernel, numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:  # numba found no folder to keep it in
        return cast(Kernel, numba.njit(nogil=True)(function))
