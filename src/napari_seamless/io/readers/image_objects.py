"""Images that live in other programs' objects: napari layers, AICSImage and BioImage. Known by what they can do, so
that none of these packages is imported here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_seamless.io.readers.array import ArraySource, open_arrays
from napari_seamless.io.readers.declared_range import range_of_bits
from napari_seamless.io.readers.ome_objects import channel_colours_of, origin_of, significant_bits_of, unit_of
from napari_seamless.io.readers.scenes import Scene, chosen, only, with_scenes
from napari_seamless.units import full_name

LARGE = 1 << 26


def is_layer(what: Any) -> bool:
    """Whether `what` behaves as a napari image or labels layer.

    `data` is not asked first: some arrays raise there (those of numpy with dates).
    """
    return all(hasattr(what, name) for name in ("multiscale", "data", "scale", "name"))


def open_layer(layer: Any, axes: str | None) -> ArraySource:
    """A napari layer's data, with its name, its scale as pixel size (none when the layer's unit is the pixel) and
    its translation as origin."""
    arrays = tuple(layer.data) if layer.multiscale else (layer.data,)
    rgb = getattr(layer, "rgb", None)
    source = open_arrays(arrays, axes=axes, rgb=rgb, name=str(layer.name), format="napari layer")
    opened = getattr(getattr(layer, "source", None), "path", None)
    source = replace(source, files=(Path(opened),) if opened else ())
    letters = _displayed(source, rgb)
    unit = _unit(layer, letters.index("x") - len(letters))
    sizes = dict(zip(letters, (float(s) for s in layer.scale), strict=False))
    spatial = source.layouts[0].spatial
    if any(letter not in sizes for letter in spatial):
        return source
    pixel_size = tuple(sizes[letter] for letter in spatial)
    moved = dict(zip(letters, (float(t) for t in getattr(layer, "translate", ())), strict=False))
    origin = tuple(moved.get(letter, 0.0) for letter in spatial)
    if unit == "pixel":
        steps = zip(origin, pixel_size, strict=True)
        return replace(source, info=replace(source.info, origin=_unless_zero(tuple(at / s for at, s in steps))))
    placed = replace(source.info, pixel_size=pixel_size, unit=unit, origin=_unless_zero(origin))
    return replace(source, info=placed)


def _unless_zero(origin: tuple[float, ...]) -> tuple[float, ...]:
    return origin if any(origin) else ()


def _displayed(source: ArraySource, rgb: bool | None) -> str:
    """The letters of the axes that a layer has a scale for: all but the colours of an RGB layer."""
    letters = source.layouts[0].axes
    return letters[:-1] if rgb else letters


def _unit(layer: Any, axis: int) -> str:
    """The unit of an axis, counted from the last one."""
    units = getattr(layer, "units", None) or ()
    name = str(units[axis]) if len(units) >= -axis else "pixel"
    return full_name(name)


def is_bioimage(what: Any) -> bool:
    """Whether `what` behaves as an AICSImage or a BioImage."""
    return all(hasattr(what, name) for name in ("get_image_dask_data", "dims", "physical_pixel_sizes"))


def open_bioimage(
    image: Any, axes: str | None, *, scene: Scene = None, name: str = "", identity: str | None = None
) -> ArraySource:
    """A scene (None: the current one) of an AICSImage or BioImage, at its first time point (`at_time` for others).

    Its dask arrays have one chunk a plane: every region read of a plane computes the whole plane, which is slow for
    planes that are large. `axes` is not needed: the object names its axes (given all the same, it must fit them).
    """
    names = tuple(str(s) for s in getattr(image, "scenes", ()))
    name = name or type(image).__name__
    before = getattr(image, "current_scene_index", 0)
    if len(names) < 2:
        only(scene, name)
        return _open_current(image, axes, name, identity)
    number = before if scene is None else chosen(scene, names, name)
    image.set_scene(number)
    try:
        source = _open_current(image, axes, name, f"{identity} scene {number}" if identity and number else identity)
    finally:
        image.set_scene(before)
    return replace(source, info=with_scenes(source.info, names, number, is_chosen=scene is not None))


def _open_current(image: Any, axes: str | None, name: str, identity: str | None) -> ArraySource:
    order = str(image.dims.order)
    letters = "".join(letter for letter in "TCZYXS" if letter in order)
    for letter in "TZ":
        if letter in letters and int(getattr(image.dims, letter)) == 1:
            letters = letters.replace(letter, "")
    if axes is not None and "t" not in axes.lower():
        letters = letters.replace("T", "")
    arrays = tuple(_level(image, level, letters) for level in getattr(image, "resolution_levels", None) or (0,))
    sizes = image.physical_pixel_sizes
    by_letter = {"z": sizes.Z, "y": sizes.Y, "x": sizes.X}
    unit = unit_of(image)
    spatial = [by_letter[letter.lower()] for letter in letters if letter in "ZYX"]
    source = open_arrays(
        arrays,
        axes=letters.lower() if axes is None else axes,
        name=name,
        pixel_size=tuple(float(s or 0) for s in spatial) if all(spatial[-2:]) else None,
        unit=unit,
        origin=origin_of(image, "".join(letter.lower() for letter in letters if letter in "ZYX"), by_letter, unit),
        channel_colours=channel_colours_of(image),
        channel_names=tuple(str(c) for c in getattr(image, "channel_names", None) or ()),
        format="bioio",
        identity=identity,
        notices=_notices(name, *(int(arrays[0].shape[letters.index(letter)]) for letter in "YX")),
    )
    used = range_of_bits([significant_bits_of(image)], source.info.dtype)
    return replace(source, info=replace(source.info, value_range=used))


def _notices(name: str, height: int, width: int) -> tuple[str, ...]:
    if height * width < LARGE:
        return ()
    return (
        f"{name} has planes of {height} x {width} pixels, each of which is read whole for every view and tile; save "
        "it as tiled TIFF or OME-Zarr to make reading many times faster",
    )


def _level(image: Any, level: int, letters: str) -> Any:
    """One level's dask array; the object's own current level is put back, since it belongs to the caller."""
    if not hasattr(image, "set_resolution_level"):
        return image.get_image_dask_data(letters)
    before = image.current_resolution_level
    image.set_resolution_level(level)
    try:
        return image.get_image_dask_data(letters)
    finally:
        image.set_resolution_level(before)
