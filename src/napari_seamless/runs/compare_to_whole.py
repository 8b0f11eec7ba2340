"""How far a result with other statistics is from the one with those of the whole image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from napari_seamless.geometry import Region
from napari_seamless.interfaces import StopFlag
from napari_seamless.runs.exact_passes import ExactPasses, plan_activations
from napari_seamless.runs.prepare import Prepared
from napari_seamless.runs.result import SelfCheck
from napari_seamless.runs.self_check import self_check
from napari_seamless.runtime.executor.serial import SerialExecutor
from napari_seamless.runtime.planning import TileChoice
from napari_seamless.store import Store


@dataclass(frozen=True)
class WholeComparison:
    """Measures the moments of the whole image, and computes a few regions of a result with them."""

    prepared: Prepared
    device: torch.device
    choice: TileChoice
    budget: int | None = None
    scratch: Path | None = None

    def difference(self, store: Store, region: Region, stop: StopFlag) -> SelfCheck | None:
        """As `self_check`, against statistics of the whole image. Takes as long as the passes that measure do.

        Raises RunCancelled when `stop` says True.
        """
        keeping = plan_activations(self.prepared, self.device, budget=self.budget, scratch=self.scratch)
        measuring = ExactPasses(
            self.prepared, self.device, keeping, self.choice.tile, self.choice.depth, scratch_parent=self.scratch
        )
        try:
            for preceding in measuring.preceding:
                job = preceding.begin()
                SerialExecutor().run(job, preceding.queue, job.sink.commit, stop)
                if stop():
                    return None
                preceding.end()
            return self_check(measuring.checking_engine(), self.prepared, store, region, stop)
        finally:
            measuring.close()
