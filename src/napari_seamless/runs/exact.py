"""A network that is computed exactly, tile by tile: its program, and the passes that run it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch

from napari_seamless.geometry import Region
from napari_seamless.interfaces import Source, StopFlag
from napari_seamless.models import Model
from napari_seamless.program.analysis import program_hash
from napari_seamless.program.demand import centre
from napari_seamless.program.graph import Program
from napari_seamless.program.ops.barrier import State
from napari_seamless.program.passes import barriers_of, count_passes, dtypes_in_tiles
from napari_seamless.program.reduced_precision import in_reduced_precision
from napari_seamless.program.region_program import RegionPrograms
from napari_seamless.program.saved_activations import ActivationPlan
from napari_seamless.runs.activation_plan import plan_activations
from napari_seamless.runs.blended import blended
from napari_seamless.runs.compare_to_whole import WholeComparison
from napari_seamless.runs.exact_passes import ExactPasses, PassSettings
from napari_seamless.runs.label_output import with_kind_of
from napari_seamless.runs.measured import measured_before, reads_of_measured, save_measured
from napari_seamless.runs.moments import Moments
from napari_seamless.runs.prepared import Prepared, RunSettings
from napari_seamless.runs.preview import estimated_moments
from napari_seamless.runs.statistics import StatisticsDomain
from napari_seamless.runs.tile_choice import choice_for
from napari_seamless.runs.tile_cost import TileCost, tile_cost
from napari_seamless.runs.traced import TracedNetwork
from napari_seamless.runtime.engine import TorchEngine
from napari_seamless.runtime.engine.dtypes import stored_dtype_of
from napari_seamless.runtime.engine.precision import EffectivePrecision, Precision
from napari_seamless.runtime.planning import TileChoice
from napari_seamless.store import Store

LOCAL_REASON = "norms and pools over the plane are taken over each input tile (statistics='local', --statistics local)"


@dataclass(frozen=True)
class ExactPrepared(TracedNetwork):
    """Implements `prepared.Prepared`."""

    @property
    def exact(self) -> bool:
        return True

    @property
    def needs_float64(self) -> bool:
        return torch.float64 in dtypes_in_tiles(self.program)

    @property
    def number_of_passes(self) -> int:
        return count_passes(self.program)

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"divisor": self.program.divisor, "passes": self.number_of_passes}

    def lines(self) -> Iterator[str]:
        """Nothing: it is as it should be."""
        return iter(())

    def macs(self, write: Region) -> int:
        """Multiply-adds."""
        return self._regions.at(write).region.macs

    @cached_property
    def _regions(self) -> RegionPrograms:
        return RegionPrograms(self.last_pass)

    def with_source(self, source: Source) -> ExactPrepared:
        return replace(self, source=source)

    def with_local_statistics(self) -> Prepared:
        """The same network with statistics of each input tile, as other tools compute it: approximate, and marked so.

        A network without norms or pools over the plane needs none, and stays exact. Takes seconds, as a few tiles are
        computed to find the overlap. Raises what `blended` does.
        """
        if not barriers_of(self.program):
            return self
        return blended(self.model, self.source, self.level, [LOCAL_REASON])

    def in_precision(self, settled: EffectivePrecision) -> tuple[ExactPrepared, EffectivePrecision]:
        if settled.dtype is None:
            return self, settled
        program = in_reduced_precision(self.program, settled.dtype)
        if program is self.program:
            return self, EffectivePrecision(
                "float32",
                f"the network multiplies no float32 numbers that {settled.precision} could stand for: it runs as it is",
            )
        return replace(self, program=program, reference=self.program), settled

    def output_engine(
        self, device: str = "auto", budget: int | None = None, precision: Precision = "float32"
    ) -> TorchEngine:
        """That of the last pass."""
        del budget, precision  # the program is in its precision already
        return TorchEngine(self.last_pass, device)

    def tile_cost(self, tile: int) -> TileCost:
        return tile_cost(self.last_pass, self.output_shape, tile, self.number_of_passes)

    def plan(self, settings: RunSettings) -> ExactPlan:
        return ExactPlan(self, settings)

    def estimated_moments(self, device: str, stop: StopFlag) -> Moments | None:
        """Of a sample of the image, for a preview; None where they cannot be had. Takes seconds."""
        return estimated_moments(self, device, stop)

    def comparison(self, settings: RunSettings, choice: TileChoice) -> WholeComparison:
        whole = PassSettings(settings.device, choice, scratch=settings.scratch)
        return WholeComparison(self, whole, settings.memory.budget)


class ExactPlan:
    """Implements `prepared.PassPlan`: what is kept between passes takes its part of the budget, tiles get the rest."""

    def __init__(self, prepared: ExactPrepared, settings: RunSettings) -> None:
        self._prepared, self._settings = prepared, settings
        moments, memory = settings.domain.moments, settings.memory
        self._frozen = {} if moments is None else moments.given(prepared.program, prepared.network_hash)
        self.activations = self._plan(self._frozen)
        is_half = memory.keep_half and prepared.program is not prepared.last_pass
        self.domain: StatisticsDomain = replace(settings.domain, half=True) if is_half else settings.domain
        kept = self.activations.most.get("device", 0)
        spared = None if memory.budget is None else max(memory.budget - kept, 1)
        self.choice = choice_for(prepared, prepared.output_engine(str(settings.device)), spared, memory.tile)

    def _plan(self, given: Mapping[int, State]) -> ActivationPlan:
        settings = self._settings
        return plan_activations(
            self._prepared.program,
            settings.device,
            settings.memory,
            scratch=settings.scratch,
            is_remote=settings.is_remote,
            given=given,
        )

    @property
    def number_of_passes(self) -> int:
        """Of a run that begins anew."""
        return count_passes(self._prepared.program, self._frozen)

    def passes(self, store: Store) -> ExactPasses:
        """Those that are left to do: what an earlier run on this result has measured is taken up."""
        prepared, settings = self._prepared, self._settings
        states = self._frozen or measured_before(store, prepared, self.domain)
        return ExactPasses(
            prepared,
            self.activations if states == self._frozen else self._plan(states),
            PassSettings(
                settings.device,
                self.choice,
                self.domain,
                half=settings.memory.keep_half,
                scratch=settings.scratch,
                tf32=settings.precision == "tf32",
            ),
            states,
            partial(save_measured, store),
            [] if states == self._frozen else reads_of_measured(store)[1] or [],
        )


def exact_from(model: Model, source: Source, level: int, program: Program) -> ExactPrepared:
    """What can be read off a traced program."""
    value = program.values[program.output]
    lines = centre(program)
    channels = value.shape[1] if len(value.shape) == program.ndim + 2 else None
    return ExactPrepared(
        model=with_kind_of(model, value.dtype, channels),
        source=source,
        level=level,
        program=program,
        program_hash=program_hash(program),
        output_shape=value.shape[-program.ndim :],
        output_channels=channels,
        output_dtype=stored_dtype_of(program),
        scale=tuple(scale for scale, _ in lines),
        offset=tuple(offset for _, offset in lines),
    )
