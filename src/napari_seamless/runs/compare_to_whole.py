"""How far a result with other statistics is from the one with those of the whole image."""

from __future__ import annotations

from dataclasses import dataclass

from napari_seamless.geometry import Region
from napari_seamless.interfaces import StopFlag
from napari_seamless.runs.activation_plan import plan_activations
from napari_seamless.runs.exact_passes import ExactPasses, PassSettings
from napari_seamless.runs.option_groups import MemoryOptions
from napari_seamless.runs.result import SelfCheck
from napari_seamless.runs.self_check import self_check
from napari_seamless.runs.traced import TracedNetwork
from napari_seamless.runtime.executor.serial import SerialExecutor
from napari_seamless.store import Store


@dataclass(frozen=True)
class WholeComparison:
    """Implements `prepared.Comparison`: measures the moments of the whole image, and computes a few regions of a result
    with them."""

    network: TracedNetwork
    settings: PassSettings
    budget: int | None = None

    def difference(self, store: Store, region: Region, stop: StopFlag) -> SelfCheck | None:
        """As `self_check`, against statistics of the whole image. Takes as long as the passes that measure do.

        Raises RunCancelled when `stop` says True.
        """
        settings, memory = self.settings, MemoryOptions(budget=self.budget)
        plan = plan_activations(self.network.program, settings.device, memory, scratch=settings.scratch)
        passes = ExactPasses(self.network, plan, settings)
        try:
            for step in passes.preceding:
                job = step.begin()
                SerialExecutor().run(job, step.queue, job.sink.commit, stop)
                if stop():
                    return None
                step.end()
            return self_check(passes.checking_engine(), self.network, store, region, stop)
        finally:
            passes.close()
