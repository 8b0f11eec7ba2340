"""What can be run: a network on one level of one image, exactly or on blended tiles, and how runs see either kind.

`exact.py` and `blended.py` are the two kinds of `Prepared`. Each says how it is cut (`PassPlan`), and what computes it
(`Passes`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch

from napari_seamless.fingerprints import is_edited, source_identity
from napari_seamless.geometry import Interval, Region
from napari_seamless.interfaces import PrecedingPass, Source, SourceRead, StopFlag
from napari_seamless.models import Model
from napari_seamless.program.saved_activations import ActivationPlan
from napari_seamless.runs.moments import Moments
from napari_seamless.runs.option_groups import MemoryOptions
from napari_seamless.runs.result import SelfCheck
from napari_seamless.runs.statistics import StatisticsDomain
from napari_seamless.runs.tile_cost import TileCost
from napari_seamless.runtime.engine import TorchEngine
from napari_seamless.runtime.engine.blended import BlendedEngine
from napari_seamless.runtime.engine.mismatch import Mismatch
from napari_seamless.runtime.engine.precision import EffectivePrecision, Precision
from napari_seamless.runtime.planning import TileChoice
from napari_seamless.store import Store

OutputEngine = TorchEngine | BlendedEngine


@dataclass(frozen=True)
class PreparedImage:
    """A network on one level of one image: everything that does not depend on the budget.

    `output_shape` is spatial, ((z,) y, x). Output pixel o lies at pixel o * `scale` + `offset` of the level (pixel
    centres). `output_channels` is None where the network's result has no channel axis.
    """

    model: Model
    source: Source
    level: int
    program_hash: str
    output_shape: tuple[int, ...]
    output_channels: int | None
    output_dtype: np.dtype[Any]
    scale: tuple[float, ...]
    offset: tuple[float, ...]

    @cached_property
    def network_hash(self) -> str:
        """The same for all sizes of image: a digest of names, types and values of the weights."""
        digest = sha256()
        for name, tensor in sorted(self.model.module.state_dict().items()):
            if isinstance(tensor, torch.Tensor):
                digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
                digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @cached_property
    def source_identity(self) -> str:
        """What the pixels are: image and level, and a digest of an array in memory, as it was when first asked for."""
        return source_identity(self.source, self.level)

    def identified(self) -> Self:
        """The same, which asks anew what the pixels are: an array may have been edited in place since."""
        fresh = copy(self)
        vars(fresh).pop("source_identity", None)
        return fresh

    @property
    def notices(self) -> tuple[str, ...]:
        """What the image and the network have to say about how they are taken."""
        info = self.source.info
        edited = (
            [f"the pixels of '{info.name}' are taken as they are on screen: they were edited since the file was opened"]
            if is_edited(self.source)
            else []
        )
        return tuple(dict.fromkeys((*info.notices, *edited, *self.model.notices)))

    def to_output(self, region: Region) -> Region:
        """Output pixels whose centres lie in a region of the level, cut to the output."""
        intervals = []
        for span, scale, offset, size in zip(region.intervals, self.scale, self.offset, self.output_shape, strict=True):
            lo, hi = (int(np.ceil((edge - 0.5 - offset) / scale - 1e-9)) for edge in (span.lo, span.hi))
            lo = min(max(lo, 0), size)
            intervals.append(Interval(lo, max(lo, min(hi, size))))
        return Region(tuple(intervals))


@dataclass(frozen=True)
class RunSettings:
    """What a run asks for, settled on a device: `precision` is the one that can be had there.

    Workers that are `is_remote` share nothing but the disk; `scratch` is the folder for what is kept there (None: a
    temporary one).
    """

    device: torch.device
    precision: Precision
    domain: StatisticsDomain
    memory: MemoryOptions
    scratch: Path | None = None
    is_remote: bool = False


class Passes(Protocol):
    """What computes one run. Driving thread, once the run is started.

    `preceding` measure, and must be over before the engine of the output can be had; `moments` are what has been
    measured so far, None where nothing is to be; `note` takes what was read of the image for a tile of those that
    measure. `is_exact` says that a second computation from the image must agree.
    """

    @property
    def device(self) -> torch.device: ...

    @property
    def is_exact(self) -> bool: ...

    @property
    def activations(self) -> ActivationPlan: ...

    @property
    def preceding(self) -> tuple[PrecedingPass, ...]: ...

    @property
    def moments(self) -> Moments | None: ...

    @property
    def is_measured(self) -> bool: ...

    @property
    def notices(self) -> tuple[str, ...]: ...

    def output_engine(self) -> OutputEngine: ...

    def checking_engine(self) -> OutputEngine: ...

    def note(self, reads: Sequence[SourceRead]) -> None: ...

    def mismatch(self, region: Region) -> Mismatch | None: ...

    def close(self) -> None: ...


class PassPlan(Protocol):
    """The tiles and passes of one run, before anything is written. `domain` says what its statistics are of, and
    `activations` what is kept between passes."""

    @property
    def choice(self) -> TileChoice: ...

    @property
    def domain(self) -> StatisticsDomain: ...

    @property
    def activations(self) -> ActivationPlan: ...

    @property
    def number_of_passes(self) -> int: ...

    def passes(self, store: Store) -> Passes: ...


class Comparison(Protocol):
    """Computes a few regions of a result again as they are exactly, with statistics of the whole image. Takes as long
    as the passes that measure these. Driving thread; raises RunCancelled when `stop` says True."""

    def difference(self, store: Store, region: Region, stop: StopFlag) -> SelfCheck | None: ...


class Prepared(Protocol):
    """A network that is ready to be run on an image: `exact` tile by tile, or on overlapping, blended tiles.

    Immutable; any thread. The first names are those of `PreparedImage`. `number_of_passes` is how often a run goes over
    the tiles; `facts` are what provenance says of how it is computed; `lines` tell a person how it is run where it is
    not exact. `macs` is the work of an output region, in a unit of its own.
    """

    @property
    def model(self) -> Model: ...

    @property
    def source(self) -> Source: ...

    @property
    def level(self) -> int: ...

    @property
    def program_hash(self) -> str: ...

    @property
    def output_shape(self) -> tuple[int, ...]: ...

    @property
    def output_channels(self) -> int | None: ...

    @property
    def output_dtype(self) -> np.dtype[Any]: ...

    @property
    def scale(self) -> tuple[float, ...]: ...

    @property
    def offset(self) -> tuple[float, ...]: ...

    @property
    def network_hash(self) -> str: ...

    @property
    def source_identity(self) -> str: ...

    @property
    def notices(self) -> tuple[str, ...]: ...

    def identified(self) -> Self: ...

    def to_output(self, region: Region) -> Region: ...

    @property
    def exact(self) -> bool: ...

    @property
    def needs_float64(self) -> bool: ...

    @property
    def number_of_passes(self) -> int: ...

    @property
    def facts(self) -> Mapping[str, Any]: ...

    def lines(self) -> Iterator[str]: ...

    def macs(self, write: Region) -> int: ...

    def with_source(self, source: Source) -> Prepared: ...

    def with_local_statistics(self) -> Prepared: ...

    def in_precision(self, settled: EffectivePrecision) -> tuple[Prepared, EffectivePrecision]: ...

    def output_engine(
        self, device: str = "auto", budget: int | None = None, precision: Precision = "float32"
    ) -> OutputEngine: ...

    def tile_cost(self, tile: int) -> TileCost | None: ...

    def plan(self, settings: RunSettings) -> PassPlan: ...

    def estimated_moments(self, device: str, stop: StopFlag) -> Moments | None: ...

    def comparison(self, settings: RunSettings, choice: TileChoice) -> Comparison | None: ...
