"""Floods from markers as post-processing steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_seamless.errors import BadRequest
from napari_seamless.postprocess.flood.candidates import FLOOD_HALO, NO_PLACE, candidates_of
from napari_seamless.postprocess.flood.distances import DistanceSettings, distance_maps
from napari_seamless.postprocess.flood.hover import HoverSettings, NucleusSlopes, hover_maps
from napari_seamless.postprocess.flood.maps import FloodMaps
from napari_seamless.postprocess.flood.settler import FloodSettler
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.step import (
    Candidates,
    Domain,
    SavedState,
    StepBarrier,
    TileObjects,
    TileOutput,
)


class FloodStep(ABC):
    """What all floods share. A `PostprocessStep` for images with axes (y, x).

    Ids are the places of an object's first marker pixel, in raster order, counted from 1. `extra` has the `score` (the
    mean probability of the pixels), `marker_area` and `at_edge` (cut by, or touching, the edge of what is looked at).
    """

    @property
    @abstractmethod
    def reach(self) -> int:
        """How many pixels away lies what a pixel of the maps depends on."""

    @property
    @abstractmethod
    def votes(self) -> int:
        """How many numbers are added up over an object."""

    @property
    @abstractmethod
    def touch(self) -> int:
        """By how many axes markers touch that are one."""

    @abstractmethod
    def maps(self, given: TileOutput) -> FloodMaps:
        """What is flooded, over the pixels that are read around a tile. Raises BadRequest."""

    @property
    def grid(self) -> int:
        return 1

    @property
    def halo(self) -> int:
        return self.reach + FLOOD_HALO

    @property
    def notices(self) -> Mapping[str, str]:
        return {}

    @property
    def barriers(self) -> tuple[StepBarrier, ...]:
        return ()

    @property
    def paints_from_output(self) -> bool:
        return False

    def propose(self, given: TileOutput) -> Candidates:
        _check(given.domain)
        return candidates_of(given, self.maps(given), self.touch)

    def begin(self, domain: Domain, saved: SavedState | None = None) -> FloodSettler:
        _check(domain)
        return FloodSettler(self.votes, domain, saved)

    def paint(self, objects: TileObjects, given: TileOutput | None) -> Ints:  # noqa: ARG002
        from napari_seamless.postprocess.flood import kernels

        labels, columns = np.zeros(objects.tile.size, np.int64), objects.columns
        kernels.paint_runs(labels, columns["runs"], _with_markers(columns["components"]))
        labels = labels.reshape(objects.tile.shape)
        labels[tuple((columns["outside_at"] - objects.tile.start).T)] = _with_markers(columns["outside"])
        return labels


@dataclass(frozen=True)
class DistanceFlood(DistanceSettings, FloodStep):
    """Objects of a probability and of distances to their centre and boundary, as torch-em's networks give them."""

    @property
    def votes(self) -> int:
        return 1 + self.classes

    @property
    def touch(self) -> int:
        return self.connectivity

    def maps(self, given: TileOutput) -> FloodMaps:
        return distance_maps(given, self)


@dataclass(frozen=True)
class HoverFlood(HoverSettings, FloodStep):
    """Nuclei of a probability and of maps of horizontal and vertical places (HoVer-Net, Graham et al. 2019)."""

    @property
    def votes(self) -> int:
        return max(1, self.types)

    @property
    def touch(self) -> int:
        return 1

    @property
    def barriers(self) -> tuple[StepBarrier, ...]:
        if self.slopes is not None:
            return ()
        slopes = NucleusSlopes(self)
        return tuple(StepBarrier(s, n, derived=slopes) for n in range(2) for s in ("minimum", "maximum"))

    def maps(self, given: TileOutput) -> FloodMaps:
        return hover_maps(given, self)


def _with_markers(ids: Ints) -> Ints:
    """0 for ids of objects of which no marker was read."""
    return np.where(ids > NO_PLACE, 0, ids)


def _check(domain: Domain) -> None:
    if domain.region.ndim != 2:
        raise BadRequest(f"floods lie in planes (y, x); got {domain.region.ndim} axes; take a plane at a time")
