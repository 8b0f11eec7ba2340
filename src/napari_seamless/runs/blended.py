"""A network that is run on overlapping, blended tiles, where it cannot be computed exactly or shall not be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.interfaces import PrecedingPass, Source, SourceRead, StopFlag
from napari_seamless.models import Model
from napari_seamless.program.saved_activations import ActivationPlan
from napari_seamless.runs.approximation import Approximation, approximation, on_cpu
from napari_seamless.runs.label_output import with_kind_of
from napari_seamless.runs.prepared import PreparedImage, RunSettings
from napari_seamless.runs.statistics import StatisticsDomain
from napari_seamless.runs.tile_choice import choice_for
from napari_seamless.runtime.engine.blended import BlendedEngine
from napari_seamless.runtime.engine.dtypes import stored_dtype
from napari_seamless.runtime.engine.mismatch import Mismatch, measure_mismatch
from napari_seamless.runtime.engine.precision import EffectivePrecision, Precision
from napari_seamless.runtime.planning import TileChoice
from napari_seamless.store import Store


@dataclass(frozen=True)
class BlendedPrepared(PreparedImage):
    """Implements `prepared.Prepared`."""

    approximation: Approximation

    @property
    def exact(self) -> bool:
        return False

    @property
    def needs_float64(self) -> bool:
        """Never: it is run as it is, in what it computes in."""
        return False

    @property
    def number_of_passes(self) -> int:
        return 1

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"divisor": 1, "passes": 1, **self.approximation.facts}

    def lines(self) -> Iterator[str]:
        """What is done instead, one thing a line."""
        return self.approximation.lines()

    def macs(self, write: Region) -> int:
        """Every output pixel takes the same."""
        return write.size

    def with_source(self, source: Source) -> BlendedPrepared:
        return replace(self, source=source)

    def with_local_statistics(self) -> BlendedPrepared:
        """The same: its statistics are those of each tile already."""
        return self

    def in_precision(self, settled: EffectivePrecision) -> tuple[BlendedPrepared, EffectivePrecision]:
        """The same: its engine computes in any precision."""
        return self, settled

    def output_engine(
        self, device: str = "auto", budget: int | None = None, precision: Precision = "float32"
    ) -> BlendedEngine:
        return self.approximation.engine(device, budget, precision)

    def tile_cost(self, tile: int) -> None:
        """Not known: what a tile reads beyond its own depends on its neighbours."""
        del tile

    def plan(self, settings: RunSettings) -> BlendedPlan:
        """Raises BadRequest for statistics that are given."""
        if settings.domain.moments is not None:
            raise BadRequest(
                "statistics are given to networks that are computed as on the whole image; this one is blended; leave "
                "them out"
            )
        engine = self.output_engine(str(settings.device), settings.memory.budget, settings.precision)
        choice = choice_for(self, engine, settings.memory.budget, settings.memory.tile)
        return BlendedPlan(self, choice, settings.domain, engine)

    def estimated_moments(self, device: str, stop: StopFlag) -> None:
        """There are none: the view is there as soon as anything is."""
        del device, stop

    def comparison(self, settings: RunSettings, choice: TileChoice) -> None:
        """There is nothing exact to compare with."""
        del settings, choice


@dataclass(frozen=True)
class BlendedPlan:
    """Implements `prepared.PassPlan`."""

    prepared: BlendedPrepared
    choice: TileChoice
    domain: StatisticsDomain
    engine: BlendedEngine
    activations = ActivationPlan()
    number_of_passes = 1

    def passes(self, store: Store) -> BlendedPasses:
        del store
        return BlendedPasses(self.prepared, self.engine)


@dataclass
class BlendedPasses:
    """Implements `prepared.Passes`: nothing is measured first, and neighbouring tiles differ in the end.

    Driving thread, once the run is started.
    """

    prepared: BlendedPrepared
    engine: BlendedEngine
    is_exact = False
    is_measured = True
    moments = None
    notices: tuple[str, ...] = ()
    activations = ActivationPlan()
    preceding: tuple[PrecedingPass, ...] = ()

    @property
    def device(self) -> torch.device:
        return self.engine.device

    def output_engine(self) -> BlendedEngine:
        return self.engine

    def note(self, reads: Sequence[SourceRead]) -> None:
        """Nothing: no pass measures."""

    def checking_engine(self) -> BlendedEngine:
        """One that computes the same tiles in float32."""
        return self.prepared.output_engine(str(self.engine.device))

    def mismatch(self, region: Region) -> Mismatch | None:
        """How neighbouring tiles of the output region differ; computes a few of them again."""
        prepared = self.prepared
        return measure_mismatch(self.engine, lambda read: prepared.source.read(read, prepared.level), region)

    def close(self) -> None:
        """Nothing was kept."""


def blended(
    model: Model,
    source: Source,
    level: int,
    reasons: Sequence[str],
    *,
    edge: int | None = None,
    overlap: float | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> BlendedPrepared:
    """A model on overlapping, blended tiles, whatever it is; `reasons` say why. The rest is as for `approximation`."""
    found = approximation(
        model, on_cpu(model.module), source, level, reasons, edge=edge, overlap=overlap, cancelled=cancelled
    )
    return BlendedPrepared(
        model=with_kind_of(model, found.output.dtype, found.output.channels),
        source=source,
        level=level,
        program_hash=found.digest,
        output_shape=found.output_shape,
        output_channels=found.output.channels,
        output_dtype=stored_dtype(found.output.dtype),
        scale=found.scale,
        offset=found.offset,
        approximation=found,
    )
