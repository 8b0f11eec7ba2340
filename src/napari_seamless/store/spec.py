"""What a result is, before any pixel of it exists."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import numpy as np

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Grid, halved
from napari_seamless.interfaces import LabelClass

LAST_LEVEL_EDGE = 1024
LAST_LEVEL_BYTES = 64 * 2**20
CHUNK_DEPTH = 16
JOINT_CHANNELS = 4
CANDIDATES = "candidates"
"""The name, and the folder inside a result of labels, of what its objects were made of."""

Kind = Literal["labels", "image"]


@dataclass(frozen=True)
class StoreSpec:
    """Shape, kind and provenance of a result.

    `shape` is spatial, ((z,) y, x), of level 0. `channels` is None for a result without a channel axis. `chunk` is
    the edge of a chunk in y and x, in pixels. With a `shard`, a multiple of it, the chunks of so large a square share a
    file, and only whole shards are written, since a shard must have one writer at a time.

    `pixel_size` and `translation` hold one number a spatial axis, in `unit`; the translation is where the centre of
    level-0 pixel 0 lies, in pixels where there is no pixel size, and a pixel size of 0 is one that nobody knows.
    `channel_colours` are #rrggbb, one a channel, or none.

    `provenance` and `settings` must be JSON-able. `source_identity`, `program_hash` and the
    `settings` of the program, compared as values, decide whether a later run may continue this result. `exact` says
    that the pixels are those of the whole-image program, and not blended of overlapping tiles. One that is `flat` has
    level 0 alone, and all channels of a chunk in one file: programs read it again, and nobody looks at it.

    Raises BadRequest for what cannot be stored.
    """

    shape: tuple[int, ...]
    channels: int | None
    dtype: np.dtype[Any]
    kind: Kind
    source_identity: str
    program_hash: str
    chunk: int = 512
    classes: tuple[LabelClass, ...] = ()
    channel_names: tuple[str, ...] = ()
    name: str = "result"
    pixel_size: tuple[float, ...] | None = None
    translation: tuple[float, ...] | None = None
    unit: str = "micrometer"
    channel_colours: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    shard: int | None = None
    exact: bool = True
    flat: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", np.dtype(self.dtype).newbyteorder("="))
        _check_shape(self)
        _check_dtype(self)
        try:
            json.dumps([dict(self.provenance), dict(self.settings)])
        except TypeError as error:
            raise BadRequest(f"provenance must be made of JSON values; {error}; convert it first") from error

    @property
    def grid(self) -> Grid:
        """What is written at once: level-0 chunks, or shards, spatial axes only."""
        return self.grid_of(0)

    @property
    def level_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Spatial shapes, finest first; y and x halve (rounding up), z stays, until the last fits in memory. Of a flat
        one there is the first."""
        if self.flat:
            return (self.shape,)
        edge = LAST_LEVEL_EDGE
        shapes = halved(self.shape, edge)
        while prod(shapes[-1]) * self.pixel_bytes > LAST_LEVEL_BYTES and edge > 64:
            edge //= 2
            shapes = halved(self.shape, edge)
        return shapes

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel, all channels."""
        return (self.channels or 1) * int(self.dtype.itemsize)

    def grid_of(self, level: int) -> Grid:
        """Chunks of a level, or shards. Volumes have chunks of at most 16 planes: a plane is cheap to read, a tile may
        be flat."""
        shape, edge = self.level_shapes[level], self.shard or self.chunk
        return Grid(shape, (*self._depth, edge, edge))

    @property
    def _depth(self) -> tuple[int, ...]:
        return tuple(min(n, CHUNK_DEPTH) for n in self.shape[:-2])

    def stored_shape(self, level: int) -> tuple[int, ...]:
        """Shape of the zarr array of a level: with a channel axis only if the result has one."""
        return (*self.channel_axis, *self.level_shapes[level])

    @property
    def stored_chunk(self) -> tuple[int, ...]:
        """Chunk of the zarr arrays. Up to four channels (RGB, RGBA) share one: they are shown together."""
        return (*self._joint, *self._depth, self.chunk, self.chunk)

    def stored_shard(self, level: int) -> tuple[int, ...] | None:
        """Shard of the zarr array of a level; None where every chunk is a file."""
        return None if self.shard is None else (*self._joint, *self.grid_of(level).cell)

    @property
    def _joint(self) -> tuple[int, ...]:
        return tuple(c if c <= JOINT_CHANNELS or self.flat else 1 for c in self.channel_axis)

    @property
    def folder(self) -> str:
        """Where the arrays of the levels lie inside the result: at its root, or in labels/NAME/ for labels."""
        if self.kind == "image":
            return ""
        return f"labels/{re.sub('[^A-Za-z0-9_-]+', '-', self.name).strip('-') or 'result'}/"

    @property
    def channel_axis(self) -> tuple[int, ...]:
        return () if self.channels is None else (self.channels,)

    def to_json(self) -> dict[str, Any]:
        """Everything but the provenance, as JSON values."""
        return {
            "shape": list(self.shape),
            "channels": self.channels,
            "dtype": self.dtype.name,
            "kind": self.kind,
            "source_identity": self.source_identity,
            "program_hash": self.program_hash,
            "chunk": self.chunk,
            "classes": [[c.value, c.name, c.colour] for c in self.classes],
            "channel_names": list(self.channel_names),
            "name": self.name,
            "pixel_size": None if self.pixel_size is None else list(self.pixel_size),
            "translation": None if self.translation is None else list(self.translation),
            "unit": self.unit,
            "channel_colours": list(self.channel_colours),
            "shard": self.shard,
            "exact": self.exact,
            "flat": self.flat,
            "settings": dict(self.settings),
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any], provenance: Mapping[str, Any]) -> StoreSpec:
        """The inverse of `to_json`. Raises KeyError or TypeError where `saved` is not what `to_json` made."""
        return cls(
            shape=tuple(saved["shape"]),
            channels=saved["channels"],
            dtype=np.dtype(saved["dtype"]),
            kind=saved["kind"],
            source_identity=saved["source_identity"],
            program_hash=saved["program_hash"],
            chunk=saved["chunk"],
            classes=tuple(LabelClass(*c) for c in saved["classes"]),
            channel_names=tuple(saved["channel_names"]),
            name=saved["name"],
            pixel_size=None if saved["pixel_size"] is None else tuple(saved["pixel_size"]),
            translation=None if saved["translation"] is None else tuple(saved["translation"]),
            unit=saved["unit"],
            channel_colours=tuple(saved.get("channel_colours", ())),
            provenance=provenance,
            shard=saved.get("shard"),
            exact=saved.get("exact", True),
            flat=saved.get("flat", False),
            settings=saved.get("settings", {}),
        )


def _check_shape(spec: StoreSpec) -> None:
    if len(spec.shape) not in (2, 3) or min(spec.shape) < 1:
        raise BadRequest(f"a result has 2 or 3 spatial axes with pixels in them; got shape {spec.shape}")
    if spec.channels is not None and spec.channels < 1:
        raise BadRequest(f"a channel axis needs at least one channel; got {spec.channels}; use None for no such axis")
    if spec.chunk < 1:
        raise BadRequest(f"the edge of a chunk must be at least 1 pixel; got {spec.chunk}; 512 is a good value")
    if spec.shard is not None and (spec.shard < spec.chunk or spec.shard % spec.chunk):
        raise BadRequest(
            f"a shard must be a whole number of chunks of {spec.chunk} pixels; got {spec.shard}; "
            f"use {max(1, round(spec.shard / spec.chunk)) * spec.chunk}"
        )
    for word, numbers in (("pixel_size", spec.pixel_size), ("translation", spec.translation)):
        if numbers is not None and len(numbers) != len(spec.shape):
            raise BadRequest(f"{word} needs one number a spatial axis ({len(spec.shape)}); got {numbers}")
    if spec.channel_names and len(spec.channel_names) != (spec.channels or 1):
        raise BadRequest(f"a channel has one name; got {spec.channel_names} for {spec.channels or 1} channels")

    if spec.channel_colours and len(spec.channel_colours) != (spec.channels or 1):
        raise BadRequest(f"a channel has one colour; got {spec.channel_colours} for {spec.channels or 1} channels")


def _check_dtype(spec: StoreSpec) -> None:
    if spec.kind == "labels":
        if spec.dtype.kind not in "iu" or spec.channels is not None:
            raise BadRequest(
                f"labels are integers without a channel axis; got {spec.dtype} with channels={spec.channels}; "
                "cast them, or store them as an image"
            )
    elif spec.dtype.kind not in "iuf":
        raise BadRequest(f"an image holds floats or integers; got {spec.dtype}; cast the output")
