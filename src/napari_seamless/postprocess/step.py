"""The seam of post-processing: what a step is, what it is given, and what it gives back.

A step has two halves. `PostprocessStep` is frozen, picklable and pure, and works in any thread or process, a tile at a
time. `Settler` keeps what is undecided, in one thread, and hands out what no unread tile can change any more. Tiles are
any partition of the domain, in any order, and of any sizes: the objects, their ids and the painted labels are the same,
bit for bit.

Arrays of pixels have axes (c, [z,] y, x), labels and masks ([z,] y, x); coordinates are level-0 pixels of the labels.
The output of a network may be coarser than the labels: `PostprocessStep.grid`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Interval, Region, Tile
from napari_seamless.interfaces import Pixels
from napari_seamless.postprocess.object_table import Ints, ObjectTable

Columns = Mapping[str, NDArray[Any]]
SavedState = dict[str, NDArray[Any]]
"""Arrays by name, none of them of Python objects: what a journal can keep without pickle."""


@dataclass(frozen=True)
class Domain:
    """What is made into objects: `region` of an image of this `shape`. Pixels outside the region are not there."""

    shape: tuple[int, ...]
    region: Region

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> Domain:
        return cls(shape, Region.from_shape(shape))

    def tile(self, write: Region, halo: int) -> Tile:
        """A tile that writes this, and reads `halo` pixels around it where the domain has them."""
        return Tile(write, write.grow([halo] * write.ndim).intersect(self.region))


def cells_in(region: Region, grid: int) -> Region:
    """The cells of an output that lie in a region of the labels, where cell (i, j) is pixel (grid * i, grid * j)."""
    return Region(tuple(Interval(-(-i.lo // grid), -(-i.hi // grid)) for i in region.intervals))


class DerivedMap(Protocol):
    """Numbers that a step makes of its output before anything else, and of which it wants to know a statistic of the
    whole domain. Frozen, picklable; any thread or process.

    It wants `halo` pixels around a tile, and gives (c, n): the numbers of all pixels of the tile itself that count. The
    `numbers` of what it is given are empty.
    """

    @property
    def halo(self) -> int: ...

    def __call__(self, given: TileOutput) -> Pixels: ...


@dataclass(frozen=True)
class StepBarrier:
    """A number of the whole domain that a step must know before its first tile; `percent` belongs to percentiles.

    It is of a channel of the output, or of what is `derived` from it. It is 0 where there are no numbers.
    """

    statistic: Literal["minimum", "maximum", "percentile"]
    channel: int = 0
    percent: float = 50.0
    derived: DerivedMap | None = None

    def of(self, output: Pixels, domain: Domain) -> float:
        """The number itself, of an output (c, *cells of the domain) that fits into memory."""
        if self.derived is not None:
            output = self.derived(TileOutput(domain, domain.tile(domain.region, 0), output))
        values = output[self.channel]
        if not values.size:
            return 0.0
        if self.statistic == "percentile":
            return float(np.percentile(values, self.percent))
        return float(values.min() if self.statistic == "minimum" else values.max())


@dataclass(frozen=True)
class TileOutput:
    """What a step is given of a tile.

    `pixels` is the network's output, (c, *cells_in(tile.read, step.grid).shape). `numbers` are the values of the step's
    barriers, in their order. `mask`, bool (*tile.read.shape), says which pixels count; None: all. `image` reads a
    region of the image under the output, (c, *region.shape), for measurements of objects; None: there is none to
    measure. It is called in the thread of `propose`, and only where there are objects.
    """

    domain: Domain
    tile: Tile
    pixels: Pixels
    numbers: tuple[float, ...] = ()
    mask: NDArray[np.bool_] | None = None
    image: Callable[[Region], Pixels] | None = None


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a tile has to say, as columns of which only its step knows the meaning. Picklable; without pixels."""

    tile: Region
    columns: Columns


@dataclass(frozen=True, eq=False)
class TileObjects:
    """All that `paint` must know of the objects of a tile. Picklable; only its step knows the columns."""

    tile: Region
    columns: Columns


@dataclass(frozen=True, eq=False)
class Settled:
    """What has become of objects since the last call.

    `objects` are final: each comes once, and never changes. `provisional` are new or changed, as they are by now; a
    later one of the same id replaces them. `withdrawn` are ids of provisional objects that are none, since they became
    part of another or lost against it; an id in `objects` is provisional no more. `paintable` are tiles of which every
    pixel is decided; each comes once.
    """

    objects: ObjectTable
    provisional: ObjectTable
    withdrawn: Ints
    paintable: tuple[TileObjects, ...]


@dataclass(frozen=True)
class KeptOutput:
    """What of a network's output is kept, so that objects can be made of it again.

    Where its first channel is at most `above` all channels become 0; numbers are cut to -`limit` ... `limit`, and
    rounded to float16: that is what the step sees.
    """

    above: float
    limit: float


@runtime_checkable
class Settler(Protocol):
    """The undecided part of a step. One thread; nothing else may touch it.

    `settle` takes the candidates of each tile once, in any order. `flush` says that no more tiles come (what was not
    read counts as not there), and decides all the rest. `save` copies the state, for `PostprocessStep.begin` to go on
    from; it takes `state_bytes`, which grows with the border between what is read and what is not, not with the image.
    `undecided` counts what may still become an object, or a part of one.
    Raises BadRequest for a tile that was settled before or leaves the domain.
    """

    @property
    def state_bytes(self) -> int: ...

    @property
    def undecided(self) -> int: ...

    def settle(self, candidates: Candidates) -> Settled: ...

    def flush(self) -> Settled: ...

    def save(self) -> SavedState: ...


@runtime_checkable
class PostprocessStep(Protocol):
    """A way to make objects of a network's output. Frozen, picklable; any thread or process, several at once.

    `grid` is how many pixels of the labels lie between cells of its output (`cells_in`), `halo` how many pixels around
    a tile `propose` and `paint` want, `barriers` the numbers of the whole domain that they want first,
    `paints_from_output` whether `paint` wants the tile's output again (None is given otherwise). `notices` are columns
    of `ObjectTable.extra`, bool, of which a user must hear, each with what to say of `{count}` objects. `propose`
    raises BadRequest for an output that is not of its kind. `paint` gives the labels of a tile, int64 (*tile.shape):
    the id of the object that has each pixel, 0 for none.
    """

    @property
    def grid(self) -> int: ...

    @property
    def halo(self) -> int: ...

    @property
    def notices(self) -> Mapping[str, str]: ...

    @property
    def barriers(self) -> tuple[StepBarrier, ...]: ...

    @property
    def paints_from_output(self) -> bool: ...

    def propose(self, given: TileOutput) -> Candidates: ...

    def begin(self, domain: Domain, saved: SavedState | None = None) -> Settler: ...

    def paint(self, objects: TileObjects, given: TileOutput | None) -> Ints: ...


@runtime_checkable
class CandidateStep(PostprocessStep, Protocol):
    """A step that proposes what lies in each cell of an output from that cell alone, and paints without the output.

    Its `halo` is 0, and it has no barriers. `channels` is how many an output has, and `kept` what of it must be at hand
    for other settings than these. `reach` is how many pixels from its cell an object can have some. `settings` are the
    step's, as JSON values, and its `method` by name; `with_settings` gives the same step with others, and raises
    BadRequest.
    """

    @property
    def method(self) -> str: ...

    @property
    def channels(self) -> int: ...

    @property
    def kept(self) -> KeptOutput: ...

    @property
    def reach(self) -> int: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def with_settings(self, **changes: Any) -> CandidateStep: ...
