"""What a network does to one input tile, found by trying: its output, its memory, its size, its reach."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any
from weakref import finalize

import torch
from torch import Tensor, nn

from napari_seamless.errors import ModelError, SeveralOutputs
from napari_seamless.program._compat import fake_mode, needs_values, tracing_alone, without_fake_log
from napari_seamless.program.outputs import only_tensor
from napari_seamless.runtime.engine._compat import TorchDispatchMode, tensors_in

DEFAULT_EDGES = {2: 512, 3: 96}
COMMON_EDGES = (512, 256, 224, 384, 448, 518, 1024, 128, 336, 320, 480, 640, 768, 192, 96, 64, 32)
SIZE_NAMES = ("img_size", "image_size", "input_size", "tile_size")
"""What networks call the size that they were made for."""
DIVISOR = 32
NAMED_EDGES = range(16, 2049)
FAILURES = (RuntimeError, ValueError, IndexError, AssertionError, TypeError, NotImplementedError, AttributeError)
Edges = tuple[int, ...]


@dataclass(frozen=True)
class Output:
    """What a network makes of one input tile.

    `channels` is None without a channel axis. `scale` is output pixels per input pixel, one an axis. `peak_bytes` is
    the most that was allocated at once for one tile, without weights.
    """

    channels: int | None
    scale: tuple[Fraction, ...]
    dtype: torch.dtype
    peak_bytes: int


@dataclass(frozen=True)
class TileFit:
    """Input tiles that a network takes. `insists` says that it took no other size that was tried."""

    edges: Edges
    output: Output
    insists: bool


def fit(
    module: nn.Module,
    channels: int,
    sizes: Sequence[int],
    *,
    edge: int | None = None,
    named: Sequence[int] = (),
    dtype: torch.dtype = torch.float32,
) -> TileFit:
    """The input tiles for an image of spatial shape `sizes`: of `edge` pixels, or the first size that it takes.

    Tried are the sizes that its card names (`named`), those that the network carries, a common one, those that its
    complaint names, and other common ones. Raises ModelError where it takes none, with what it says.
    """
    wanted = [_square(n, len(sizes)) for n in (*named, *_carried(module))] if edge is None else []
    tried: dict[Edges, str] = {}
    for edges in chain(wanted, _usual(sizes, edge, tried)):
        if edges in tried:
            continue
        try:
            output = look(module, channels, edges, dtype)
        except ModelError as failure:
            tried[edges] = str(failure)
        else:
            is_special = bool(tried) or edges in wanted
            return TileFit(edges, output, is_special and _insists(module, channels, edges, dtype))
    edges, says = next(iter(tried.items()))
    raise ModelError(
        f"a network that is run on overlapping tiles must take a square tile and make an image of it; "
        f"this one was tried at {', '.join(str(e[-1]) for e in list(tried)[:6])} pixels; at {edges[-1]} {says}; "
        + ("choose another tile or another network" if edge is not None else "use another network")
    )


def _usual(sizes: Sequence[int], edge: int | None, tried: Mapping[Edges, str]) -> Iterator[Edges]:
    """Tiles to try, no larger than they need be; then those that complaints about others in `tried` name."""
    ndim = len(sizes)
    usual = DEFAULT_EDGES[ndim] if edge is None else edge
    yield tuple(min(usual, -(-n // DIVISOR) * DIVISOR) for n in sizes)
    yield _square(usual, ndim)
    if edge is None:
        numbers = [int(n) for text in tried.values() for n in re.findall(r"\d+", text)]
        most = 2 * DEFAULT_EDGES[ndim]
        yield from (_square(n, ndim) for n in (*numbers, *COMMON_EDGES) if NAMED_EDGES.start <= n <= most)


def _square(edge: int, ndim: int) -> Edges:
    return (edge,) * ndim


def _carried(module: nn.Module) -> Iterator[int]:
    """Sizes that a network carries as attributes, the outermost first."""
    for part in module.modules():
        settings = {**vars(part), **_mapping(vars(part).get("default_cfg")), **_mapping(vars(part).get("config"))}
        for name in SIZE_NAMES:
            size = settings.get(name)
            size = max(size) if isinstance(size, tuple | list) and size and isinstance(size[0], int) else size
            if isinstance(size, int) and size in NAMED_EDGES:
                yield size


def _mapping(found: object) -> Mapping[str, object]:
    return found if isinstance(found, Mapping) else {}


def _insists(module: nn.Module, channels: int, edges: Edges, dtype: torch.dtype) -> bool:
    """Whether a network takes neither twice nor half the size, nor a common one."""
    for others in (tuple(2 * e for e in edges), tuple(e // 2 for e in edges), _square(256, len(edges))):
        if others == edges:
            continue
        try:
            look(module, channels, others, dtype)
        except ModelError:
            continue
        return False
    return True


def look(module: nn.Module, channels: int, edges: Edges, dtype: torch.dtype = torch.float32) -> Output:
    """Run a network (in eval mode, on the CPU) on a fake tile, or on noise where its shapes depend on the pixels.

    Raises ModelError, with what the network says, where it does not take the tile or makes no image of it.
    """
    shape = (1, channels, *edges)
    try:
        with tracing_alone(), without_fake_log(), fake_mode(), torch.no_grad():
            result, peak = _watched(module, torch.empty(shape, dtype=dtype))
    except needs_values():
        result, peak = _with_pixels(module, shape, dtype)
    except FAILURES as failure:
        raise ModelError(_says(failure)) from failure
    return _read_off(result, edges, peak)


def _with_pixels(module: nn.Module, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Any, int]:
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(dtype) * 255
    try:
        with torch.no_grad():
            return _watched(module, noise)
    except SeveralOutputs:
        raise
    except FAILURES as failure:
        raise ModelError(_says(failure)) from failure


def _says(failure: Exception) -> str:
    lines = str(failure).strip().splitlines()
    return f"it says: {lines[0] if lines else type(failure).__name__}"


def _watched(module: nn.Module, image: Tensor) -> tuple[Any, int]:
    with Allocated() as allocated:
        result = only_tensor(module(image))
    return result, allocated.peak + image.numel() * image.element_size()


class Allocated(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are made while it is entered, and the most there were at once (`peak`)."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._now = 0
        self._users: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(t.untyped_storage()) for t in tensors_in((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for tensor in tensors_in(result):
            key = id(tensor.untyped_storage())
            if key in self._users or key not in given:
                self._add(tensor)
        self.peak = max(self.peak, self._now)
        return result

    def _add(self, tensor: Tensor) -> None:
        key, size = id(tensor.untyped_storage()), tensor.untyped_storage().nbytes()
        self._now += 0 if self._users[key] else size
        self._users[key] += 1
        finalize(tensor, self._drop, key, size).atexit = False

    def _drop(self, key: int, size: int) -> None:
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key]
            self._now -= size


def _read_off(result: Any, edges: Edges, peak: int) -> Output:
    ndim = len(edges)
    if not isinstance(result, Tensor) or not ndim < result.dim() <= ndim + 2 or result.shape[0] != 1:
        raise ModelError(f"its result, {_kind(result)}, is not an image (1, [channels,] [z,] y, x)")
    scale = tuple(Fraction(out, edge) for out, edge in zip(result.shape[-ndim:], edges, strict=True))
    if any(s.numerator != 1 and s.denominator != 1 for s in scale) or 0 in scale:
        raise ModelError(
            f"its result, {_kind(result)}, is no whole multiple of the tile, and no whole part, in every axis"
        )
    return Output(result.shape[1] if result.dim() == ndim + 2 else None, scale, result.dtype, peak)


def _kind(result: Any) -> str:
    return f"of shape {tuple(result.shape)}" if isinstance(result, Tensor) else f"a {type(result).__name__}"
