"""Connected components as a post-processing step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.postprocess.components.candidates import component_sums, components_of, surroundings
from napari_seamless.postprocess.components.faces import faces_of
from napari_seamless.postprocess.components.settings import ComponentSettings
from napari_seamless.postprocess.components.settler import ComponentSettler
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.step import Candidates, Domain, SavedState, StepBarrier, TileObjects, TileOutput


@dataclass(frozen=True)
class Components(ComponentSettings):
    """Connected pixels of one class as objects, of a class map (one channel of whole numbers).

    A `PostprocessStep`. Ids are the places of first pixels, in raster order: made dense they are those of
    scipy.ndimage.label on the whole array. `extra` has `core_area` (without the boundary class), `at_edge` (cut by, or
    touching, the edge of what is looked at) and `intensity_sum` (n, c) of the image's channels: exact for whole
    numbers, for others rounded once a tile.
    """

    @property
    def grid(self) -> int:
        return 1

    @property
    def notices(self) -> Mapping[str, str]:
        return {}

    @property
    def barriers(self) -> tuple[StepBarrier, ...]:
        return ()

    @property
    def paints_from_output(self) -> bool:
        return True

    def propose(self, given: TileOutput) -> Candidates:
        self.check(given.tile.write.ndim)
        around = surroundings(given, self.halo)
        tile = components_of(around, self)
        columns = component_sums(given, around, tile).columns
        for face in faces_of(given.tile.write, tile.numbers):
            columns[f"face_{'low' if face.side < 0 else 'high'}_{face.axis}"] = face.numbers
        outside = ~_inside(tile.boundary_at, given)
        at = np.stack([a[outside] for a in tile.boundary_at], 1)
        columns |= {"outside_at": at, "outside_owner": tile.boundary_owner[outside]}
        return Candidates(given.tile.write, columns)

    def begin(self, domain: Domain, saved: SavedState | None = None) -> ComponentSettler:
        self.check(domain.region.ndim)
        return ComponentSettler(self, domain, saved)

    def paint(self, objects: TileObjects, given: TileOutput | None) -> Ints:
        if given is None or given.tile.write != objects.tile:
            raise BadRequest("components are painted from the output of the same tile; got none, or another's")
        around = surroundings(given, self.halo)
        tile = components_of(around, self)
        labels = np.append(0, objects.columns["components"])[tile.numbers]
        inside = _inside(tile.boundary_at, given)
        at = np.stack([a[inside] for a in tile.boundary_at], 1)
        owners = objects.columns["components"][tile.boundary_owner[inside] - 1]
        for places, ids in ((at, owners), (objects.columns["outside_at"], objects.columns["outside"])):
            labels[tuple((places - given.tile.write.start).T)] = ids
        return np.asarray(labels)


def _inside(at: tuple[Ints, ...], given: TileOutput) -> NDArray[np.bool_]:
    """Which pixels (one array an axis) lie in the tile itself."""
    inside = np.ones(len(at[0]), bool)
    for places, span in zip(at, given.tile.write.intervals, strict=True):
        inside &= (places >= span.lo) & (places < span.hi)
    return inside
