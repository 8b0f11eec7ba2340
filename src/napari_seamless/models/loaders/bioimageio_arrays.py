"""The arrays that a bioimage.io package brings to be tested with."""

from __future__ import annotations

import io
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_seamless.errors import ModelError
from napari_seamless.models.loaders.bioimageio_axes import to_ours

RELATIVE, ABSOLUTE = 1e-3, 1e-3
"""How far a value may be off: as a share of itself, and as a share of the largest."""
LONGEST_NAME = 255
"""Bytes; longer ones are refused by most systems."""
LIMIT = 2**29
"""Bytes of an array beyond which it is not worth the time."""


def check_arrays(module: nn.Module, folder: Path, image: Any, result: Any, name: str) -> str:
    """Run the test input and compare with the test output; say what was found. Raises ModelError where they differ."""
    given, wanted = (_array(folder, tensor) for tensor in (image, result))
    if given is None or wanted is None:
        return "not checked: the package has no test arrays on disk"
    try:
        made, y = _made(module, given, image, wanted, result)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise _differs(name, f"an error for it: {error}") from error
    if made.shape != y.shape:
        raise _differs(name, f"an output of {_times(made)}, not of {_times(y)}")
    off = (made - y).abs()
    if bool((off > RELATIVE * y.abs() + ABSOLUTE * float(y.abs().max())).any()):
        raise _differs(name, f"values that are off by up to {float(off.max()):.3g}")
    return f"against the package's own test arrays: off by at most {float(off.max()):.1e}"


def _made(
    module: nn.Module, given: NDArray[Any], image: Any, wanted: NDArray[Any], result: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the network makes of the test input, and the test output, axes alike."""
    x = to_ours(torch.from_numpy(given.astype(np.float32)), [str(axis.id) for axis in image.axes])
    y = to_ours(torch.from_numpy(wanted.astype(np.float64)), [str(axis.id) for axis in result.axes])
    if "channel" not in {str(axis.id) for axis in image.axes}:
        x = x.unsqueeze(1)
    with torch.inference_mode():
        # one at a time, as images come
        return torch.cat([module(one.unsqueeze(0)) for one in x]).double(), y


def path_in(folder: Path, name: str) -> Path | None:
    """Where a package's folder has a file of this name; None for what is no name, or leads out of the folder."""
    if not 0 < len(name.encode()) <= LONGEST_NAME or "://" in name or "\0" in name:
        return None
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder.resolve()) else None


def _array(folder: Path, tensor: Any) -> NDArray[Any] | None:
    described = tensor.test_tensor
    name = "" if described is None else str(getattr(described.source, "path", described.source))
    path = path_in(folder, name)
    if path is None or not path.is_file() or path.stat().st_size > LIMIT:
        return None
    try:
        found: NDArray[Any] = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except (ValueError, OSError, EOFError, MemoryError, TypeError, SyntaxError, TokenError) as error:
        raise ModelError(
            f"a test array is a .npy file of numbers; {name} of the package is not: {error}; download it again"
        ) from error
    return found


def _differs(name: str, how: str) -> ModelError:
    return ModelError(
        f"a package must give its own test output; {name} gives {how}; its weights, processing or arrays do not belong "
        "together, ask its author"
    )


def _times(tensor: torch.Tensor) -> str:
    return " x ".join(str(n) for n in tensor.shape)
