"""In which precision products are taken: float32, or a lower one where a device is quicker with it.

| precision | products | range |
|---|---|---|
| float32 | 24 bits, summed in float32 | to 3e38 |
| tf32 | 11 bits, summed in float32; on CUDA devices since 2020 | to 3e38 |
| bfloat16 | 8 bits, and so are the values between layers | to 3e38 |
| float16 | 11 bits, and so are the values between layers | to 65504 |

What a device cannot do falls back to float32, with a notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Literal, get_args

import torch
import torch.nn.functional as F

from napari_seamless.errors import BadRequest, DeviceUnavailable
from napari_seamless.runtime.engine._compat import has_instructions

Precision = Literal["float32", "tf32", "bfloat16", "float16"]
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
TF32_SINCE = (8, 0)
"""Compute capability."""

_of_cuda = Lock()
"""torch's switches for CUDA hold for the whole process."""

Ability = Callable[[torch.device, torch.dtype], bool]


@dataclass(frozen=True)
class EffectivePrecision:
    """The precision that a run really has, and what a person should know about that ("" for nothing)."""

    precision: Precision
    notice: str = ""

    @property
    def dtype(self) -> torch.dtype | None:
        """What values between layers are rounded to; None for not at all."""
        return DTYPES.get(self.precision)


def checked_precision(name: str) -> Precision:
    """The name, if it is one. Raises BadRequest."""
    if name not in get_args(Precision):
        raise BadRequest(f"a precision is one of {', '.join(get_args(Precision))}; got {name!r}; use float32 if unsure")
    return name  # type: ignore[return-value]


def settle_precision(
    wanted: Precision,
    device: torch.device,
    *,
    has_tf32: Callable[[torch.device], bool] | None = None,
    can: Ability | None = None,
    is_quick: Ability | None = None,
) -> EffectivePrecision:
    """What `device` can do of what is wanted. What it can is found by trying; the last three are for tests."""
    if wanted == "float32":
        return EffectivePrecision(wanted)
    if wanted == "tf32":
        if (has_tf32 or _has_tf32)(device):
            return EffectivePrecision(wanted)
        return EffectivePrecision("float32", f"{_named(device)} has no tf32: computed in float32, which is not rounded")
    dtype = DTYPES[wanted]
    if not (can or can_multiply)(device, dtype):
        return EffectivePrecision(
            "float32", f"{_named(device)} computes no {wanted}: computed in float32, which is not rounded"
        )
    if not (is_quick or _is_quick)(device, dtype):
        return EffectivePrecision(
            wanted,
            f"{_named(device)} has no instructions for {wanted}: rounded as where there are some, but no quicker",
        )
    return EffectivePrecision(wanted)


def check_float64(device: torch.device, *, can: Ability | None = None) -> None:
    """Refuse a device for a float64 network that it cannot compute. Raises DeviceUnavailable."""
    if not (can or can_multiply)(device, torch.float64):
        raise DeviceUnavailable(
            f"a network of float64 values needs a device that computes them; {_named(device)} does not; use the cpu, "
            "or convert the network with module.float()"
        )


def can_multiply(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a small convolution of this type runs on the device."""
    try:
        with torch.inference_mode():
            image, weight = (torch.ones(shape, dtype=dtype, device=device) for shape in ((1, 1, 4, 4), (1, 1, 3, 3)))
            return float(F.conv2d(image, weight)[0, 0, 0, 0]) == 9
    except (RuntimeError, TypeError, NotImplementedError):
        return False


@contextmanager
def arithmetic(device: torch.device, *, tf32: bool = False) -> Iterator[None]:
    """float32 means float32, or TF32 where that is wanted, in convolutions and matrix products, while this holds.

    On CUDA one engine of the process computes at a time, since another might want the other.
    """
    if device.type != "cuda":
        yield
        return
    with _of_cuda:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        try:
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=tf32):
                yield
        finally:
            torch.set_float32_matmul_precision(before)


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= TF32_SINCE


def _is_quick(device: torch.device, dtype: torch.dtype) -> bool:
    return device.type != "cpu" or has_instructions(dtype)


def _named(device: torch.device) -> str:
    return "this CPU" if device.type == "cpu" else f"the device {device}"
