"""What a run leaves behind."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Reads
from napari_seamless.runs.asked_roi import asked_parts, place_of
from napari_seamless.runs.claims import ROUNDED, SAME
from napari_seamless.runs.export import export
from napari_seamless.runs.moments import MOMENTS, Moments
from napari_seamless.runs.roi_parts import RoiPart, any_mask
from napari_seamless.runtime.engine.mismatch import Mismatch
from napari_seamless.runtime.planning import readable
from napari_seamless.store import JointStore, Store
from napari_seamless.store.journal import FOLDER
from napari_seamless.store.zarr_arrays import disk_errors

if TYPE_CHECKING:
    from dask.array import Array

LARGEST_ARRAY = 8 << 30


@dataclass(frozen=True)
class SelfCheck:
    """A few output regions computed a second time, in another tile size and alignment, each straight from the image.

    `largest` and `mean` are absolute differences, in units of the output's standard deviation over the checked
    regions for images, and shares for labels (of differing pixels) and for candidates of objects (of numbers that
    differ by more than rounding). It is not `exact` where values were rounded on the way on purpose, in `precision` or
    between passes; then it is how far the result is from float32, with the moments that were measured.
    """

    regions: int
    largest: float
    mean: float
    precision: str = "float32"
    tf32: bool = False
    exact: bool = True
    kind: str = "image"

    def __str__(self) -> str:
        """As the user reads it, such as "same as on the whole image: max difference 2e-06 over 5 checks"."""
        claim = SAME if self.exact else ROUNDED
        if self.precision != "float32":
            claim = f"{ROUNDED}, in {self.precision}, against float32"
        if self.kind != "image":
            of = "the pixels differs" if self.kind == "labels" else "what objects are made of differs beyond rounding"
            return f"{claim}: a share of {_amount(self.mean)} of {of} over {self.regions} checks"
        return f"{claim}: max difference {_amount(self.largest)} over {self.regions} checks"


def _amount(number: float) -> str:
    return f"{number:.0e}" if number else "0"


@dataclass(frozen=True)
class Report:
    """What a run did: `bytes` is the predicted peak of device memory, `seconds` the wall clock of this run only.

    `passes` is how often this run went over the tiles, `kept` the most bytes that lay between passes in each tier, and
    `statistics` what norms over the plane were taken over ("" for a network without any); `difference_to_whole`
    compares with those of the whole image, where that was asked for. `skipped` is the share of the region that was left
    empty, being no tissue, `left_out` the share that lies outside the shapes that were asked for, and was left as it
    was. `reads` is what the source decoded since it was opened, where it counts (workers in other
    processes count for themselves). A result that is not `exact` was blended of
    overlapping tiles; `mismatch` says how far these differ (None: there was only one). `failed` are output regions
    that were left out since the image could not be read there. `largest_piece` is how many pixels were computed at once
    since the device had no memory for a whole tile; None where it had. `utilization` is the share of the time with
    tiles in flight in which the device was at work (the mean of several devices); what is missing to 1 went to reading,
    writing and handing over. None where nothing was made. `precision` is what was computed in, and `notices` say what
    was decided about image and network, and what was done for want of something that the device does not have. `peak`
    is the most bytes that torch held on a CUDA device meanwhile, in this process; None elsewhere, where nobody counts.
    `growth` is by how many bytes, at most, the memory of this process grew meanwhile on a CPU, whatever for (see
    `Growth`); None elsewhere. `objects` says how they were made of a network's output, where they were."""

    state: str
    tiles: int
    passes: int
    pixels: int
    seconds: float
    tile: tuple[int, ...]
    bytes: int
    device: str
    region_programs: int
    self_check: SelfCheck | None
    difference_to_whole: SelfCheck | None = None
    skipped: float = 0.0
    left_out: float = 0.0
    reads: Reads | None = None
    kept: dict[str, int] = field(default_factory=dict)
    statistics: str = ""
    mismatch: Mismatch | None = None
    exact: bool = True
    failed: tuple[Region, ...] = ()
    largest_piece: int | None = None
    utilization: float | None = None
    precision: str = "float32"
    notices: tuple[str, ...] = ()
    peak: int | None = None
    growth: int | None = None
    objects: ObjectReport | None = None

    @property
    def memory(self) -> str:
        """The predicted peak and what was found, such as "3 GB predicted for tiles at most; 2.8 GB measured"."""
        found = ""
        if self.peak is not None:
            found = f"; {readable(self.peak)} measured"
        elif self.growth is not None:
            found = f"; the whole process grew by {readable(self.growth)}"
        return f"{readable(self.bytes)} predicted for tiles at most{found}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; regions as (lo, hi) an axis."""
        failed = [[[i.lo, i.hi] for i in region.intervals] for region in self.failed]
        return {**asdict(self), "tile": list(self.tile), "failed": failed}


@dataclass(frozen=True)
class ObjectReport:
    """How objects were made: `method` and its `settings`, as JSON values; how many of its candidates were undecided at
    once, at most, and the bytes that took; and how many objects were shown and taken back."""

    method: str
    settings: Mapping[str, Any]
    undecided: int
    state_bytes: int
    withdrawn: int

    def __str__(self) -> str:
        """As the user reads it."""
        said = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in self.settings.items())
        return (
            f"objects by {self.method} ({said}); at most {self.undecided:,} candidates were undecided at once, in "
            f"{readable(self.state_bytes)}"
        )


class Result:
    """The pixels of a run: `numpy.asarray(result)` is (c, [z,] y, x), or ([z,] y, x) without a channel axis.

    Where only a region was asked for, the array is that region, and where shapes were, 0 outside of them; `save` writes
    what was asked for, too. `levels` are the whole output's, with all chunks that were made, 0 where none was.
    Of a model with post-processing these are labels of objects, and `candidates` is what of the network's output they
    were made of (`objects_of` reads both); None of any other.
    `moments` are what was measured over the whole plane, None where nothing was; they make any other region of the same
    image exact in one pass.
    """

    def __init__(
        self,
        store: Store,
        region: Region,
        report: Report,
        moments: Moments | None = None,
        candidates: Store | None = None,
    ) -> None:
        self.store = store
        self.candidates = candidates
        self.region = region
        self.report = report
        self.moments = moments

    @property
    def levels(self) -> Sequence[object]:
        """Array-likes, finest first, of the whole output."""
        return self.store.levels

    @property
    def images(self) -> Mapping[str, Result]:
        """Of several outputs that were made in one run: the result of each, by name; this is the first. Else none."""
        stores = self.store.images if isinstance(self.store, JointStore) else {}
        return {name: Result(store, self.region, self.report, self.moments) for name, store in stores.items()}

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences about what was decided or done in another way: of the image, the network and the device."""
        return self.report.notices

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.store.spec.channel_axis, *self.region.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.store.spec.dtype

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        del copy
        if self.region.size * self.store.spec.pixel_bytes > LARGEST_ARRAY:
            raise BadRequest(
                f"an array in memory may take at most {LARGEST_ARRAY >> 30} GiB; this result of shape {self.shape} is "
                "larger; use to_dask(), levels, or a region"
            )
        pixels = self.read(self.region)
        return pixels if dtype is None else pixels.astype(dtype)

    @cached_property
    def _parts(self) -> tuple[RoiPart, ...]:
        """What was asked for; () where that is all of the region."""
        parts = asked_parts(self.store, place_of(self.store.provenance, self.region.ndim), self.store.spec.shape)
        return () if any(part.is_box and part.region.contains(self.region) for part in parts) else parts

    def read(self, region: Region) -> NDArray[Any]:
        """Pixels of a region of the whole output, 0 outside of what was asked for; axes as those of the array."""
        pixels = self.store.read(region)
        if self._parts:
            pixels = np.where(any_mask(self._parts, region), pixels, 0).astype(self.dtype)
        return pixels if self.store.spec.channels is not None else pixels[0]

    def to_dask(self) -> Array:
        """The same pixels as a lazy dask array, in the store's chunks."""
        import dask.array

        lead = self.store.spec.channel_axis
        sizes = (*lead, *self.store.grid.cell)
        chunks = dask.array.core.normalize_chunks(sizes, shape=self.shape, dtype=self.dtype)
        meta = np.empty((0,) * len(self.shape), self.dtype)
        lazy: Array = dask.array.map_blocks(PieceOfResult(self), chunks=chunks, dtype=self.dtype, meta=meta)
        return lazy

    def save(
        self,
        path: str | Path,
        overwrite: bool = False,
        *,
        region: Region | None = None,
        roi: Any = None,
        level: int = 0,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Write what was asked for, as far as it is finished, to `path`: as OME-Zarr 0.5 with its moments (.ome.zarr),
        as pyramidal OME-TIFF (.ome.tif), or, for labels, as outlines that QuPath imports (.geojson).

        `region`, in output pixels, `roi` ("computed" is all that was made) and `level` choose another part, as in
        `export`. Raises BadRequest, OutputExists, OutputUnwritable.
        """
        path = Path(path)
        options: dict[str, Any] = {"region": region, "roi": roi, "level": level, "overwrite": overwrite}
        saved = export(self.store, path, on_progress=on_progress, **options)
        if self.moments is not None and self.store.side_folder is None and path.suffix == ".zarr":
            with disk_errors(saved):
                self.moments.save(saved / f"{self.store.spec.folder}0" / FOLDER / MOMENTS)
        return saved

    def __repr__(self) -> str:
        return f"Result({self.store.spec.name!r}, shape={self.shape}, dtype={self.dtype}, {self.report.state})"


@dataclass(frozen=True)
class PieceOfResult:
    """One chunk of a result, as dask asks for it."""

    result: Result

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where the result lies."""
        return self.result.store.paths

    def __dask_tokenize__(self) -> str:
        """dask would pickle the result, which is what begins to write it elsewhere."""
        return uuid4().hex

    @property
    def __name__(self) -> str:  # dask calls the layer of its graph so
        return self.result.store.spec.name

    def __call__(self, block_info: Any = None) -> NDArray[Any]:
        lead = len(self.result.store.spec.channel_axis)
        location = block_info[None]["array-location"][lead:]
        return self.result.read(Region.of(*location).shift(self.result.region.start))
