"""What can be said about a program: its operators, its halo, its stride, its identity, the work a tile costs."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

from napari_seamless.geometry import Interval, Region
from napari_seamless.program.demand import axis_demand, centre
from napari_seamless.program.graph import Program
from napari_seamless.program.region_program import RegionPrograms

LARGEST_STRIDE = 512


def operators(program: Program) -> dict[str, int]:
    """How often each of torch's operators occurs, the most frequent first, batch norm already folded in."""
    return dict(Counter(node.operator for node in program.nodes).most_common())


def program_hash(program: Program) -> str:
    """A digest of graph, sizes and weights: two programs with one hash compute the same pixels."""
    digest = sha256()
    for node in program.nodes:
        digest.update(repr((node.output, node.operation, node.inputs)).encode())
    for value in program.values:
        digest.update(repr((value.shape, str(value.dtype), value.dims)).encode())
    for name in sorted(program.constants):
        tensor = program.constants[name]
        digest.update(f"{name} {tuple(tensor.shape)} {tuple(tensor.stride())} {tensor.dtype}".encode())
        stored = tensor.new_empty(0).set_(tensor.untyped_storage())
        digest.update(stored.numpy().tobytes())
    return digest.hexdigest()[:32]


def stride(program: Program, axis: int) -> int:
    """By how many output pixels a tile must be shifted to be computed by the same region program; 1 for plain convs."""
    size = _out(program, axis)
    middle, length = size // 2, min(size, 8)
    candidates = [s for s in range(1, LARGEST_STRIDE + 1) if s <= size // 4 and (s < 8 or s % 2 == 0)]
    here = axis_demand(program, axis, (middle, middle + length)).shape
    for step in candidates:
        if all(
            axis_demand(program, axis, (middle + k * step, middle + k * step + length)).shape == here
            for k in (1, 2, -1)
        ):
            return step
    return size


def halo(program: Program, axis: int, length: int) -> tuple[int, int]:
    """Input pixels (before, after) that a tile of `length` output pixels, far from the borders, reads beyond its own.

    The largest over all alignments (at most 64 are tried). At the image's border there is less to read.
    """
    size = _out(program, axis)
    domain = program.values[program.input].domain[axis]
    scale, offset = centre(program)[axis]
    before = after = 0
    for shift in range(min(stride(program, axis), 64)):
        lo = min(max((size - length) // 2 + shift, 0), size - 1)
        hi = min(lo + length, size)
        read = axis_demand(program, axis, (lo, hi)).spans[program.input]
        assert read is not None
        assert domain is not None
        edge = lo * scale + offset - (scale - 1) / 2, (hi - 1) * scale + offset + (scale - 1) / 2 + 1
        before = max(before, round(edge[0] - read[0] + 0.49) if read[0] > 0 else before)
        after = max(after, round(read[1] - edge[1] + 0.49) if read[1] < domain else after)
    return before, after


def redundancy(regions: RegionPrograms, tile: tuple[int, ...]) -> tuple[float, float]:
    """(multiply-adds per output pixel of the whole image, how many times that an inner tile of this shape costs)."""
    program = regions.program
    shape = tuple(_out(program, a) for a in range(program.ndim))
    whole = regions.at(Region.from_shape(shape)).region.macs / Region.from_shape(shape).size
    inner = inner_tile(shape, tile)
    return whole, (regions.at(inner).region.macs / inner.size / whole if whole else 1.0)


def inner_tile(shape: tuple[int, ...], tile: tuple[int, ...]) -> Region:
    """A tile of the grid, as far from the borders as the image allows."""
    bounds = []
    for size, edge in zip(shape, tile, strict=True):
        lo = (size // 2) // edge * edge
        bounds.append(Interval(lo, min(lo + edge, size)))
    return Region(tuple(bounds))


def _out(program: Program, axis: int) -> int:
    size = program.values[program.output].domain[axis]
    assert size is not None
    return size
