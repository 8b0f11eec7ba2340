"""Flows as a post-processing step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from napari_seamless.errors import BadRequest
from napari_seamless.postprocess.flows.candidates import candidates_of
from napari_seamless.postprocess.flows.settings import FlowSettings
from napari_seamless.postprocess.flows.settler import FlowSettler
from napari_seamless.postprocess.flows.shapes import painted
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.step import Candidates, Domain, SavedState, StepBarrier, TileObjects, TileOutput


@dataclass(frozen=True)
class Flows(FlowSettings):
    """Objects by flows to their middles (Stringer et al. 2021): pixels of which the particles end in one place.

    A `PostprocessStep` for images with axes (y, x). Ids are the pixels where most particles end, in raster order,
    counted from 1. `area`, `centroid`, `low` and `high` are of an object's pixels and its holes, also where another
    object lies in a hole. The class is the one that most pixels have, of equals the first. `extra` has the `score`
    (mean probability of a cell), the `center` (n, 2) where particles end, the `flow_error` if it is asked for,
    `at_edge` (cut by, or touching, the edge of what is looked at), `limited` (some pixel's particle went nearly as far
    as it may) and `cut` (some flow is longer than the largest step).
    """

    @property
    def grid(self) -> int:
        return 1

    @property
    def halo(self) -> int:
        return 1

    @property
    def notices(self) -> Mapping[str, str]:
        return {
            "limited": f"{{count}} objects reach nearly as far as a particle may go, {self.reach} pixels, and may be "
            "cut there; set a larger reach",
            "cut": f"{{count}} objects have flows of more than {self.largest_step} pixels a step, which were cut; "
            "check that the network gives flows of length 5",
        }

    @property
    def barriers(self) -> tuple[StepBarrier, ...]:
        return ()

    @property
    def paints_from_output(self) -> bool:
        return False

    def propose(self, given: TileOutput) -> Candidates:
        _check(given.domain)
        return Candidates(given.tile.write, candidates_of(given, self).columns)

    def begin(self, domain: Domain, saved: SavedState | None = None) -> FlowSettler:
        _check(domain)
        return FlowSettler(self, domain, saved)

    def paint(self, objects: TileObjects, given: TileOutput | None) -> Ints:  # noqa: ARG002
        return painted(objects.columns["own"], objects.columns["holes"], objects.tile)


def _check(domain: Domain) -> None:
    if domain.region.ndim != 2:
        raise BadRequest(f"flows lie in planes (y, x); got {domain.region.ndim} axes; take a plane at a time")
