"""How a result is stored: as computed, but for those types that image files do not have."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from napari_seamless.errors import InputMismatch
from napari_seamless.program.graph import Program
from napari_seamless.program.whole_numbers import fits_32_bits

_STORED = {
    torch.bool: torch.uint8,
    torch.int64: torch.int32,
    torch.bfloat16: torch.float32,
    torch.float16: torch.float32,
}


def storable(dtype: torch.dtype) -> torch.dtype:
    """The type that pixels computed in `dtype` are handed over in, where they are known to fit it."""
    return _STORED.get(dtype, dtype)


def storable_output(program: Program) -> torch.dtype:
    """The type in which a program's output is handed over: int64 where its whole numbers may need it."""
    dtype = program.values[program.output].dtype
    return dtype if dtype == torch.int64 and not fits_32_bits(program) else storable(dtype)


def require_storable(result: torch.Tensor) -> None:
    """Refuse whole numbers that the type they are stored in cannot hold. Raises InputMismatch."""
    stored = storable(result.dtype)
    if stored == result.dtype or stored.is_floating_point or result.dtype == torch.bool or not result.numel():
        return
    low, high = (int(n) for n in result.aminmax())
    limits = torch.iinfo(stored)
    if low < limits.min or high > limits.max:
        raise InputMismatch(
            f"whole numbers of an approximate result are stored in {limits.bits} bits, {limits.min} to {limits.max}; "
            f"got {low if low < limits.min else high} from the network; let it number from 1"
        )


def stored_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    """The same as `storable`, as numpy's."""
    return _as_numpy(storable(dtype))


def stored_dtype_of(program: Program) -> np.dtype[Any]:
    """The same as `storable_output`, as numpy's."""
    return _as_numpy(storable_output(program))


def _as_numpy(dtype: torch.dtype) -> np.dtype[Any]:
    return np.dtype(str(dtype).removeprefix("torch."))
