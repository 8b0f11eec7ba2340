"""Over which pixels norms and pools over the plane take their statistics."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.pipeline.moments import Moments

Statistics: TypeAlias = "str | Path | Moments | Scope"


@dataclass(frozen=True)
class Scope:
    """`name` is "whole", "tissue", "local", "frozen" or PREVIEW.

    Frozen ones and previews bring their `moments`, tissue its `mask`: (y, x) bool, the whole image at any resolution.
    With `half` they are those of values that were rounded to float16 between two passes.
    """

    name: str
    moments: Moments | None = None
    mask: NDArray[np.bool_] | None = None
    half: bool = False

    @property
    def mark(self) -> str:
        """What tells results of different scopes apart; "" for the default."""
        rounded = " half" if self.half else ""
        if self.moments is None and self.mask is None:
            return rounded
        digest = sha256()
        if self.mask is not None:
            digest.update(repr(self.mask.shape).encode() + np.packbits(self.mask).tobytes())
        if self.moments is not None:
            for name in sorted(self.moments.states):
                digest.update(name.encode())
                for part in self.moments.states[name]:
                    digest.update(part.tobytes())
        return f" {self.name} {digest.hexdigest()[:16]}{rounded}"


PREVIEW = "preview"
WHOLE = Scope("whole")
LOCAL = Scope("local")


def scope_of(statistics: Statistics, mask: ArrayLike | None = None) -> Scope:
    """What is meant by "whole", "tissue" (with its `mask`), "local", moments or a file of them.

    Raises BadRequest, InputNotFound or InputDamaged.
    """
    if isinstance(statistics, Scope):
        return statistics
    if mask is not None or statistics == "tissue":
        return _within(statistics, mask)
    if isinstance(statistics, Moments):
        return Scope("frozen", statistics)
    if statistics in ("whole", "local"):
        return WHOLE if statistics == "whole" else LOCAL
    if isinstance(statistics, Path) or str(statistics).rstrip("/\\").endswith((".safetensors", ".zarr")):
        return Scope("frozen", Moments.load(statistics))
    raise BadRequest(
        f"statistics are 'whole', 'tissue', 'local', moments, a file of moments (.safetensors) or an earlier "
        f"result (.zarr); got {statistics!r}"
    )


def _within(statistics: Statistics, mask: ArrayLike | None) -> Scope:
    if mask is None or statistics != "tissue":
        raise BadRequest(
            f"statistics over tissue need a mask, and a mask needs statistics='tissue'; got statistics={statistics!r} "
            f"{'without' if mask is None else 'with'} a mask; give both"
        )
    plane = np.asarray(mask)
    if plane.ndim != 2 or not plane.any():
        raise BadRequest(
            f"a mask is (y, x), over the whole image at any resolution, and has some pixel; got shape {plane.shape} "
            f"with {int(np.count_nonzero(plane))} pixels set"
        )
    return Scope("tissue", mask=plane.astype(bool))
