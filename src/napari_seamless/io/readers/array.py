"""Arrays in memory or lazy ones (numpy, dask, zarr, anything that slices like them), and lists of them as a pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from napari_seamless.errors import InputUnreadable
from napari_seamless.fingerprints import digest_of
from napari_seamless.geometry import Levels, Region
from napari_seamless.interfaces import ImageInfo, Pixels
from napari_seamless.io.readers.axes import (
    AxisLayout,
    info_at,
    layout_of,
    named_axes,
    native,
    require_inside,
    require_time,
)
from napari_seamless.io.readers.files_behind import files_behind
from napari_seamless.io.readers.zarr_chunks import (
    chunks_newer,
    chunks_stamp,
    folder_of,
    is_zarr,
    metadata_digest,
    reopened,
)
from napari_seamless.units import MICROMETER


@dataclass(frozen=True)
class ArraySource:
    """Arrays, finest first, as a Source.

    Any thread; picklable when the arrays are. The arrays stay the caller's: they are never written to, and `close`
    leaves them alone.
    """

    info: ImageInfo
    arrays: tuple[Any, ...]
    layouts: tuple[AxisLayout, ...]
    files: tuple[Path, ...] = ()
    """More that the arrays are known to come from."""

    def read(self, region: Region, level: int = 0) -> Pixels:
        """A new array (c, [z,] y, x) of the type in `info`; `region` is ((z,) y, x) in pixels of `level`.

        Raises BadRequest outside the image, and what the array raises.
        """
        require_inside(self.info.levels.shape(level), region)
        return self.layouts[level].arranged(self.fetch(region, level))

    def fetch(self, region: Region, level: int) -> Pixels:
        """A region inside a level with the array's own axes: all of `read` that the array itself does."""
        return self.layouts[level].fetch(self.arrays[level], region)

    def at_time(self, time: int) -> ArraySource:
        """The same arrays at another time point, by its number from 0. Raises BadRequest where there is none."""
        require_time(time, self.layouts[0].times if "t" in self.layouts[0].axes else 0, self.info.name)
        layouts = tuple(replace(layout, time=time) for layout in self.layouts)
        return replace(self, info=info_at(self.info, time), layouts=layouts)

    def identity_now(self) -> str:
        """What `info.identity` would be if the arrays were opened now: another one where a zarr array was replaced."""
        try:
            now = identity_of([*map(reopened, self.arrays)])
        except (OSError, ValueError, KeyError, TypeError):  # as zarr names it that metadata are gone, or broken
            return ""
        return self.info.identity.replace(identity_of(self.arrays), now, 1)

    def pixel_digest(self, level: int = 0) -> str:
        """That of all pixels of a level that are read, where it is a numpy array; "" elsewhere."""
        if not _is_in_memory(self.arrays[level]):
            return ""
        return digest_of(self.fetch(Region.from_shape(self.info.levels.shape(level)), level))

    def fingerprint(self, region: Region, level: int = 0) -> str | None:
        """Of a zarr array in a folder, what the disk says of its chunks; "" for numpy, None for all others."""
        array = self.arrays[level]
        if _is_in_memory(array):
            return ""
        return chunks_stamp(array, self.layouts[level].index(region)) if is_zarr(array) else None

    def may_have_changed(self, region: Region, level: int, since: float) -> bool | None:
        """Of a zarr array at an address, as its server says; None for all others."""
        array = self.arrays[level]
        return chunks_newer(array, self.layouts[level].index(region), since) if is_zarr(array) else None

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """All that the arrays read from."""
        return files_behind(*self.arrays, *self.files)

    def close(self) -> None:
        """Nothing to give back: the arrays belong to the caller."""


def looks_like_array(what: object) -> bool:
    """Whether `what` has a shape and a dtype and can be sliced."""
    return all(hasattr(what, name) for name in ("shape", "dtype", "__getitem__"))


def open_arrays(
    arrays: Sequence[Any],
    *,
    axes: str | None = None,
    rgb: bool | None = None,
    name: str = "array",
    pixel_size: tuple[float, ...] | None = None,
    unit: str = MICROMETER,
    channel_names: tuple[str, ...] = (),
    channel_colours: tuple[str, ...] = (),
    origin: tuple[float, ...] = (),
    format: str = "array",
    identity: str | None = None,
    rgb_planes: bool = False,
    notices: tuple[str, ...] = (),
) -> ArraySource:
    """A Source over arrays of one image, finest first.

    `axes` has one letter an array axis (see `axes.py`); without it those are taken that the array names (`dims` of
    xarray), else they are inferred. `pixel_size` and `origin` belong to the spatial axes in (z,) y, x order.
    `rgb_planes` says that three separate channels are red, green and blue. Raises BadRequest for axes that cannot be,
    InputUnreadable for arrays that are not one image.
    """
    if not arrays:
        raise InputUnreadable("an image needs at least one array; got an empty list")
    letters = named_axes(getattr(arrays[0], "dims", None), len(arrays[0].shape)) if axes is None else axes
    first = layout_of(arrays[0].shape, dtype_of(arrays[0]), letters, rgb=rgb)
    layouts = tuple(AxisLayout(first.axes, tuple(int(n) for n in a.shape), first.rgb) for a in arrays)
    _require_one_image(arrays, layouts)
    info = ImageInfo(
        name=name,
        levels=Levels(tuple(layout.spatial_shape for layout in layouts)),
        channels=first.channels,
        dtype=native(dtype_of(arrays[0])),
        identity=f"{identity or identity_of(arrays)} {first.axes}{' rgb' if first.rgb else ''}",
        channel_names=channel_names if len(channel_names) == first.channels else (),
        channel_colours=channel_colours if len(channel_colours) == first.channels else (),
        origin=origin,
        rgb=first.rgb or (rgb_planes and first.channels == 3),
        pixel_size=pixel_size,
        unit=unit,
        format=format,
        notices=notices,
        times=first.times,
    )
    return ArraySource(info, tuple(map(_careful, arrays)), layouts)


def dtype_of(array: Any) -> np.dtype:
    """The numpy type of an array-like; InputUnreadable where it has none (a torch tensor, for example)."""
    try:
        dtype: np.dtype = np.dtype(array.dtype)
    except TypeError:
        raise InputUnreadable(
            f"an array must have a numpy data type; got {array.dtype} of {type(array).__name__}; "
            "convert it with numpy.asarray"
        ) from None
    return dtype


def identity_of(arrays: Sequence[Any]) -> str:
    """What arrays are, without their pixels: kind, shape and type, and of zarr arrays what is said of their storage."""
    first = arrays[0]
    described_by = f"{type(first).__module__}.{type(first).__qualname__}:{tuple(first.shape)}:{first.dtype}"
    if not is_zarr(first):
        return described_by
    return f"{described_by}:{folder_of(first) or ''}:{metadata_digest(*filter(is_zarr, arrays))}"


def _careful(array: Any) -> Any:
    """An array whose damaged chunks raise errors."""
    if not is_zarr(array):
        return array
    from napari_seamless.io.blosc_frames import with_whole_frames  # loads zarr, which such an array has done already

    return with_whole_frames(array)


def _is_in_memory(array: Any) -> bool:
    return isinstance(array, np.ndarray) and not isinstance(array, np.memmap)


def _require_one_image(arrays: Sequence[Any], layouts: Sequence[AxisLayout]) -> None:
    """Levels must agree in axes, channels and type, and get smaller."""
    for array, layout, finer in zip(arrays[1:], layouts[1:], layouts, strict=False):
        same = len(layout.shape) == len(finer.shape) and dtype_of(array) == dtype_of(arrays[0])
        if not same or layout.channels != finer.channels:
            raise InputUnreadable(
                f"the levels of an image must have the same axes, channels and data type; got shapes {finer.shape} and "
                f"{layout.shape}, types {arrays[0].dtype} and {array.dtype}; open one of them, or stack them"
            )
        if any(b > a for a, b in zip(finer.spatial_shape, layout.spatial_shape, strict=True)):
            raise InputUnreadable(
                f"the levels of an image must be given finest first; got {layout.shape} after {finer.shape}; sort them"
            )
