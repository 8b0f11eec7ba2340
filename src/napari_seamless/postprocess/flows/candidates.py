"""What a tile says of its particles: pure, in any thread or process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.postprocess.flows.front import decided
from napari_seamless.postprocess.flows.particles import Particles
from napari_seamless.postprocess.flows.places import UnreadGrid
from napari_seamless.postprocess.flows.settings import SCALE, FlowSettings
from napari_seamless.postprocess.flows.shapes import runs_of, shapes_of
from napari_seamless.postprocess.flows.squares import FlowSquares
from napari_seamless.postprocess.object_table import Ints, ObjectTable
from napari_seamless.postprocess.packing import named, part
from napari_seamless.postprocess.step import TileOutput


@dataclass(frozen=True, eq=False)
class FlowCandidates:
    """Of a tile: `objects` that nothing outside of it can change, and what is painted of them (`own` and `holes`, as
    `runs_of`); `particles` of which nothing is decided, and the `squares` to which others may come from outside."""

    objects: ObjectTable
    own: Ints
    holes: Ints
    particles: Particles
    squares: FlowSquares

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]]) -> FlowCandidates:
        """What `columns` gave."""
        saved = dict(columns)
        squares = FlowSquares(saved["at"], saved["corner"])
        objects, particles = ObjectTable.of(part("objects", saved)), Particles.of(part("particles", saved))
        return cls(objects, saved["own"], saved["holes"], particles, squares)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        columns: dict[str, NDArray[Any]] = {
            "own": self.own,
            "holes": self.holes,
            "at": self.squares.at,
            "corner": self.squares.corner,
        }
        return columns | named("objects", self.objects.columns) | named("particles", self.particles.columns)


def candidates_of(given: TileOutput, settings: FlowSettings) -> FlowCandidates:
    """Raises BadRequest for an output that is not of this kind."""
    tile, domain = given.tile.write, given.domain
    height, width = domain.shape
    cells, flow, step = _cells(given, settings)
    squares = FlowSquares.of(step, tile, domain)
    particles = _particles(given, settings, cells, flow)
    unread = UnreadGrid.of(domain.region, np.array([[tile.start, tile.stop]], np.int64))
    result = decided(settings, (height, width), particles, squares, unread, tile.grow([settings.leap] * 2))
    is_object = result.done & (result.peak >= 0)
    shapes = shapes_of(settings, domain, result.particles.take(is_object), result.peak[is_object])
    return FlowCandidates(
        objects=shapes.table,
        own=runs_of(shapes.own_at, shapes.own, tile),
        holes=runs_of(shapes.hole_at, shapes.hole, tile),
        particles=result.particles.take(~result.done),
        squares=squares.take(result.left_open),
    )


def _cells(
    given: TileOutput, settings: FlowSettings
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    """Which pixels are in cells, their flow (2, y, x), and the steps it leads to; with a pixel more on every side."""
    pixels, read = given.pixels, given.tile.read
    if len(pixels) != settings.channels:
        raise BadRequest(
            f"flows with {settings.classes} classes are {settings.channels} channels of output: y, x, cell, classes; "
            f"got {len(pixels)}; set classes to those of the network"
        )
    box = given.tile.write.grow([1, 1])
    there = read.slices(box.start)
    logit = pixels[2].astype(np.float32, copy=False)
    found = logit > settings.threshold
    if given.mask is not None:
        found = found & given.mask
    if np.isnan(logit).any() or not np.isfinite(pixels[:, found]).all():
        raise BadRequest("a network for flows gives numbers; got NaN or infinity; check its weights and its input")
    cells, flow = np.zeros(box.shape, bool), np.zeros((2, *box.shape), np.float32)
    cells[there] = found
    flow[(slice(None), *there)] = np.where(found, pixels[:2].astype(np.float32) / np.float32(SCALE), 0)
    return cells, flow, flow.clip(-settings.largest_step, settings.largest_step)


def _particles(
    given: TileOutput, settings: FlowSettings, cells: NDArray[np.bool_], flow: NDArray[np.float32]
) -> Particles:
    """One for each pixel of a tile in a cell, in raster order."""
    tile: Region = given.tile.write
    inner = (slice(1, -1), slice(1, -1))
    at = np.argwhere(cells[inner])
    start = at + tile.start
    step = np.stack([plane[inner][tuple(at.T)] for plane in flow], 1)
    values = given.pixels[(slice(None), *(start - given.tile.read.start).T)]
    kind = values[3:].argmax(axis=0) if settings.classes else np.zeros(len(at))
    return Particles(
        start=start,
        place=start,
        part=np.zeros((len(at), 2)),
        left=np.full(len(at), settings.steps, np.int16),
        logit=values[2].astype(np.float32),
        kind=kind.astype(np.uint16),
        cut=(np.abs(step) > settings.largest_step).any(axis=1),
        step=step if settings.flow_error is not None else step[:, :0],
    )
