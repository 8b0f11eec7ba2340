"""Tiles: what is written, and what must be read for it."""

from __future__ import annotations

from dataclasses import dataclass

from napari_seamless.geometry.region import Region


@dataclass(frozen=True, slots=True)
class Tile:
    """One piece of work: the output region it **writes** and the input region it **reads**.

    The writes of a plan partition the output; the reads overlap. `write` counts pixels of the program's output,
    `read` pixels of its input; the difference, the halo, is derived and never typed in.
    """

    write: Region
    read: Region
