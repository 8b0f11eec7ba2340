"""Demand runs backwards: from a wanted output region to the region of every value on the way.

All rules treat their axes independently, so demand is computed axis by axis, and one axis' answer serves a whole row or
column of tiles. Two tiles whose answers differ only by a shift are computed by the same *region program*.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from napari_seamless.program.graph import Program
from napari_seamless.program.spans import Box, Span, hull


@dataclass(frozen=True)
class AxisDemand:
    """One axis of one output interval.

    `spans[value]` is what must be computed of each value along this axis; `needs[node]` what each input of a node must
    hand over (a part of its span). `shape` is equal for two intervals that the same kernels compute.
    """

    spans: tuple[Span | None, ...]
    needs: tuple[tuple[Span | None, ...], ...]
    shape: Hashable


def axis_demand(program: Program, axis: int, wanted: Span) -> AxisDemand:
    """Walk the program backwards along one axis."""
    spans: list[Span | None] = [None] * len(program.values)
    spans[program.output] = wanted
    needs: list[tuple[Span | None, ...]] = [()] * len(program.nodes)
    shape: list[Hashable] = []
    for k in range(len(program.nodes) - 1, -1, -1):
        node = program.nodes[k]
        span = spans[node.output]
        needed = node.operation.demand(axis, span)
        needs[k] = needed
        origin = span[0] if span is not None else 0
        shape.append((_relative(span, origin), node.operation.border(axis, span)))
        for index, need in zip(node.inputs, needed, strict=True):
            spans[index] = hull(spans[index], need)
    shape.extend(_offsets(program, spans, needs))
    return AxisDemand(tuple(spans), tuple(needs), tuple(shape))


def _relative(span: Span | None, origin: int) -> Span | None:
    return None if span is None else (span[0] - origin, span[1] - origin)


def _offsets(program: Program, spans: list[Span | None], needs: list[tuple[Span | None, ...]]) -> list[Hashable]:
    """Where in its input's span each need lies."""
    offsets: list[Hashable] = []
    for node, needed in zip(program.nodes, needs, strict=True):
        for index, need in zip(node.inputs, needed, strict=True):
            held = spans[index]
            offsets.append(_relative(need, held[0]) if held is not None else None)
    return offsets


def boxes(axes: tuple[AxisDemand, ...], value: int) -> Box:
    """The region of one value, put together from its axes."""
    return tuple(a.spans[value] for a in axes)


def centre(program: Program) -> tuple[tuple[float, float], ...]:
    """(scale, offset) of each axis: output pixel o lies over input pixel o * scale + offset (pixel centres).

    An output as large as the image, or k times as large, covers what the image covers. That is what such networks are
    trained for, while their strides and resizings, followed one by one, would end a few pixels beside it.
    """
    result = []
    for axis in range(program.ndim):
        lines = {program.input: (1.0, 0.0)}
        for node in program.nodes:
            if not node.inputs or node.inputs[0] not in lines:
                lines[node.output] = next((lines[i] for i in node.inputs if i in lines), (1.0, 0.0))
                continue
            scale, offset = (float(f) for f in node.operation.centre(axis))
            outer, base = lines[node.inputs[0]]
            lines[node.output] = (scale * outer, offset * outer + base)
        followed = lines[program.output]
        size, image = (program.values[v].domain[axis] for v in (program.output, program.input))
        result.append(_covering(size // image) if size and image and size % image == 0 else followed)
    return tuple(result)


def _covering(times: int) -> tuple[float, float]:
    """Scale and offset of an output with that many pixels for each of the image's."""
    return 1 / times, (1 / times - 1) / 2
