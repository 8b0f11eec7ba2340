"""What pixel values mean: the range that a model was made for, and that of an image, which is scaled to it.

The same picture lies in files with 8 bits, with 16 (times 257), or as float from 0 to 1. Where the type or the values
themselves leave no doubt, they are scaled by a module in front of the model, which is traced with it; where they leave
some, that is told; and where nothing is known, the image is refused until somebody says what black and white are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from torch import nn

from napari_seamless.errors import BadRequest, InputDamaged, InputMismatch, SetValueRange
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Source
from napari_seamless.models import Model
from napari_seamless.models.preprocessing.scaling import FixedScale, Linear

Range = tuple[float, float]

EIGHT_BITS, SIXTEEN_BITS, UNIT = (0.0, 255.0), (0.0, 65535.0), (0.0, 1.0)
REPEATED_BYTE = 257
"""What 8-bit values are multiplied by to fill 16 bits."""
SAMPLE_EDGE, SAMPLE_DEPTH = 512, 4


def in_value_range(model: Model, source: Source, level: int, given: Sequence[float] | None) -> Model:
    """The model for the values of an image, with scaling in front where that has another range.

    `given` is what black and white are in the image. May read a few places of the image. Raises InputMismatch where the
    range is not known, and BadRequest.
    """
    wanted = model.value_range
    if wanted is None:
        if given is not None:
            raise BadRequest(
                f"value_range (--value-range) is for models that say what values they were made for; '{model.name}' "
                "does not; leave it out, and scale the image as the model wants it"
            )
        return model
    found, doubt = (checked_range(given), "as asked for") if given is not None else _range_of(model, source, level)
    if found == wanted:
        notice = f"values of type {source.info.dtype} are taken as {_text(wanted)}, {doubt}" if doubt else ""
        return replace(model, value_range=None, notices=(*model.notices, *([notice] if notice else [])))
    (low, high), (first, last) = found, wanted
    scale: list[nn.Module] = [FixedScale(low, (high - low) / (last - first))]
    shift = [Linear(1.0, first)] if first else []
    told = f", {doubt}" if doubt else ""
    notice = f"'{model.name}' was made for values {_text(wanted)}: the image's {_text(found)} are scaled to these{told}"
    module = nn.Sequential(*scale, *shift, model.module).eval()
    return replace(model, module=module, value_range=None, notices=(*model.notices, notice))


def checked_range(given: Sequence[float]) -> Range:
    """Two numbers, the smaller one first. Raises BadRequest."""
    numbers = tuple(map(float, given))
    if len(numbers) != 2 or not -np.inf < numbers[0] < numbers[1] < np.inf:
        raise BadRequest(f"a value range is two numbers, that of black and that of white; got {tuple(given)}")
    return numbers[0], numbers[1]


def _range_of(model: Model, source: Source, level: int) -> tuple[Range, str]:
    """The range of an image's values, and why, where that is more than its type. Raises InputMismatch."""
    wanted, dtype, said = model.value_range or EIGHT_BITS, source.info.dtype, source.info.value_range
    if dtype == np.bool_:
        return UNIT, ""
    if dtype == np.uint8:
        return EIGHT_BITS, ""
    if dtype == np.uint16 and wanted == SIXTEEN_BITS and said is None:
        return SIXTEEN_BITS, ""
    low, high, is_repeated = _looked_at(source, level)
    if said is not None:
        if high <= said[1]:
            return said, f"as its file says ({int(said[1]).bit_length()} of {dtype.itemsize * 8} bits are used)"
        raise InputMismatch(
            f"an image must keep to the values that its file declares, {_text(said)}; '{source.info.name}' has values "
            f"up to {high:g}",
            remedies=(SetValueRange(),),
        )
    if dtype == np.uint16 and is_repeated:
        return SIXTEEN_BITS, "since all are multiples of 257, as 8-bit values in 16 bits are"
    if dtype.kind == "f" and low >= 0 and high <= 1:
        return UNIT, "" if wanted == UNIT else f"since none that was looked at is above {high:g}"
    if wanted[0] <= low and high <= wanted[1]:
        return wanted, f"since those that were looked at go from {low:g} to {high:g}"
    raise InputMismatch(
        f"model '{model.name}' was made for pixel values {_text(wanted)}; '{source.info.name}' has {dtype} from "
        f"{low:g} to {high:g}, and nothing says what black and white are in it",
        remedies=(SetValueRange(),),
    )


def _looked_at(source: Source, level: int) -> tuple[float, float, bool]:
    """Smallest and largest of the values at some places, and whether all are multiples of 257."""
    low, high, is_repeated = np.inf, -np.inf, True
    for values, is_own_level in _samples(source, level):
        low, high = min(low, float(values.min())), max(high, float(values.max()))
        if is_own_level and values.dtype.kind in "ui":
            is_repeated = is_repeated and not (values % REPEATED_BYTE).any()
    return (low, high, is_repeated and high > 0) if high >= low else (0.0, 0.0, False)


def _samples(source: Source, level: int) -> Iterator[tuple[NDArray[np.generic], bool]]:
    """Finite values of nine places of the level, and of the coarsest one, whose values are means of others."""
    coarsest = len(source.info.levels.shapes) - 1
    for at in dict.fromkeys((level, coarsest)):
        for region in _places(source.info.levels.shape(at)):
            try:
                pixels = source.read(region, at)
            except InputDamaged:
                continue  # the run says so
            values = pixels[np.isfinite(pixels)]
            if values.size:
                yield values, at == level


def _places(shape: Sequence[int]) -> Iterator[Region]:
    """At the start, the middle and the end of each axis; of a short one, all of it."""
    edges = [SAMPLE_DEPTH, SAMPLE_EDGE, SAMPLE_EDGE][-len(shape) :]
    spans = []
    for size, edge in zip(shape, edges, strict=True):
        starts = (0,) if size <= edge else (0, (size - edge) // 2, size - edge)
        spans.append([(lo, min(lo + edge, size)) for lo in starts])
    return (Region.of(*place) for place in product(*spans))


def _text(span: Range) -> str:
    return f"{span[0]:g} to {span[1]:g}"
