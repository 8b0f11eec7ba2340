"""What is found out about a result once all that was asked for is there: whether what is claimed of it is true."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from napari_seamless.errors import RunCancelled
from napari_seamless.geometry import Region
from napari_seamless.interfaces import StopFlag
from napari_seamless.runs.prepared import Comparison, Passes, Prepared
from napari_seamless.runs.result import SelfCheck
from napari_seamless.runs.self_check import self_check
from napari_seamless.runs.statistics import PREVIEW, StatisticsDomain
from napari_seamless.runtime.engine.mismatch import Mismatch
from napari_seamless.store import Store


@dataclass
class Checks:
    """The checks of one run, each made once; None as long as it was not, or where there is nothing to be said.

    `again` compares with a second computation of the same, `mismatch` neighbouring tiles of a blended result, and
    `difference` with the exact result of the whole image, where that was asked for (`comparison`). Driving thread.
    """

    prepared: Prepared
    passes: Passes
    domain: StatisticsDomain
    comparison: Comparison | None = None
    again: SelfCheck | None = None
    mismatch: Mismatch | None = None
    difference: SelfCheck | None = None

    def make(self, store: Store, region: Region, stop: StopFlag) -> None:
        """Look at some regions of `region`, output pixels. Ends early when `stop` says True."""
        if self.domain.name == PREVIEW:
            return
        self.mismatch = self.mismatch or self.passes.mismatch(region)
        with suppress(RunCancelled):
            if self.again is None and self._is_checked:
                engine = self.passes.checking_engine()
                self.again = self._marked(self_check(engine, self.prepared, store, region, stop))
        with suppress(RunCancelled):
            if self.difference is None and self.comparison is not None:
                self.difference = self._marked(self.comparison.difference(store, region, stop))

    @property
    def _is_checked(self) -> bool:
        """A blended result is compared where it was rounded only: its tiles are the same again."""
        return (self.domain.is_rounded or self.passes.is_exact) and self.passes.is_measured

    def _marked(self, check: SelfCheck | None) -> SelfCheck | None:
        """With what was rounded on the way to what is compared with float32."""
        precision = self.domain.precision
        is_exact = not self.domain.is_rounded
        return check and replace(check, exact=is_exact, precision=precision, tf32=precision == "tf32")
