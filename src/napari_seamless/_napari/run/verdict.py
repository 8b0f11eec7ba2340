"""What a run found out about its own result, as a person reads it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless.interfaces import LiveImage
from napari_seamless.runs.claims import APPROXIMATE, ROUNDED, SAME

if TYPE_CHECKING:
    from napari_seamless.runs.result import Report, SelfCheck

TOLERANCE = 1e-4
"""Of a standard deviation, or a share of pixels: what other orders of float32 sums may amount to."""


CHECKED = ("regions", "largest", "mean")


@dataclass(frozen=True)
class Verdict:
    """One line, whether it is as it should be, and the same for the metadata of layers."""

    text: str
    is_good: bool
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False)


def verdict_of(report: Report, image: LiveImage) -> Verdict | None:
    """The self-check of an exact run, or how tiles of an approximate one disagree; None where nothing was looked at."""
    if report.mismatch is not None:
        metadata: dict[str, Any] = {"exact": False, "mismatch": str(report.mismatch)}
        return Verdict(f"{APPROXIMATE}: {report.mismatch}", False, metadata)
    check = report.self_check
    if check is None:
        return None
    metadata = {"exact": report.exact, "self_check": {name: getattr(check, name) for name in CHECKED}}
    if not report.exact:
        return Verdict(_sentence(ROUNDED, check, image), False, metadata)
    if _apart(check, image) <= TOLERANCE:
        return Verdict(_sentence(SAME, check, image), True, metadata)
    return Verdict(_sentence(f"not quite the {SAME}", check, image), False, metadata)


def _apart(check: SelfCheck, image: LiveImage) -> float:
    """Whole numbers differ by a whole step where a sum lies between two: the mean tells more than the largest."""
    return check.mean if _is_whole(image) else check.largest


def _sentence(claim: str, check: SelfCheck, image: LiveImage) -> str:
    over = f"over {check.regions} checks"
    if image.kind == "labels":
        share = f"{check.mean:.2g} of all" if check.mean else "no"
        return f"{claim}: {share} pixels differ {over}"
    if check.largest == 0:
        return f"{claim}: no difference {over}"
    if _is_whole(image):
        return f"{claim}: mean difference {check.mean:.0e} {over} (rounded to whole numbers)"
    return f"{claim}: max difference {check.largest:.0e} {over}"


def _is_whole(image: LiveImage) -> bool:
    return image.kind == "labels" or bool(np.issubdtype(image.info.dtype, np.integer))
