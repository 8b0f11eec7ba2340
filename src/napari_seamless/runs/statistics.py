"""Over which pixels norms and pools over the plane take their statistics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.interfaces import Source
from napari_seamless.runs.config import RunConfig
from napari_seamless.runs.moments import Moments
from napari_seamless.runs.option_groups import StatisticsOptions
from napari_seamless.runs.option_text import TISSUE
from napari_seamless.runs.tissue import tissue_mask


@dataclass(frozen=True)
class StatisticsDomain:
    """`name` is "whole", "tissue", "local", "frozen" or PREVIEW.

    Frozen ones and previews bring their `moments`, tissue its `mask`: (y, x) bool, the whole image at any resolution.
    With `half` they are those of values that were rounded to float16 between two passes. `only`, likewise (y, x), says
    where the output is made at all; the rest is left empty. `precision` is that of convolutions and matrix products.
    """

    name: str
    moments: Moments | None = None
    mask: NDArray[np.bool_] | None = None
    half: bool = False
    only: NDArray[np.bool_] | None = None
    precision: str = "float32"

    @property
    def is_rounded(self) -> bool:
        """Whether fewer digits than float32's were kept anywhere on the way."""
        return self.half or self.precision != "float32"

    @property
    def identity(self) -> dict[str, Any]:
        """What tells results of one program apart, as JSON values: nothing for the default."""
        said = {
            "statistics": "" if self.name in (WHOLE.name, LOCAL.name) else self.name,
            "mask": None if self.mask is None else _digest(self.mask),
            "moments": None if self.moments is None else self.moments.digest,
            "kept": "float16" if self.half else None,
            "precision": "" if self.precision == "float32" else self.precision,
            "only": None if self.only is None else _digest(self.only),
        }
        return {key: value for key, value in said.items() if value}


PREVIEW = "preview"
WHOLE = StatisticsDomain("whole")
LOCAL = StatisticsDomain("local")


def statistics_domain(source: Source, config: RunConfig) -> StatisticsDomain:
    """What is meant by "whole", "tissue", "local", moments or a file of them, and by leaving out what is no tissue.

    Where the tissue is, a mask or a threshold of the user's says; without either it is found by colour. Raises
    BadRequest, InputNotFound, InputDamaged.
    """
    statistics = config.statistics.statistics
    tissue = _tissue(source, config.statistics) if config.asks_for_tissue else None
    found = StatisticsDomain("tissue", mask=tissue) if statistics == TISSUE else _plain(statistics)
    return replace(found, only=tissue) if config.is_of_tissue else found


def _tissue(source: Source, options: StatisticsOptions) -> NDArray[np.bool_]:
    if options.mask is not None:
        return _checked(options.mask)
    threshold = options.tissue_threshold
    mask = tissue_mask(source, threshold=threshold)
    if threshold is not None and not mask.any():
        raise BadRequest(f"a threshold must leave some tissue; nothing is above {threshold}; use a lower one")
    return mask


def _plain(statistics: str | Path | Moments) -> StatisticsDomain:
    if isinstance(statistics, Moments):
        return StatisticsDomain("frozen", statistics)
    if statistics in (WHOLE.name, LOCAL.name):
        return WHOLE if statistics == WHOLE.name else LOCAL
    return StatisticsDomain("frozen", Moments.load(str(statistics)))


def _checked(mask: ArrayLike) -> NDArray[np.bool_]:
    plane = np.asarray(mask)
    if plane.ndim != 2 or not plane.any():
        raise BadRequest(
            f"a mask is (y, x), over the whole image at any resolution, and has some pixel; got shape {plane.shape} "
            f"with {int(np.count_nonzero(plane))} pixels set"
        )
    return plane.astype(bool)


def _digest(mask: NDArray[np.bool_]) -> str:
    return sha256(repr(mask.shape).encode() + np.packbits(mask).tobytes()).hexdigest()[:16]
