"""Star-convex polygons as a post-processing step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from napari_seamless.errors import BadRequest
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.polygons.candidates import stars_of
from napari_seamless.postprocess.polygons.settings import LARGEST_RADIUS, PolygonSettings
from napari_seamless.postprocess.polygons.settler import PolygonSettler
from napari_seamless.postprocess.polygons.shapes import painted
from napari_seamless.postprocess.polygons.stars import Stars
from napari_seamless.postprocess.step import (
    Candidates,
    Domain,
    KeptOutput,
    SavedState,
    StepBarrier,
    TileObjects,
    TileOutput,
)


@dataclass(frozen=True)
class StarPolygons(PolygonSettings):
    """Star-convex polygons as objects (Schmidt et al. 2018), of a probability and distances along rays.

    A `CandidateStep` for images with axes (y, x). Ids are cells of the output, in raster order, counted from 1.
    `area`, `centroid`, `low` and `high` are of the polygon's pixels inside the domain, whether or not another object
    covers them; a pixel of several polygons is painted as the best one's. `extra` has the `score`, the `center` (n, 2)
    and the `distance` (n, rays) of the polygon, `at_edge` (cut by, or touching, the edge of what is looked at) and
    `clipped` (a ray is longer than the largest radius, and was cut there).
    """

    @property
    def method(self) -> str:
        return "polygons"

    @property
    def kept(self) -> KeptOutput:
        return KeptOutput(min(self.floor, self.probability), 2 * LARGEST_RADIUS)

    @property
    def reach(self) -> int:
        return self.largest_radius

    @property
    def settings(self) -> Mapping[str, Any]:
        return asdict(self)

    def with_settings(self, **changes: Any) -> StarPolygons:
        """Raises TypeError for what is no setting."""
        return replace(self, **changes)

    @property
    def halo(self) -> int:
        return 0

    @property
    def notices(self) -> Mapping[str, str]:
        limit = f"largest_radius, {self.largest_radius} pixels"
        return {"clipped": f"{{count}} objects reach further than {limit}, and are cut there; set a larger one"}

    @property
    def barriers(self) -> tuple[StepBarrier, ...]:
        return ()

    @property
    def paints_from_output(self) -> bool:
        return False

    def propose(self, given: TileOutput) -> Candidates:
        _check(given.domain)
        return Candidates(given.tile.write, stars_of(given, self).columns)

    def begin(self, domain: Domain, saved: SavedState | None = None) -> PolygonSettler:
        _check(domain)
        return PolygonSettler(self, domain, saved)

    def paint(self, objects: TileObjects, given: TileOutput | None) -> Ints:  # noqa: ARG002
        return painted(Stars.of(objects.columns), objects.tile)


def _check(domain: Domain) -> None:
    if domain.region.ndim != 2:
        raise BadRequest(f"polygons lie in planes (y, x); got {domain.region.ndim} axes; take a plane at a time")
