"""Which axis of a stored array is which, and how a region of it becomes (c, [z,] y, x).

Letters, one an axis, in the order of the array: `c` channel, `z` `y` `x` space, `t` time (one point is taken),
`s` colour samples beside a channel axis (they follow each channel, as in CZYXS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_seamless.errors import BadRequest, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, Pixels

MOST_CHANNELS_GUESSED = 4
EXAMPLES = ("zyx", "czyx", "tczyx")


@dataclass(frozen=True)
class AxisLayout:
    """The axes of an array, with the number of channels that are used of it.

    `axes` has one letter an array axis; t is read at the index `time`. With `rgb` a fourth colour (alpha) is left out.
    """

    axes: str
    shape: tuple[int, ...]
    rgb: bool
    time: int = 0

    @property
    def spatial(self) -> str:
        """`zyx` or `yx`."""
        return "zyx" if "z" in self.axes else "yx"

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        return tuple(self._length(letter) for letter in self.spatial)

    @property
    def channels(self) -> int:
        return self._used("c") * self._used("s")

    @property
    def times(self) -> int:
        return self._length("t")

    def fetch(self, array: Any, region: Region) -> Pixels:
        """The region ((z,) y, x) of `array` with the array's own axes; raises what the array raises.

        A dask array is computed in the calling thread: the callers are workers already, and a second pool of threads
        under each of them would only fight for the same cores.
        """
        part = array[self.index(region)]
        if is_dask(array):
            part = part.compute(scheduler="synchronous")
        return np.asarray(part)

    def index(self, region: Region) -> tuple[slice | int, ...]:
        """What `fetch` reads, in the array's own axes."""
        cut: dict[str, slice | int] = dict(zip(self.spatial, region.slices(), strict=True))
        cut |= {letter: slice(0, self._used(letter)) for letter in "cs"}
        return tuple(cut.get(letter, self.time) for letter in self.axes)

    def arranged(self, part: Pixels) -> Pixels:
        """What `fetch` gave as a new (c, [z,] y, x) array in native byte order."""
        used = [letter for letter in self.axes if letter in "cszyx"]
        wanted = [letter for letter in "cszyx" if letter in used]
        moved = part.transpose([used.index(letter) for letter in wanted])
        space = moved.shape[len(wanted) - len(self.spatial) :]
        dtype = native(part.dtype)
        # order K keeps the memory order of channels-last images: the copy is then a plain one
        return np.array(moved.reshape(self.channels, *space), dtype=dtype, order="K", copy=True)

    def _length(self, letter: str) -> int:
        return self.shape[self.axes.index(letter)] if letter in self.axes else 1

    def _used(self, letter: str) -> int:
        colour = "s" if "s" in self.axes else "c"
        return min(self._length(letter), 3) if self.rgb and letter == colour else self._length(letter)


def is_dask(array: Any) -> bool:
    """Whether `array` is a dask collection, found out without importing dask."""
    return hasattr(array, "__dask_graph__") and hasattr(array, "compute")


def native(dtype: np.dtype) -> np.dtype:
    """`dtype` in this machine's byte order. Raises InputUnreadable when its values are not numbers or booleans."""
    if dtype.kind not in "biuf":
        raise InputUnreadable(f"pixels must be numbers or booleans; got the type {dtype}; convert the image first")
    return dtype.newbyteorder("=")


def layout_of(shape: Sequence[int], dtype: np.dtype, axes: str | None, *, rgb: bool | None = None) -> AxisLayout:
    """The layout of an array: as `axes` says, or inferred where there is only one sensible reading.

    `rgb` None means: decide. An image is taken as red, green, blue when its channels come last, are three or four and
    8-bit. Raises BadRequest when `axes` does not fit, or when nothing says what the axes are.
    """
    lengths = tuple(int(n) for n in shape)
    letters = inferred(lengths, dtype, rgb) if axes is None else checked(axes, lengths)
    colours = lengths[-1] if lengths else 0
    eight_bit = letters[-1] in "cs" and colours in (3, 4) and dtype == np.uint8
    return AxisLayout(letters, lengths, eight_bit if rgb is None else rgb and letters[-1] in "cs" and colours in (3, 4))


def inferred(shape: tuple[int, ...], dtype: np.dtype, rgb: bool | None = None) -> str:
    """The letters of an array of this shape. Raises BadRequest where more than one reading is possible."""
    coloured = len(shape) in (3, 4) and shape[-1] in (3, 4) and (rgb or (rgb is None and dtype == np.uint8))
    if len(shape) == 2:
        return "yx"
    if coloured:
        return "yxc" if len(shape) == 3 else "zyxc"
    if len(shape) == 3 and shape[0] <= MOST_CHANNELS_GUESSED:
        return "cyx"
    if not 2 <= len(shape) <= len(EXAMPLES) + 2:
        raise BadRequest(
            f"an image has an axis y and an axis x, and at most t, c and z; got the shape {shape}; give 2 to 5 axes"
        )
    example = EXAMPLES[len(shape) - 3]
    raise BadRequest(
        f"an image of shape {shape} can be read in more than one way; say which axis is which, for example "
        f'axes="{example}" (--axes {example}; c channel, z y x space, t time)'
    )


def named_axes(names: object, ndim: int) -> str | None:
    """The letters of an array whose axes have names ("t", "c", "z", "y", "x"); None for any other names."""
    if not isinstance(names, tuple | list):
        return None
    letters = "".join(str(name).lower() for name in names)
    known = len(names) == len(letters) == len(set(letters)) == ndim and {"y", "x"} <= set(letters) <= set("tczyx")
    return letters if known else None


def checked(axes: str, shape: Sequence[int]) -> str:
    """`axes` in lower case, if it can describe an array of this shape; else BadRequest."""
    letters = axes.lower()
    unknown = set(letters) - set("tczyxs")
    if unknown or len(set(letters)) != len(letters) or not {"y", "x"} <= set(letters):
        raise BadRequest(
            f"axes must name y and x, and may name c, z, t and s (colour samples), each once; got {axes!r}; "
            "write for example 'cyx' or 'yxc'"
        )
    if len(letters) != len(shape):
        raise BadRequest(
            f"axes must have one letter for each axis of the image; got {axes!r} for shape {tuple(shape)}; "
            f"give {len(shape)} letters"
        )
    return letters


def require_time(time: int, times: int, name: str) -> None:
    """Raises BadRequest unless an image of so many time points (0: it has no such axis) has one of that number."""
    if not 0 <= time < times:
        there = f"0 to {times - 1}" if times else "no axis t"
        raise BadRequest(f"a time point must be in the image; got t={time}; '{name}' has {there}; choose another")


def info_at(info: ImageInfo, time: int) -> ImageInfo:
    """What an image says of itself at a time point; at the first one it has the pixels that it has without a choice."""
    identity = f"{info.identity} t {time}" if time else info.identity
    return replace(info, identity=identity, plane=(("t", time),))


def require_inside(shape: Sequence[int], region: Region) -> None:
    """Raises BadRequest unless `region` lies inside a level of this spatial shape: a source never clamps or pads."""
    if region.ndim != len(shape):
        raise BadRequest(f"this image has {len(shape)} spatial axes; got the region {region!r} of {region.ndim}")
    if any(i.lo < 0 or i.hi > n for i, n in zip(region.intervals, shape, strict=True)):
        raise BadRequest(
            f"a region must lie inside the image; got {region!r} of an image of {tuple(shape)}; cut the region first"
        )
