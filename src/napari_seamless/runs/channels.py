"""Which channel of an image is which of those that a model wants. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from napari_seamless.interfaces import ImageInfo, Source
from napari_seamless.io.readers.selection import select

COLOURS = ("red", "green", "blue")


def channel_names(info: ImageInfo) -> tuple[str, ...]:
    """The names of an image's channels: those it states, those of colours, or numbers from 1."""
    if not info.channel_names and info.rgb and info.channels == len(COLOURS):
        return COLOURS
    given = (*info.channel_names, *[""] * info.channels)[: info.channels]
    return tuple(name or f"channel {k + 1}" for k, name in enumerate(given))


def matched_by_name(wanted: Sequence[str], there: Sequence[str]) -> tuple[int, ...] | None:
    """For each wanted channel the number of the one with its name, whatever the capitals; None where one has none, or
    several.

    >>> matched_by_name(("dapi", "actin"), ("Actin", "Tubulin", "DAPI"))
    (2, 0)
    """
    known = [name.casefold() for name in there]
    if not wanted or any(known.count(name.casefold()) != 1 for name in wanted):
        return None
    return tuple(known.index(name.casefold()) for name in wanted)


def by_name(source: Source, wanted: Sequence[str]) -> Source:
    """The image with just the channels that a model names, where their names agree; else the image as it is."""
    found = matched_by_name(wanted, channel_names(source.info))
    return source if found is None else select(source, channels=found)
