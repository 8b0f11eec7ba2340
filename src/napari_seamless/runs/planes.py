"""One network on many planes: which networks want a plane, and the same program on the next one."""

from __future__ import annotations

from typing import Any

from napari_seamless.errors import InputMismatch
from napari_seamless.io.readers import open_image
from napari_seamless.models import Model
from napari_seamless.models.model import ANY_NDIM
from napari_seamless.runs.channels import by_name
from napari_seamless.runs.prepared import Prepared

WEIGHT_AXES = {4: 2, 5: 3}
"""Axes of a convolution's weights (out, in, [z,] y, x), and the spatial ones of what it runs on."""


def spatial_axes(model: Model) -> int | None:
    """How many spatial axes a network's image has, 2 or 3: as its author says, else by its convolutions' weights.

    None where neither tells.
    """
    if model.card.get("ndim") != ANY_NDIM:
        return model.ndim
    found = {WEIGHT_AXES[tensor.ndim] for tensor in model.module.parameters() if tensor.ndim in WEIGHT_AXES}
    return max(found, default=None)


def with_image(prepared: Prepared, image: Any) -> Prepared:
    """The same program on another image of the same size, channels and type: the next plane of a stack, for example.

    Nothing is traced again. `image` is whatever `open_image` takes. Raises InputMismatch where it is not alike.
    """
    source = by_name(open_image(image), prepared.model.input_names)
    one, other = prepared.source.info, source.info
    for what, before, now in (
        ("size", one.levels.shape(prepared.level), other.levels.shape(prepared.level)),
        ("channels", one.channels, other.channels),
        ("type", one.dtype.name, other.dtype.name),
        ("pixel size", one.pixel_size, other.pixel_size),
    ):
        if before != now:
            raise InputMismatch(
                f"a program is for images of one size, type and pixel size; '{other.name}' has the {what} {now}, not "
                f"{before}; prepare it anew"
            )
    return prepared.with_source(source)
