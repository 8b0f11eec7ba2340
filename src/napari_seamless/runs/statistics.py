"""Over which pixels norms and pools over the plane take their statistics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.interfaces import Source
from napari_seamless.runs.moments import Moments
from napari_seamless.runs.tissue import tissue_mask

Statistics: TypeAlias = "str | Path | Moments | StatisticsDomain"


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
    def mark(self) -> str:
        """What tells results of different scopes apart; "" for the default."""
        rest = " half" if self.half else ""
        if self.precision != "float32":
            rest += f" {self.precision}"
        if self.only is not None:
            rest += f" only {_digest(self.only)}"
        if self.mask is not None:
            return f" {self.name} {_digest(self.mask)}{rest}"
        if self.moments is not None:
            return f" {self.name} {self.moments.digest}{rest}"
        return rest


PREVIEW = "preview"
WHOLE = StatisticsDomain("whole")
LOCAL = StatisticsDomain("local")


def statistics_domain(
    source: Source, statistics: Statistics, mask: ArrayLike | None = None, tissue_only: bool = False
) -> StatisticsDomain:
    """What is meant by "whole", "tissue", "local", moments or a file of them, and by leaving out what is no tissue.

    Where the tissue is, `mask` says; without one it is found by colour. Raises BadRequest, InputNotFound, InputDamaged.
    """
    if isinstance(statistics, StatisticsDomain):
        return statistics
    if mask is not None and statistics != "tissue" and not tissue_only:
        raise BadRequest(
            f"a mask needs statistics='tissue' or tissue_only=True; got one with statistics={statistics!r}; say which"
        )
    tissue = None
    if statistics == "tissue" or tissue_only:
        tissue = tissue_mask(source) if mask is None else _checked(mask)
    found = StatisticsDomain("tissue", mask=tissue) if statistics == "tissue" else _plain(statistics)
    return replace(found, only=tissue) if tissue_only else found


def _plain(statistics: Statistics) -> StatisticsDomain:
    if isinstance(statistics, Moments):
        return StatisticsDomain("frozen", statistics)
    if statistics in ("whole", "local"):
        return WHOLE if statistics == "whole" else LOCAL
    if isinstance(statistics, Path) or str(statistics).rstrip("/\\").endswith((".safetensors", ".zarr")):
        return StatisticsDomain("frozen", Moments.load(str(statistics)))
    raise BadRequest(
        f"statistics are 'whole', 'tissue', 'local', moments, a file of moments (.safetensors) or an earlier "
        f"result (.zarr); got {statistics!r}"
    )


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
