"""A network on overlapping input tiles, blended: approximate, for networks that cannot be computed exactly.

::

    image --> input tiles --> network, one tile at a time --> sum of weight x output --> result
              (overlapping.py)

Every input tile has the same size and its place is fixed by the image alone, weights at a pixel sum to one, and tiles
are summed in one order: so a pixel is the same, bit for bit, however the result is cut into writes. It is not what the
network makes of the whole image: what a tile does not see, it does not know (reach.py and mismatch.py say how much
that is).

Labels cannot be averaged. There each pixel takes the class with the most weight, and the smaller number where two
have the same. The numbers of *objects* do not agree between tiles, and no blending can help that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from hashlib import blake2b
from itertools import product
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from napari_seamless.byte_cache import ByteCache
from napari_seamless.errors import ModelError, RunCancelled
from napari_seamless.geometry import Region, Tile
from napari_seamless.interfaces import DeviceTime, Pixels, StopFlag
from napari_seamless.runtime.engine.allocator import LargeBuffers
from napari_seamless.runtime.engine.denormals import flushed_denormals
from napari_seamless.runtime.engine.device import resolve_device
from napari_seamless.runtime.engine.device_clock import DeviceClock
from napari_seamless.runtime.engine.dtypes import require_storable, stored_dtype
from napari_seamless.runtime.engine.precision import DTYPES, Precision, arithmetic
from napari_seamless.runtime.engine.run_region import as_image
from napari_seamless.runtime.engine.tile_overlap import AxisTiles
from napari_seamless.runtime.engine.tile_probe import Edges, Output, look
from napari_seamless.runtime.engine.torch_engine import as_tensor, require_finite

CACHE_BYTES = 1 << 28
Index = tuple[int, ...]
Weights = NDArray[np.floating[Any]]


class BlendedEngine:
    """Implements `interfaces.Engine`. Picklable when the module is: it travels, the device's copy is made anew.

    `module` is in eval mode and on the CPU; `shape` is the image's true (c, [z,] y, x); `edges` and `overlap` are those
    of the input tiles; `output` is what `probing.look` says of one (found out when it is None). With `labels` classes
    are voted for, otherwise outputs are averaged; by default integers are labels. `cache_bytes` bound what is cached of
    recent tiles' outputs, found again by what a tile sees: neighbouring writes share tiles, and blank tiles are alike.
    `precision` is as torch's autocast has it.

    Every method may be called from any thread; tiles are computed one at a time, while others may be read.
    """

    def __init__(
        self,
        module: nn.Module,
        shape: tuple[int, ...],
        edges: Edges,
        overlap: float,
        device: str = "auto",
        *,
        output: Output | None = None,
        labels: bool | None = None,
        dtype: torch.dtype = torch.float32,
        cache_bytes: int = CACHE_BYTES,
        precision: Precision = "float32",
    ) -> None:
        self._given = module
        self.shape, self.edges, self.overlap = shape, edges, overlap
        self.output = look(module, shape[0], edges, dtype) if output is None else output
        is_whole = not self.output.dtype.is_floating_point
        self.labels = self.output.dtype == torch.bool or (is_whole if labels is None else labels)
        self.axes = tuple(
            AxisTiles(n, edge, overlap, scale)
            for n, edge, scale in zip(shape[1:], edges, self.output.scale, strict=True)
        )
        self._dtype = dtype
        self._precision: Precision = precision
        self.device = resolve_device(device)
        self._buffers = LargeBuffers(reuse=self.device.type == "cpu")
        self._module = module if self.device.type == "cpu" else deepcopy(module).to(self.device)
        self._outputs = ByteCache[Tensor](min(cache_bytes, self._tile_bytes * prod(a.count for a in self.axes)))
        self._cache_bytes = cache_bytes
        self._clock = DeviceClock()

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Spatial shape of the whole output."""
        return tuple(axis.output_size for axis in self.axes)

    @property
    def region_programs(self) -> int:
        """All tiles are computed alike."""
        return 1

    @property
    def kept_bytes(self) -> int:
        """Of recent tiles' outputs, at present."""
        return self._outputs.bytes

    def indices(self, write: Region) -> list[range]:
        """The input tiles that make any pixel of `write`, as a range along each axis."""
        return [axis.covering(span) for axis, span in zip(self.axes, write.intervals, strict=True)]

    def sees(self, index: Index) -> Region:
        """The pixels of the image that an input tile sees."""
        return Region(tuple(axis.inside(i) for axis, i in zip(self.axes, index, strict=True)))

    def makes(self, index: Index) -> Region:
        """The output pixels of an input tile; beyond the output's for one that reaches beyond the image."""
        return Region(tuple(axis.output(i) for axis, i in zip(self.axes, index, strict=True)))

    def tile(self, write: Region) -> Tile:
        """What must be read to write `write` (output pixels)."""
        ranges = self.indices(write)
        first, last = (self.sees(tuple(r[end] for r in ranges)) for end in (0, -1))
        return Tile(write, first.hull(last))

    def compute(self, tile: Tile, read: Callable[[Region], Pixels], stop: StopFlag) -> Pixels:
        """Read, compute, blend: (c, *write.shape), in a type that can be stored.

        Raises PixelsNotFinite where the pixels read are not, and RunCancelled.
        """
        self._buffers.trim()
        pixels = read(tile.read)
        require_finite(pixels, tile.read)

        def cut(index: Index) -> Pixels:
            return pixels[(slice(None), *self.sees(index).slices(tile.read.start))]

        def made(index: Index) -> Tensor:
            return self._tile_output(cut(index), stop)

        result = (self._voted if self.labels else self._averaged)(tile.write, made)
        if result.dtype == np.int64:
            require_storable(torch.from_numpy(result))
        return result.astype(stored_dtype(self.output.dtype), copy=False)

    def take_device_time(self) -> DeviceTime:
        """As `interfaces.TimedEngine.take_device_time`: in the network; what it made is blended outside of that."""
        return self._clock.take_device_time()

    def tile_output(self, index: Index, read: Callable[[Region], Pixels]) -> Pixels:
        """What one input tile alone gives, not blended: (c, *makes(index).shape)."""
        return self._tile_output(read(self.sees(index)), lambda: False).numpy()

    def _tile_output(self, seen: Pixels, stop: StopFlag) -> Tensor:
        """(c, *output edges), in host memory; shared with the cache, so never written to."""
        if stop():
            raise RunCancelled("the run was cancelled; finished tiles are kept")
        filled = self._filled(seen)
        key = blake2b(filled.data, digest_size=16).digest() + filled.dtype.str.encode()
        with self._clock:
            found = self._outputs.get(key)
            if found is None:
                found = self._run(filled, stop)
                self._outputs.put(key, found)
        return found

    def _filled(self, seen: Pixels) -> Pixels:
        """Continued by reflection to a whole input tile."""
        missing = [(0, edge - n) for edge, n in zip(self.edges, seen.shape[1:], strict=True)]
        filled = np.pad(seen, [(0, 0), *missing], mode="reflect") if any(m for _, m in missing) else seen
        return np.ascontiguousarray(filled)

    def _run(self, pixels: Pixels, stop: StopFlag) -> Tensor:
        low = DTYPES.get(self._precision)
        exactly = arithmetic(self.device, tf32=self._precision == "tf32")
        rounding = torch.autocast(self.device.type, low, enabled=low is not None)
        with torch.inference_mode(), flushed_denormals(self.device), exactly, rounding, _Stopping(stop):
            result = self._module(as_image(as_tensor(pixels), self.device, self._dtype))
        channels, shape = self.output.channels or 1, [axis.output_edge for axis in self.axes]
        if not isinstance(result, Tensor) or result.numel() != channels * prod(shape):
            raise ModelError(
                "a network that is run on overlapping tiles must make the same shape of every tile; it was to make "
                f"{(channels, *shape)} and made {tuple(getattr(result, 'shape', ()))}; use another network"
            )
        with torch.inference_mode():
            result = result.reshape(channels, *shape).cpu().contiguous()
            return _compact(result.to(self.output.dtype) if low is not None else result, self.labels)

    def _averaged(self, write: Region, made: Callable[[Index], Tensor]) -> Pixels:
        precise = torch.float64 if self.output.dtype == torch.float64 else torch.float32
        total = torch.zeros((self.output.channels or 1, *write.shape), dtype=precise)
        for index in product(*self.indices(write)):
            makes = self.makes(index)
            shared = makes.intersect(write)
            part = made(index)[(slice(None), *shared.slices(makes.start))].to(precise)
            part = part * torch.from_numpy(self._weights(index, shared)).to(precise)
            total[(slice(None), *shared.slices(write.start))] += part
        if self.output.dtype.is_floating_point:
            return total.numpy()
        limits = torch.iinfo(self.output.dtype)
        return total.round().clamp(limits.min, limits.max).numpy()

    def _voted(self, write: Region, made: Callable[[Index], Tensor]) -> Pixels:
        outputs = {index: made(index).numpy() for index in product(*self.indices(write))}
        dtype = np.result_type(*{out.dtype for out in outputs.values()})
        result = np.empty((self.output.channels or 1, *write.shape), dtype)
        for part in self._parts(write):
            over = list(product(*self.indices(part)))
            classes = [outputs[i][(slice(None), *part.slices(self.makes(i).start))] for i in over]
            weights = [self._weights(i, part) for i in over]
            result[(slice(None), *part.slices(write.start))] = most_weight(classes, weights)
        return result

    def _parts(self, write: Region) -> Iterator[Region]:
        """`write` cut so that each part lies in the same input tiles all over."""
        cuts = [axis.cuts(span) for axis, span in zip(self.axes, write.intervals, strict=True)]
        return (Region(spans) for spans in product(*cuts))

    def _weights(self, index: Index, within: Region) -> Weights:
        """Of a tile at output pixels that it makes, (*within.shape)."""
        weights: Weights = np.ones((1,) * within.ndim)
        for k, (axis, i, span) in enumerate(zip(self.axes, index, within.intervals, strict=True)):
            first = axis.output(i).lo
            along = axis.weights(i)[span.lo - first : span.hi - first]
            weights = weights * along.reshape([-1 if j == k else 1 for j in range(within.ndim)])
        return weights

    @property
    def _tile_bytes(self) -> int:
        """Of one input tile's output in host memory, at most."""
        return (self.output.channels or 1) * prod(a.output_edge for a in self.axes) * self.output.dtype.itemsize

    def peak_bytes(self, write: Region, source_itemsize: int = 1) -> int:
        """Predicted peak of memory while `write` is computed: weights, one tile's tensors, pixels as read, what is
        blended, and the cache. On an accelerator some of it lies in host memory."""
        weights = sum(t.numel() * t.element_size() for t in (*self._given.parameters(), *self._given.buffers()))
        raw = self.shape[0] * self.tile(write).read.size * source_itemsize
        pixel = (self.output.channels or 1) * max(self.output.dtype.itemsize, 4)
        tiles = prod(len(r) for r in self.indices(write)) if self.labels else 3
        return (
            weights
            + self.output.peak_bytes
            + raw
            + 2 * write.size * pixel
            + tiles * self._tile_bytes
            + self._outputs.limit
        )

    def __reduce__(self) -> tuple[Callable[..., BlendedEngine], tuple[Any, ...]]:
        settings = {
            "output": self.output,
            "labels": self.labels,
            "dtype": self._dtype,
            "cache_bytes": self._cache_bytes,
            "precision": self._precision,
        }
        return _rebuilt, (self._given, self.shape, self.edges, self.overlap, self.device.type, settings)


def _rebuilt(
    module: nn.Module, shape: tuple[int, ...], edges: Edges, overlap: float, device: str, settings: dict[str, Any]
) -> BlendedEngine:
    return BlendedEngine(module, shape, edges, overlap, device, **settings)


def most_weight(classes: list[Pixels], weights: list[Weights]) -> Pixels:
    """The class with the most weight at each pixel, the smaller number where two have the same.

    `classes` are (c, *shape) and `weights` (*shape), one of each for every tile.
    """
    best, most = classes[0], np.zeros(classes[0].shape)
    for candidate in classes if len(classes) > 1 else []:
        votes = sum((weight * (found == candidate) for found, weight in zip(classes, weights, strict=True)), 0.0)
        better = (votes > most) | ((votes == most) & np.less(candidate, best))
        best, most = np.where(better, candidate, best), np.where(better, votes, most)
    return best


def _compact(result: Tensor, labels: bool) -> Tensor:
    """Labels below 256 in one byte each."""
    if not labels or result.dtype.is_floating_point or result.dtype == torch.bool:
        return result
    small = bool(result.min() >= 0) and bool(result.max() <= 255)
    return result.to(torch.uint8) if small else result


class _Stopping(TorchFunctionMode):
    """Asks at every torch call whether to go on."""

    def __init__(self, stop: StopFlag) -> None:
        super().__init__()
        self._stop = stop

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._stop():
            raise RunCancelled("the run was cancelled; finished tiles are kept")
        return func(*args, **(kwargs or {}))
