"""A run on overlapping tiles in the place of passes that measure: nothing to measure, and a mismatch at the end."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from napari_seamless.geometry import Region
from napari_seamless.interfaces import PrecedingPass
from napari_seamless.program.ops.barrier import State
from napari_seamless.program.passes import barriers_of
from napari_seamless.program.saved_activations import ActivationPlan
from napari_seamless.runs.prepare import Prepared, approximated
from napari_seamless.runtime.engine.blended import BlendedEngine
from napari_seamless.runtime.engine.mismatch import Mismatch, measure_mismatch

LOCAL = "norms and pools over the plane are taken over each input tile (statistics='local', --statistics local)"


@dataclass
class BlendedPasses:
    """What `measuring.Measuring` is for exact runs. Driving thread, once the run is started."""

    prepared: Prepared
    engine: BlendedEngine

    def __post_init__(self) -> None:
        self.keeping = ActivationPlan()
        self.preceding: tuple[PrecedingPass, ...] = ()
        self.states: dict[int, State] = {}

    @property
    def device(self) -> torch.device:
        return self.engine.device

    @property
    def is_measured(self) -> bool:
        """There is nothing to measure."""
        return True

    def last_engine(self) -> BlendedEngine:
        """The engine that makes the output."""
        return self.engine

    def checking_engine(self) -> BlendedEngine:
        """One that computes the same tiles in float32."""
        assert self.prepared.approximation is not None
        return self.prepared.approximation.engine(str(self.engine.device))

    def mismatch(self, region: Region) -> Mismatch | None:
        """How neighbouring tiles of the output region differ; computes a few of them again."""
        prepared = self.prepared
        return measure_mismatch(self.engine, lambda read: prepared.source.read(read, prepared.level), region)

    def close(self) -> None:
        """Nothing was kept."""


def locally(prepared: Prepared) -> Prepared:
    """The same network with statistics of each input tile, as other tools compute it: approximate, and marked so.

    A network without norms or pools over the plane needs none, and stays exact. Takes seconds, as a few tiles are
    computed to find the overlap. Raises what `approximation` does.
    """
    if prepared.approximation is not None or not barriers_of(prepared.program):
        return prepared
    return approximated(prepared.model, prepared.source, prepared.level, [LOCAL])
