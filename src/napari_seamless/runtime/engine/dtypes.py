"""How a result is stored: as computed, but for those types that image files do not have."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

_STORED = {
    torch.bool: torch.uint8,
    torch.int64: torch.int32,
    torch.bfloat16: torch.float32,
    torch.float16: torch.float32,
}


def storable(dtype: torch.dtype) -> torch.dtype:
    """The type that pixels computed in `dtype` are handed over in."""
    return _STORED.get(dtype, dtype)


def stored_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    """The same as numpy's."""
    return np.dtype(str(storable(dtype)).removeprefix("torch."))
