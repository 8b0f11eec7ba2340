"""What is run instead where a network cannot be computed exactly, and only if somebody asks for it.

The network sees input tiles that overlap, and what it makes of them is blended (engine/blended.py). The result is
approximate and says so: in its name, in its metadata and in the report, with how far neighbouring tiles differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import ceil
from random import Random
from typing import Any

import numpy as np
import torch

from napari_seamless.errors import ModelError, RunApproximately, RunCancelled
from napari_seamless.geometry import Interval, Region
from napari_seamless.interfaces import Pixels, Source
from napari_seamless.models import Model
from napari_seamless.models.own_module import as_run
from napari_seamless.runtime.engine.blended import CACHE_BYTES, BlendedEngine
from napari_seamless.runtime.engine.precision import Precision
from napari_seamless.runtime.engine.receptive_field import checked_overlap, overlap_for, probe_reach
from napari_seamless.runtime.engine.tile_probe import Edges, Output, TileFit, fit
from napari_seamless.runtime.engine.torch_engine import as_tensor

CARD_SIZES = ("input_size", "img_size", "image_size", "tile_size")
LOOKED_AT, PROBED = 8, 2
CACHE_SHARE = 8
"""A part of the budget that outputs of recent tiles may take."""


@dataclass(frozen=True)
class Approximation:
    """A network on overlapping input tiles, for an image of true shape (c, [z,] y, x).

    `reach` is how far, in input pixels, a change in the middle of a tile was felt (None: not at all); with
    `is_felt_everywhere` the rest of the tile felt it a little, too. `insists` says that the network takes tiles of this
    size only. `reasons` are why it is not computed exactly.
    """

    module: torch.nn.Module
    shape: tuple[int, ...]
    edges: Edges
    overlap: float
    output: Output
    labels: bool
    reach: int | None
    insists: bool
    is_felt_everywhere: bool = False
    reasons: tuple[str, ...] = ()
    digest: str = field(default="", compare=False)

    def engine(
        self, device: str = "auto", budget: int | None = None, precision: Precision = "float32"
    ) -> BlendedEngine:
        """The engine that makes the result on a device."""
        cache = CACHE_BYTES if budget is None else min(CACHE_BYTES, budget // CACHE_SHARE)
        return BlendedEngine(
            self.module,
            self.shape,
            self.edges,
            self.overlap,
            device,
            output=self.output,
            labels=self.labels,
            cache_bytes=cache,
            precision=precision,
        )

    @property
    def scale(self) -> tuple[float, ...]:
        """Input pixels per output pixel."""
        return tuple(float(1 / s) for s in self.output.scale)

    @property
    def offset(self) -> tuple[float, ...]:
        """Where the centre of output pixel 0 lies, in input pixels."""
        return tuple((s - 1) / 2 for s in self.scale)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Spatial shape of the whole output."""
        return tuple(ceil(n * s) for n, s in zip(self.shape[1:], self.output.scale, strict=True))

    @property
    def facts(self) -> Mapping[str, Any]:
        """For the metadata of a result, JSON-able."""
        return {
            "scope": "approximate",
            "input_tile": list(self.edges),
            "overlap": round(self.overlap, 4),
            "reach": self.reach,
            "felt everywhere": self.is_felt_everywhere,
            "blend": "vote by weight" if self.labels else "mean by weight",
            "reasons": list(self.reasons),
        }

    def lines(self) -> Iterator[str]:
        """For a person: what would be used, one thing a line."""
        times = " x ".join(str(e) for e in self.edges)
        only = ", the only size that the network takes" if self.insists else ""
        yield f"input tiles of {times}{only}, overlapping by {self.overlap:.0%}, blended by gaussian weights"
        if self.reach is not None and 2 * self.reach >= min(self.edges):
            yield "a change in the middle of a tile is felt all over it"
        elif self.reach is not None:
            rest = ", and a little in the whole tile" if self.is_felt_everywhere else ""
            yield f"a change in the middle of a tile is felt up to {self.reach} pixels away{rest}"


def approximation(
    model: Model,
    module: torch.nn.Module,
    source: Source,
    level: int,
    reasons: Sequence[str],
    *,
    edge: int | None = None,
    overlap: float | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Approximation:
    """Find the input tile of a network (`module`, on the CPU) and how much tiles must overlap, by trying.

    Reads a few tiles of the image and runs the network on two of them, twice; any thread. `edge` and `overlap` may be
    given instead. Raises ModelError where it takes no tile, BadRequest, and RunCancelled once `cancelled` says True.
    """
    shape = (source.info.channels, *source.info.levels.shape(level))
    found = fitted(model, module, shape, edge)
    _go_on(cancelled)
    reach, labels = None, _is_labels(model, found.output)
    if overlap is None:
        tiles = [_as_seen(pixels, found.edges) for pixels in _samples(source, level, found.edges)]
        _go_on(cancelled)
        reach = probe_reach(module, found.output, tiles, labels=labels)
    near = None if reach is None else reach.near
    made = Approximation(
        module=module,
        shape=shape,
        edges=found.edges,
        overlap=overlap_for(near, found.edges) if overlap is None else checked_overlap(overlap),
        output=found.output,
        labels=labels,
        reach=near,
        is_felt_everywhere=reach is not None and reach.everywhere,
        insists=found.insists,
        reasons=tuple(reasons),
    )
    return replace(made, digest=_digest(made))


def fitted(model: Model, module: torch.nn.Module, shape: Sequence[int], edge: int | None = None) -> TileFit:
    """The input tiles that a network takes, for an image of shape (c, [z,] y, x). Raises ModelError."""
    named = [n for name in CARD_SIZES for n in _numbers(model.card.get(name))]
    return fit(module, shape[0], shape[1:], edge=edge, named=named)


def on_cpu(module: torch.nn.Module) -> torch.nn.Module:
    """The module, or a copy of it, on the CPU and in eval mode, where it is traced and tried out."""
    module = as_run(module)[0] if module.training else module
    tensors = [*module.parameters(), *module.buffers()]
    return module if all(t.device.type == "cpu" for t in tensors) else deepcopy(module).cpu()


def remedies(model: Model, module: torch.nn.Module, shape: Sequence[int]) -> tuple[RunApproximately, ...]:
    """What can be done after a refusal, where tiles of the network can be computed: to run it approximately."""
    try:
        found = fitted(model, module, shape)
    except ModelError:
        return ()
    return (RunApproximately(" x ".join(str(e) for e in found.edges) if found.insists else ""),)


def _numbers(named: object) -> list[int]:
    """Sizes named on a card: a number, or several of which the last is meant."""
    last = named[-1] if isinstance(named, list | tuple) and named else named
    return [last] if isinstance(last, int) and last > 0 else []


def _is_labels(model: Model, output: Output) -> bool:
    """A label image, or an image of numbers too large for a picture: classes are voted for, never averaged."""
    wide = output.dtype in (torch.bool, torch.int32, torch.int64)
    return wide or (model.kind == "labels" and not output.dtype.is_floating_point)


def _samples(source: Source, level: int, edges: Edges) -> list[Pixels]:
    """PROBED of LOOKED_AT random tiles of the image, those with the most in them."""
    draw = Random(0)
    places = [_place(source.info.levels.shape(level), edges, draw) for _ in range(LOOKED_AT)]
    read = [source.read(place, level) for place in dict.fromkeys(places)]
    return sorted(read, key=lambda pixels: float(pixels.astype(np.float64).std()))[-PROBED:]


def _place(shape: Sequence[int], edges: Edges, draw: Random) -> Region:
    spans = []
    for size, edge in zip(shape, edges, strict=True):
        lo = draw.randint(0, max(size - edge, 0))
        spans.append(Interval(lo, min(lo + edge, size)))
    return Region(tuple(spans))


def _as_seen(pixels: Pixels, edges: Edges) -> torch.Tensor:
    """As the network gets them: (1, c, *edges) float32, continued by reflection."""
    missing = [(0, edge - n) for edge, n in zip(edges, pixels.shape[1:], strict=True)]
    return as_tensor(np.pad(pixels, [(0, 0), *missing], mode="reflect")).unsqueeze(0).to(torch.float32)


def _go_on(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise RunCancelled("the network was not yet tried out when this was cancelled; start it again to run it")


def _digest(made: Approximation) -> str:
    """Of weights, layers and settings: two approximations with one digest make the same pixels."""
    digest = sha256(repr((made.shape, made.edges, made.overlap, made.output.scale, made.labels)).encode())
    kind = type(made.module)
    digest.update(f"{kind.__module__}.{kind.__qualname__} {made.module!r}".encode())
    for name, tensor in (*made.module.named_parameters(), *made.module.named_buffers()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]
