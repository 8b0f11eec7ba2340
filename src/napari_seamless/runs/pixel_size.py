"""How large an image's pixels are, and a model for pixels of that size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_seamless.errors import BadRequest, PixelSizeUnknown
from napari_seamless.interfaces import ImageInfo
from napari_seamless.models import Model
from napari_seamless.models.model import Resolution
from napari_seamless.units import micrometres_in

PixelSize = float | Sequence[float]
"""Micrometres per level-0 pixel, one number for all axes or ((z,) y, x)."""


def at_resolution(model: Model, info: ImageInfo, level: int, pixel_size: PixelSize | None) -> Model:
    """The model as it is run on a level of an image: with resampling, where it works at another pixel size.

    Raises PixelSizeUnknown where the size must be known and neither the image nor `pixel_size` says, and BadRequest.
    """
    given = None if pixel_size is None else _checked(pixel_size, info.ndim)
    if model.resolution is None:
        return model
    size = given or in_micrometres(info)
    if size is None and not model.resolution.required:
        return replace(model, resolution=None, notices=(*model.notices, _taken_as_it_is(model.resolution, info)))
    if size is None:
        wanted = " x ".join(f"{s:g}" for s in model.resolution.pixel_size)
        raise PixelSizeUnknown(
            f"model '{model.name}' works at {wanted} um per pixel, so the image's pixel size must be known; "
            f"'{info.name}' does not say it",
            model=model.name,
            image=info.name,
            works_at=tuple(model.resolution.pixel_size),
        )
    here = tuple(s * float(scale) for s, scale in zip(size, info.levels.scale(level), strict=True))
    ratio = model.resolution.ratio_at(here)
    module = model.module if ratio is None else model.resolution.resampled(ratio)
    return replace(model, resolution=None, ratio=ratio, module=module)


def in_micrometres(info: ImageInfo) -> tuple[float, ...] | None:
    """The pixel size that an image states; None where it states none, or in a unit that is no length."""
    factor = micrometres_in(info.unit)
    if info.pixel_size is None or factor is None or min(info.pixel_size) <= 0:
        return None
    return tuple(size * factor for size in info.pixel_size)


def _taken_as_it_is(resolution: Resolution, info: ImageInfo) -> str:
    sizes, share = resolution.pixel_size, resolution.tolerance
    low, high = min(sizes) * (1 - share), max(sizes) * (1 + share)
    return (
        f"'{info.name}' does not say how large its pixels are, so it was taken as one of {low:.2g} to {high:.2g} um "
        "per pixel; say it with pixel_size=0.25 (--pixel-size 0.25) where they are others"
    )


def _checked(pixel_size: PixelSize, ndim: int) -> tuple[float, ...]:
    sizes = (float(pixel_size),) * ndim if isinstance(pixel_size, int | float) else tuple(map(float, pixel_size))
    if len(sizes) != ndim or not all(0 < size < float("inf") for size in sizes):
        raise BadRequest(
            f"a pixel size is micrometres per pixel, one number above zero or one for each of the image's {ndim} axes; "
            f"got {pixel_size}"
        )
    return sizes
