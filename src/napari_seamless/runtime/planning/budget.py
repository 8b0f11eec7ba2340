"""From a memory budget to a tile size.

Larger tiles waste less work on halos, so the largest one whose predicted peak fits is taken, or where nobody is in need
of that, the smallest one beyond which little would be saved. Tiles are squares in y and x; in volumes they are as deep
as fits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from napari_seamless.errors import BadRequest, BudgetTooSmall

EDGES = (64, 128, 256, 512, 1024, 1536, 2048, 3072, 4096, 6144, 8192)
DEPTH_STEP = 16
CHUNKS = (512, 256, 128, 64, 32)
UNHURRIED, WORTHWHILE = 1024, 1.08
"""Where small tiles are welcome, they grow beyond this edge as long as doubling it saves such a share of the work:
larger ones only delay what is seen."""

BytesOf = Callable[[tuple[int, ...]], int]
WorkOf = Callable[[tuple[int, ...]], float]
"""The work of an inner tile of some shape for each of its pixels, in any unit."""


@dataclass(frozen=True)
class TileChoice:
    """A tile of `tile` output pixels in y and x (and `depth` in z), predicted to need `bytes` of the `budget`.

    `choices` are all edges with the bytes they would need, for a slider.
    """

    tile: int
    bytes: int
    choices: tuple[tuple[int, int], ...]
    budget: int
    depth: int | None = None


def choose_tile(shape: Sequence[int], bytes_of: BytesOf, budget: int, work_of: WorkOf | None = None) -> TileChoice:
    """The largest tile for an output of `shape` ((z,) y, x) whose `bytes_of(tile shape)` fits in `budget`.

    With `work_of` it is no larger than is worthwhile: edges count by what they save, since the halo of a network whose
    output is finer than its image takes the same share of a tile only where that is larger. Raises BudgetTooSmall,
    naming what the smallest tile needs.
    """
    if budget < 1:
        raise BadRequest(f"a budget must be a positive number of bytes; got {budget}; give it as 2GB or 500MB")
    options = [(edge, depth, bytes_of(_shape(shape, edge, depth))) for edge in edges(shape) for depth in depths(shape)]
    fitting = [o for o in options if o[2] <= budget]
    if not fitting:
        smallest = min(o[2] for o in options)
        raise BudgetTooSmall(
            f"the budget must hold at least the smallest tile, which needs {readable(smallest)}; got "
            f"{readable(budget)}; use a budget of {readable(smallest)} or more",
            needed=smallest,
        )
    if work_of is not None:
        largest = _worthwhile(shape, sorted({o[0] for o in fitting}), work_of)
        fitting = [o for o in fitting if o[0] <= largest]
    edge, depth, size = max(fitting, key=lambda o: (prod(_shape(shape, o[0], o[1])), -o[2]))
    return TileChoice(edge, size, tuple(_per_edge(options, budget)), budget, depth)


def _worthwhile(shape: Sequence[int], fitting: Sequence[int], work_of: WorkOf) -> int:
    """The smallest edge, of those that fit, beyond which doubling saves little."""
    edge, flat = min(UNHURRIED, fitting[-1]), depths(shape)[-1]
    while 2 * edge in fitting:
        if work_of(_shape(shape, edge, flat)) < WORTHWHILE * work_of(_shape(shape, 2 * edge, flat)):
            break
        edge *= 2
    return edge


def edges(shape: Sequence[int]) -> list[int]:
    """Edges worth choosing from: none beyond the first that covers the whole plane."""
    enough = next((e for e in EDGES if e >= max(shape[-2:])), EDGES[-1])
    return [e for e in EDGES if e <= enough]


def depths(shape: Sequence[int]) -> list[int | None]:
    """Depths worth choosing from: the whole volume, its halves, down to one chunk; None for planes."""
    if len(shape) == 2:
        return [None]
    found, depth = [], shape[0]
    while depth > DEPTH_STEP:
        found.append(-(-depth // DEPTH_STEP) * DEPTH_STEP)
        depth = -(-depth // 2)
    return [*found, DEPTH_STEP]


def chunk_of(tile: int) -> int:
    """The store's chunk for a tile: the largest power of two, at most 512, that divides it.

    Raises BadRequest for a tile that is not a multiple of 32, or smaller than 64.
    """
    if tile < EDGES[0] or tile % CHUNKS[-1]:
        raise BadRequest(
            f"a tile's side must be a multiple of {CHUNKS[-1]} pixels, and at least {EDGES[0]}; got {tile}; use 512 or "
            "1024"
        )
    return next(c for c in CHUNKS if tile % c == 0)


def readable(size: int) -> str:
    """Bytes as a person writes them, rounded up so that the number said is always enough."""
    for unit, step in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= step:
            tenths = -(-size * 10 // step)
            return f"{tenths / 10:g} {unit}"
    return f"{size} bytes"


def _shape(shape: Sequence[int], edge: int, depth: int | None) -> tuple[int, ...]:
    plane = tuple(min(edge, n) for n in shape[-2:])
    return plane if depth is None else (min(depth, shape[0]), *plane)


def _per_edge(options: Sequence[tuple[int, int | None, int]], budget: int) -> list[tuple[int, int]]:
    """For each edge the bytes of its deepest tile that fits, else of its flattest."""
    found: dict[int, int] = {}
    for edge, _, size in options:
        best = found.get(edge)
        better = best is None or (size <= budget and size > best) or (best > budget and size < best)
        found[edge] = size if better else best or size
    return list(found.items())
