"""Over which pixels norms and pools over the plane take their statistics."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from napari_seamless.errors import BadRequest
from napari_seamless.pipeline.moments import Moments

Statistics = str | Path | Moments


@dataclass(frozen=True)
class Scope:
    """`name` is "whole" or "frozen"; frozen ones bring their `moments`."""

    name: str
    moments: Moments | None = None

    @property
    def mark(self) -> str:
        """What tells results of different scopes apart; "" for the default."""
        if self.moments is None:
            return ""
        digest = sha256()
        for name in sorted(self.moments.states):
            digest.update(name.encode())
            for part in self.moments.states[name]:
                digest.update(part.tobytes())
        return f" {self.name} {digest.hexdigest()[:16]}"


WHOLE = Scope("whole")


def scope_of(statistics: Statistics) -> Scope:
    """The scope meant by "whole", by moments or by a file of them. Raises BadRequest, InputNotFound, InputDamaged."""
    if isinstance(statistics, Moments):
        return Scope("frozen", statistics)
    if statistics == "whole":
        return WHOLE
    if isinstance(statistics, Path) or str(statistics).endswith(".safetensors"):
        return Scope("frozen", Moments.load(statistics))
    raise BadRequest(f"statistics are 'whole', moments, or a file of moments (.safetensors); got {statistics!r}")
