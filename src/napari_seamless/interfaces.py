"""The Protocols and frozen values that cross layers, each with its thread and ownership rules; no logic.

Arrays have axes (c, [z,] y, x): channels first, no batch axis, even for one channel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import RegionUnreadable
from napari_seamless.geometry import Grid, Levels, Region, SlidePosition, Tile

Pixels = NDArray[np.generic]
StopFlag = Callable[[], bool]


@dataclass(frozen=True)
class ImageInfo:
    """What an image is, without its pixels.

    `levels` are spatial shapes ((z,) y, x). `channels` is the length of the channel axis that every read returns.
    `pixel_size` is in `unit` per level-0 pixel, one number a spatial axis (0 along an axis of which the file does not
    say it), or None where the file says none. `origin` is where the centre of the first level-0 pixel lies, one number
    a spatial axis, in `unit`, or in pixels where there is no pixel size; empty means at 0.
    `channel_colours` are those in which a file wants its channels shown, as #rrggbb, one a channel or none at all.
    `rgb` says that the (three) channels are red, green and blue. `identity` is what the image was when it was
    opened, without its pixels: of files, what the disk says of them; of arrays, shape, type and axes. `Fingerprinted`
    and the digests of what tiles read tell the pixels.
    `scenes` are the names of all images of the file (empty where there is only one), and `scene` is this one's;
    `notices` are sentences for the user about the way this file is stored. `times` is how many time points there are,
    of which this image is one; `plane` pairs "t" and "z" with the number of what was taken of a series or a stack.
    A result that is not `exact` was blended of overlapping tiles; `title` is its name as it is shown.
    Where it was made of another image, `on_slide` is where it lies on the slide that they come from. `value_range` are
    black and white where a file says that it uses less than all numbers of its type.
    """

    name: str
    levels: Levels
    channels: int
    dtype: np.dtype
    identity: str
    channel_names: tuple[str, ...] = ()
    rgb: bool = False
    pixel_size: tuple[float, ...] | None = None
    unit: str = "micrometer"
    origin: tuple[float, ...] = ()
    channel_colours: tuple[str, ...] = ()
    format: str = "array"
    scenes: tuple[str, ...] = ()
    scene: str = ""
    notices: tuple[str, ...] = ()
    times: int = 1
    plane: tuple[tuple[str, int], ...] = ()
    exact: bool = True
    on_slide: SlidePosition | None = None
    value_range: tuple[float, float] | None = None

    @property
    def title(self) -> str:
        """The name, and that it is approximate where it is."""
        return self.titled(self.name, self.exact)

    @staticmethod
    def titled(name: str, exact: bool) -> str:
        """The name of a result as it is shown.

        >>> ImageInfo.titled("nuclei", exact=False)
        'nuclei (approximate)'
        """
        return name if exact else f"{name} (approximate)"

    @property
    def ndim(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return self.levels.ndim


@dataclass(frozen=True)
class Reads:
    """Bytes of pixels that a source has decoded since it was opened in this process.

    `needed` counts each stored piece (a TIFF tile, for example) that was touched once, `decoded` as often as it was
    decoded: their ratio is 1 when nothing is decoded twice.
    """

    needed: int = 0
    decoded: int = 0

    @property
    def redundancy(self) -> float:
        return self.decoded / self.needed if self.needed else 1.0


@runtime_checkable
class CountsReads(Protocol):
    """A source that counts what it decodes. Any thread."""

    @property
    def reads(self) -> Reads: ...


@runtime_checkable
class Source(Protocol):
    """A region of an image as an array.

    `read` is called from any thread, several at once. The array it returns belongs to the caller, has shape
    (c, *region.shape) and the source's own dtype. The region must lie inside the level: a source never clamps or
    pads. A damaged file raises InputDamaged. A source that can be reopened elsewhere (a path) is picklable.
    """

    @property
    def info(self) -> ImageInfo: ...
    def read(self, region: Region, level: int = 0) -> Pixels: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class SourceRead:
    """A region of an image that was read for a tile, and its fingerprint at that time (`fingerprints.py`)."""

    region: Region
    fingerprint: str


@runtime_checkable
class GrowingSource(Protocol):
    """A source whose coarser levels are made when they are wanted.

    `read` is exact, and makes what is missing first, which may take long. `read_preview` answers at once, roughly where
    nothing is made yet. `overview` is the coarsest level, (c, y, x), and changes in place while a thread, started by
    `grow`, makes the rest; `changed` is called from that thread. Any thread.
    """

    def read_preview(self, region: Region, level: int = 0) -> Pixels: ...
    @property
    def overview(self) -> Pixels: ...
    @property
    def fraction(self) -> float: ...
    def grow(self, changed: Callable[[], None]) -> None: ...


class Engine(Protocol):
    """A program on a device.

    Safe to call from several threads: an engine computes one tile at a time, and others may read meanwhile. `compute`
    calls `read` once, for the tile's read region, in the calling thread, and looks at `stop` between operators; when
    it says True, RunCancelled is raised. The returned array is (c, *write.shape) in host memory, and belongs to the
    caller; a pass that measures returns what its own sink expects instead. A tile whose read region is empty is made
    without reading.
    """

    def tile(self, write: Region) -> Tile: ...
    def compute(self, tile: Tile, read: Callable[[Region], Pixels], stop: StopFlag) -> Any: ...


@dataclass(frozen=True)
class DeviceTime:
    """Seconds that the device of one engine was at work."""

    engine: str
    seconds: float


@runtime_checkable
class TimedEngine(Protocol):
    """An engine that knows how long its device was at work.

    `take_device_time` gives the time since it was last asked, by anybody, so that a sum counts nothing twice; None
    where it is not known. Any thread.
    """

    def take_device_time(self) -> DeviceTime | None: ...


class Sink(Protocol):
    """Where computed pixels go.

    `write` is called from worker threads or processes; no two calls touch one chunk. `commit` is called in the
    driving thread, once for every write, after it returned: coarser levels, journal and watchers are updated there.
    Both raise OutputUnwritable when the disk says no.

    What `write` returns, unless it is None, is small and picklable, and is brought to `Receiver.receive`, in the
    driving thread before `commit`: the way home, from other processes too, of what a tile measured.
    """

    def write(self, region: Region, pixels: Any) -> object: ...
    def commit(self, region: Region) -> None: ...


@runtime_checkable
class Receiver(Protocol):
    """A sink whose writes return something that it wants back. Driving thread."""

    def receive(self, region: Region, receipt: Any) -> None: ...


class TileQueue(Protocol):
    """The tiles still to do, asked one at a time, so that the order can change between two of them.

    Safe to call from any thread. `take` returns None when nothing is left to start right now. What it gave comes
    back exactly once, by `done`, `give_back` or `fail`. `revision` grows whenever the order was changed from outside,
    so that an executor that batches tiles can begin with single ones again. `is_preempted` says of a tile that was
    taken whether to leave it unfinished: it is off screen while something on screen waits to be started.
    """

    @property
    def revision(self) -> int: ...
    def take(self) -> Region | None: ...
    def done(self, write: Region) -> None: ...
    def give_back(self, write: Region) -> None: ...
    def fail(self, write: Region, error: RegionUnreadable) -> None: ...
    def is_preempted(self, write: Region) -> bool: ...


class PassQueue(TileQueue, Protocol):
    """A queue that knows how far it is: `counts` are (done, total) pixels."""

    @property
    def counts(self) -> tuple[int, int]: ...
    @property
    def is_finished(self) -> bool: ...


class Scratch(Protocol):
    """Arrays on disk for the length of a run. Any thread or process; writes never overlap."""

    def create(self, name: str, shape: tuple[int, ...], dtype: Any) -> None: ...
    def write(self, name: str, at: tuple[slice, ...], pixels: Pixels) -> None: ...
    def read(self, name: str, at: tuple[slice, ...]) -> Pixels: ...
    def drop(self, name: str) -> None: ...
    def remove(self) -> None: ...


@dataclass(frozen=True)
class TileResult:
    """What comes back of a tile that was made: what the sink's `write` gave, how long the device was at work, and what
    the tile was made of, as far as the identity of the image does not say it. Of a partial one only those pixels were
    made that were asked for."""

    receipt: object
    device_time: DeviceTime | None = None
    reads: tuple[SourceRead, ...] = ()
    is_partial: bool = False


class Job(Protocol):
    """What a worker needs to make a tile: read, compute, write.

    `make` is called in any thread or process, `receive` with what it returned in the driving thread, before
    `sink.commit`. A job is picklable when its parts are. `make` raises RegionUnreadable where the image cannot be read.
    """

    @property
    def engine(self) -> Engine: ...
    @property
    def sink(self) -> Sink: ...
    def make(self, write: Region, stop: StopFlag) -> TileResult: ...
    def receive(self, write: Region, result: TileResult) -> None: ...


class PrecedingPass(Protocol):
    """A pass that must be over before a run's own tiles can be made: it measures, and makes no pixels.

    `cost` is its work, as a number of output pixels of the run that take as long. `begin` and `end` are called in the
    driving thread, once each, in this order and after the `end` of the pass before.
    """

    @property
    def queue(self) -> PassQueue: ...
    @property
    def cost(self) -> float: ...
    def begin(self) -> Job: ...
    def end(self) -> None: ...


@runtime_checkable
class Executor(Protocol):
    """Makes the tiles of a queue; `is_remote` where its workers are in other processes, which share but the disk.

    `run` blocks the calling thread (the driving thread) until the queue has nothing to start and nothing is in flight,
    or `stop` says True and what was in flight has come back. `commit` is called in the driving thread after each
    finished tile, before the queue's `done`. A tile whose pixels cannot be read goes to the queue's `fail`, which may
    raise. Any other exception of a worker stops the run and is raised here; what was not finished is given back.
    """

    @property
    def is_remote(self) -> bool: ...
    def run(self, job: Job, queue: TileQueue, commit: Callable[[Region], None], stop: StopFlag) -> None: ...
    def close(self) -> None: ...


RunState = Literal["waiting", "running", "paused", "finished", "cancelled", "failed"]


@dataclass(frozen=True)
class Progress:
    """A snapshot of a run. Counts are output pixels (of one channel) of the regions that the run was asked for.

    `failed` is what could not be read and was left out; it is not in `done`.

    Where passes measure before the last one makes pixels, their work counts as so many output pixels as take as long.
    `pass_number` counts from 1; it is `passes` when pixels are made. `pass_fraction` is the share of the present pass
    that is done.

    `utilization` is the share of the time with tiles in flight in which the device was at work, over the run so far
    (the mean of several devices); None where nobody measured it, or nothing is done yet.
    """

    state: RunState
    done: int
    total: int
    tiles: int
    seconds: float
    rate: float
    eta: float | None
    error: BaseException | None = None
    pass_number: int = 1
    passes: int = 1
    failed: int = 0
    pass_fraction: float = 0.0
    utilization: float | None = None

    @property
    def fraction(self) -> float:
        return self.done / self.total if self.total else 1.0


class RunHandle(Protocol):
    """A started plan. Every method may be called from any thread and returns at once, except `wait`.

    `retarget` names the output region on screen (None: nothing is): it is computed first, nearest its centre first,
    then its surroundings. `set_tile` takes effect on the next tile; nothing finished is computed again.
    `cancel` keeps what is finished. `wait` blocks, and raises what made the run fail.
    """

    def progress(self) -> Progress: ...
    def retarget(self, view: Region | None) -> None: ...
    def set_tile(self, tile: int) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def cancel(self) -> None: ...
    def wait(self, timeout: float | None = None) -> None: ...


@dataclass(frozen=True)
class LabelClass:
    """A class of a segmentation: its value in the label image, its name and its colour as #rrggbb."""

    value: int
    name: str
    colour: str

    @staticmethod
    def default_name(value: int) -> str:
        """What a value of a label image is called where nobody has named it."""
        return f"class {value}" if value else "background"


@dataclass(frozen=True)
class FreshPixels:
    """Freshly computed pixels of one level of a live image: (c, *region.shape), read only."""

    level: int
    region: Region
    pixels: Pixels


class LiveImage(Protocol):
    """A result that can be shown while it fills.

    `levels` are array-likes, finest first, of shape (y, x) for labels and single planes or (c, y, x) (with z before y
    for volumes), that answer `__getitem__` at once from memory or disk, with 0 where nothing is written, and never
    compute. The last one is a plain numpy array that changes in place. Each level halves y and x of the one before.
    `finished` says which chunks of `grid`, over level 0, are written; it goes on changing.

    `watch` gives a new deque that receives every piece from then on (bounded: when it is full the oldest pieces go, and
    a watcher refreshes instead); it is filled by the driving thread and drained by the watcher's.
    """

    @property
    def info(self) -> ImageInfo: ...
    @property
    def kind(self) -> Literal["labels", "image"]: ...
    @property
    def classes(self) -> Sequence[LabelClass]: ...
    @property
    def levels(self) -> Sequence[object]: ...
    @property
    def grid(self) -> Grid: ...
    @property
    def finished(self) -> NDArray[np.bool_]: ...
    def watch(self) -> deque[FreshPixels]: ...
