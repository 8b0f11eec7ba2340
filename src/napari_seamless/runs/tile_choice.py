"""From a budget to tiles."""

from __future__ import annotations

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.program.analysis import inner_tile
from napari_seamless.runs.option_text import parse_budget
from napari_seamless.runs.precision import in_precision, place_for
from napari_seamless.runs.prepared import OutputEngine, Prepared
from napari_seamless.runs.tile_cost import TileCost
from napari_seamless.runtime.engine import default_budget
from napari_seamless.runtime.planning import TileChoice, choose_tile, chunk_of, readable


def tile_for(
    prepared: Prepared, budget: int | str | None = None, device: str = "auto", precision: str = "float32"
) -> TileChoice:
    """The tile that a budget (bytes, or text such as "2GB"; default: what the device has to spare) allows.

    Quick; any thread. Raises BadRequest, BudgetTooSmall, DeviceUnavailable.
    """
    size = None if budget is None else parse_budget(budget)
    place, _ = place_for(prepared, device)
    prepared, settled = in_precision(prepared, precision, place)
    return choose(prepared, prepared.output_engine(str(place), size, settled.precision), size)


def cost_of(prepared: Prepared, tile: int) -> TileCost | None:
    """What tiles of this edge cost; None for a network that is run on overlapping tiles. Up to a second; any thread."""
    return prepared.tile_cost(tile)


def choice_for(prepared: Prepared, engine: OutputEngine, budget: int | None, tile: int | None) -> TileChoice:
    """The tile that the caller asks for, or that the budget allows. Raises BadRequest, BudgetTooSmall."""
    if tile is None:
        return choose(prepared, engine, budget)
    chunk_of(tile)
    shape = tuple(min(tile, n) for n in prepared.output_shape[-2:])
    depth = prepared.output_shape[0] if len(prepared.output_shape) == 3 else None
    full = shape if depth is None else (depth, *shape)
    itemsize = prepared.source.info.dtype.itemsize
    needed = max(engine.peak_bytes(write, itemsize) for write in _samples(prepared.output_shape, full))
    if budget is not None and needed > budget:
        allowed = choose(prepared, engine, budget)
        raise BadRequest(
            f"a tile must fit in the budget; {tile} needs {readable(needed)}, the budget is {readable(budget)}; use a "
            f"tile of {allowed.tile}"
        )
    return TileChoice(tile, needed, ((tile, needed),), budget or needed, depth)


def choose(prepared: Prepared, engine: OutputEngine, budget: int | None) -> TileChoice:
    """As `tile_for`, for an engine at hand."""
    itemsize = prepared.source.info.dtype.itemsize

    def bytes_of(shape: tuple[int, ...]) -> int:
        return max(engine.peak_bytes(write, itemsize) for write in _samples(prepared.output_shape, shape))

    def work_of(shape: tuple[int, ...]) -> float:
        write = inner_tile(prepared.output_shape, shape)
        return prepared.macs(write) / write.size

    is_slow = budget is None and engine.device.type == "cpu"
    limit = default_budget(engine.device) if budget is None else budget
    return choose_tile(prepared.output_shape, bytes_of, limit, work_of if is_slow else None)


def _samples(shape: tuple[int, ...], tile: tuple[int, ...]) -> list[Region]:
    """Tiles that stand for all: the first, one far from the borders, and the last."""
    whole = Region.from_shape(shape)
    first = Region.of(*((0, min(t, n)) for t, n in zip(tile, shape, strict=True)))
    last = Region.of(*(((n - 1) // t * t, n) for t, n in zip(tile, shape, strict=True))).intersect(whole)
    return [first, inner_tile(shape, tile), last]
