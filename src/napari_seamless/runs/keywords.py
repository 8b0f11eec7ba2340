"""The options of a run as keyword arguments, typed for editors; a test holds them equal to the fields of the config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from napari_seamless.runs.config import GROUPS, RunConfig
from napari_seamless.runs.option_groups import AnyRoi, Keep

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from napari_seamless.geometry import Region
    from napari_seamless.runs.moments import Moments


class PrepareKeywords(TypedDict, total=False):
    """What the traced network depends on."""

    axes: str | None
    scene: str | int | None
    plane: Mapping[str, int] | None
    channels: Sequence[int | str] | None
    pixel_size: float | Sequence[float] | None
    value_range: Sequence[float] | None
    level: int
    network_output: str | int | Sequence[str | int] | None
    approximate: bool


class StartKeywords(TypedDict, total=False):
    """What a run of a traced network depends on."""

    region: Region | None
    roi: AnyRoi | None
    budget: int | str | None
    tile: int | None
    keep: Keep
    keep_half: bool
    scratch: str | Path | None
    output: str | Path | None
    overwrite: bool
    shards: bool
    same_image: bool
    statistics: str | Path | Moments
    mask: ArrayLike | None
    tissue_threshold: float | None
    compare_to_whole: bool
    device: str
    precision: str
    scheduler: Any


class RunKeywords(PrepareKeywords, StartKeywords, total=False):
    """All options of a run."""


PREPARE = frozenset((*GROUPS["image"], "network_output", "approximate"))
START = frozenset(name for group in GROUPS.values() for name in group) - PREPARE
RUN = PREPARE | START


def config_of(verb: str, config: RunConfig | None, options: Mapping[str, Any], allowed: frozenset[str]) -> RunConfig:
    """A config with some options changed by keywords. Raises TypeError for one that `verb` does not take."""
    unknown = sorted(options.keys() - allowed)
    if unknown:
        raise TypeError(f"{verb}() has no option {unknown[0]!r}; it has {', '.join(sorted(allowed))}")
    return (config or RunConfig()).replace(**options)
