"""Where the pixels of a network's output lie on those of the image, and so on the mask's."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from napari_seamless.errors import InputMismatch
from napari_seamless.program.demand import centre
from napari_seamless.program.graph import Program

Position = tuple[int, ...]


def origin_of(program: Program) -> Position:
    """The image's pixel under the first pixel of the output, ((z,) y, x); half pixels are rounded up.

    Raises InputMismatch where a step in the output is not a pixel of the image.
    """
    lines = centre(program)
    if any(scale != 1 for scale, _ in lines):
        steps = " x ".join(f"{scale:g}" for scale, _ in lines)
        raise InputMismatch(
            f"a network learns from masks if its output has a pixel for each one of the image; this network's pixels "
            f"are {steps} of the image's; enlarge its output, or choose another network"
        )
    return tuple(math.floor(offset + 0.5) for _, offset in lines)


def crop_to_output(target: Tensor, output: Tensor, origin: Sequence[int]) -> Tensor:
    """The part of targets (n, [k,] [z,] y, x) that lies under an output (n, k, [z,] y, x), which may be smaller."""
    for k, (first, size) in enumerate(zip(origin, output.shape[2:], strict=True)):
        target = target.narrow(target.dim() - len(origin) + k, first, size)
    return target
