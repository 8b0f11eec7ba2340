"""An image as somebody wants it seen: some of its channels, in another order, with a pixel size that they know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, Pixels, Source
from napari_seamless.io.readers.derived import DerivedSource
from napari_seamless.units import MICROMETER, micrometres_in


@dataclass(frozen=True)
class Selected(DerivedSource):
    """A source over another one. Any thread; picklable when the other is. `close` closes that one.

    `channels` are numbers from 0, None for all as they are; a channel may come twice. `pixel_size` is in micrometres
    per level-0 pixel, ((z,) y, x), None for what the image says. `notices` are sentences beside the image's own.
    """

    source: Source
    channels: tuple[int, ...] | None = None
    pixel_size: tuple[float, ...] | None = None
    notices: tuple[str, ...] = ()

    @property
    def origin(self) -> Source:
        return self.source

    @cached_property
    def info(self) -> ImageInfo:
        info = replace(self.source.info, notices=(*self.source.info.notices, *self.notices))
        if self.pixel_size is not None:
            info = replace(info, pixel_size=self.pixel_size, unit=MICROMETER, origin=_origin(info, self.pixel_size))
        if self.channels is None:
            return info
        names = tuple(info.channel_names[k] for k in self.channels) if info.channel_names else ()
        order = ",".join(map(str, self.channels))
        return replace(
            info,
            channels=len(self.channels),
            channel_names=names,
            channel_colours=tuple(info.channel_colours[k] for k in self.channels) if info.channel_colours else (),
            rgb=info.rgb and self.channels == (0, 1, 2),
            identity=f"{info.identity} channels {order}",
        )

    def read(self, region: Region, level: int = 0) -> Pixels:
        """A new array (c, [z,] y, x) of the chosen channels in their order. Raises what the other source raises."""
        pixels = self.source.read(region, level)
        return pixels if self.channels is None else np.ascontiguousarray(pixels[list(self.channels)])

    def close(self) -> None:
        self.source.close()


def _origin(info: ImageInfo, pixel_size: tuple[float, ...]) -> tuple[float, ...]:
    """Where an image lies, in micrometres: by its own unit, or by the pixel where it has no other."""
    factor = micrometres_in(info.unit)
    if info.pixel_size is None or factor is None:
        return tuple(at * size for at, size in zip(info.origin, pixel_size, strict=False))
    return tuple(at * factor for at in info.origin)


def select(
    source: Source,
    *,
    channels: Sequence[int | str] | None = None,
    pixel_size: float | Sequence[float] | None = None,
    notices: Sequence[str] = (),
) -> Source:
    """Some channels of an image, by number (from 0) or name, in the order given, and with a pixel size of its own.

    `pixel_size` is in micrometres per level-0 pixel, one number for all axes or ((z,) y, x); `notices` are sentences on
    where it comes from, which the image has beside its own then. Raises BadRequest for channels that are not there and
    sizes that cannot be.

    >>> from napari_seamless.io.readers import open_image
    >>> picture = open_image(np.zeros((4, 20, 10)))
    >>> select(picture, channels=(3, 0), pixel_size=0.5).info.channels
    2
    """
    info = source.info
    numbers = None if channels is None else numbers_of_channels(info, channels)
    if numbers == ():
        raise BadRequest(f"at least one channel must be chosen; got none of {info.channels}; name one")
    sizes = None
    if pixel_size is not None:
        sizes = (float(pixel_size),) * info.ndim if isinstance(pixel_size, int | float) else tuple(pixel_size)
        if len(sizes) != info.ndim or not all(0 < size < float("inf") for size in sizes):
            raise BadRequest(
                f"a pixel size is micrometres per pixel, one number above zero or one for each of {info.ndim} axes; "
                f"got {pixel_size}; correct it"
            )
    is_plain = numbers in (None, tuple(range(info.channels))) and sizes in (None, info.pixel_size)
    return source if is_plain and not notices else Selected(source, numbers, sizes, tuple(notices))


def numbers_of_channels(info: ImageInfo, channels: Sequence[int | str]) -> tuple[int, ...]:
    """The numbers (from 0) of channels given by number or name. Raises BadRequest for one that is not there."""
    return tuple(_number(channel, info) for channel in channels)


def _number(channel: int | str, info: ImageInfo) -> int:
    if isinstance(channel, str) and channel in info.channel_names:
        return info.channel_names.index(channel)
    number = int(channel) if isinstance(channel, int) or channel.isdecimal() else -1
    if 0 <= number < info.channels:
        return number
    there = ", ".join(info.channel_names) or f"0 to {info.channels - 1}"
    raise BadRequest(f"a channel is a number from 0 or a name; got {channel!r}; '{info.name}' has {there}")
