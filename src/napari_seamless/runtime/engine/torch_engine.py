"""A program on a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_seamless.errors import PixelsNotFinite
from napari_seamless.geometry import Region, Tile
from napari_seamless.interfaces import DeviceTime, Pixels, StopFlag
from napari_seamless.program.graph import Program
from napari_seamless.program.ops.barrier import State
from napari_seamless.program.ops.gather import Gathered
from napari_seamless.program.region_program import RegionPrograms
from napari_seamless.runtime.engine._compat import has_fused_convolution
from napari_seamless.runtime.engine.activation_store import ActivationStore
from napari_seamless.runtime.engine.allocator import LargeBuffers
from napari_seamless.runtime.engine.cpu_fallback import CpuFallback
from napari_seamless.runtime.engine.denormals import flushed_denormals
from napari_seamless.runtime.engine.device import resolve_device
from napari_seamless.runtime.engine.device_clock import DeviceClock
from napari_seamless.runtime.engine.dtypes import storable_output
from napari_seamless.runtime.engine.fused_convolution import fuse
from napari_seamless.runtime.engine.moments import States, as_arrays
from napari_seamless.runtime.engine.precision import arithmetic
from napari_seamless.runtime.engine.run_region import as_image, run_region

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


class TorchEngine:
    """Implements `interfaces.Engine` and `interfaces.TimedEngine`. Picklable: the program travels, and the
    device's copy is made anew.

    `device` is a name for `resolve_device`. With `fast` False the program runs exactly as it was traced; otherwise what
    the device can do quicker is used (on CPUs fused convolutions), equal up to rounding. A program that is one pass of
    several finds saved values in `activations`, and puts those that it is to save there. With `tf32` a CUDA device may
    multiply in TF32; other precisions are the program's own (`program.reduced_precision`).

    Every method may be called from any thread; tiles are computed one at a time, while others may be read.
    """

    def __init__(
        self,
        program: Program,
        device: str = "auto",
        *,
        fast: bool = True,
        activations: ActivationStore | None = None,
        tf32: bool = False,
    ) -> None:
        self._given = program
        self._fast = fast
        self._tf32 = tf32
        self._stored = storable_output(program)
        self._activations = activations
        self.device = resolve_device(device)
        self._buffers = LargeBuffers(reuse=self.device.type == "cpu")
        lowered = fuse(program) if fast and self.device.type == "cpu" and has_fused_convolution() else program
        constants = {name: _placed(tensor, self.device) for name, tensor in lowered.constants.items()}
        self._program = replace(lowered, constants=constants)
        self._regions = RegionPrograms(self._program)
        self._clock = DeviceClock()
        self._fallback = None if self.device.type == "cpu" else CpuFallback(self.device, lowered.constants)

    def tile(self, write: Region) -> Tile:
        """What must be read to write `write` (output pixels)."""
        return self._regions.tile(write)

    def compute(self, tile: Tile, read: Callable[[Region], Pixels], stop: StopFlag) -> Any:
        """Read, compute, and bring back (c, *write.shape), or the `States` of a pass that measures.

        Raises PixelsNotFinite where the pixels read are not, and RunCancelled.
        """
        self._buffers.trim()
        pixels = None if tile.read.is_empty else read(tile.read)
        if pixels is not None:
            require_finite(pixels, tile.read, self.dtype)
        with self._clock, self._computing():
            result = self._run(pixels, tile.write, stop)
            if isinstance(result, Gathered):
                return self._gathered(result)
        return as_pixels(result, tile.write.ndim, self._stored)

    def _run(self, pixels: Pixels | None, write: Region, stop: StopFlag) -> Any:
        """The image is handed over, not held here, so that it is freed as soon as no node needs it."""
        place = self._regions.at(write)
        handed = [None if pixels is None else as_image(as_tensor(pixels), self.device, self.dtype)]
        fetch = None if self._activations is None else self._activations.get
        del pixels
        result = run_region(self._program, place, handed.pop(), stop, fetch, fallback=self._fallback)
        return result if isinstance(result, Gathered) else result.cpu()

    def measure(self, pixels: Pixels, stop: StopFlag) -> dict[int, State]:
        """Run a small whole image at once, and give the state of each barrier, by its value.

        `pixels` is (c, [z,] y, x). Raises RunCancelled.
        """
        program = self._program
        domain = program.values[program.output].domain
        place = self._regions.at(Region.from_shape([n or 1 for n in domain]))
        states: dict[int, State] = {}
        with self._clock, self._computing():
            image = as_image(as_tensor(pixels), self.device, self.dtype)
            run_region(program, place, image, stop, observe=states.__setitem__, fallback=self._fallback)
        return states

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """What holds in this thread while tensors are computed."""
        with torch.inference_mode(), flushed_denormals(self.device), arithmetic(self.device, tf32=self._tf32):
            yield

    def _gathered(self, found: Gathered) -> States:
        for value, box, piece in found.pieces:
            assert self._activations is not None
            self._activations.put(value, box, piece)
        return as_arrays(found.states)

    def take_device_time(self) -> DeviceTime:
        """As `interfaces.TimedEngine`: from when a tile's pixels are read until the result is in host memory."""
        return self._clock.take_device_time()

    def peak_bytes(self, write: Region, source_itemsize: int = 1) -> int:
        """Predicted peak of device memory while `write` is computed: weights, tensors, and the pixels as read."""
        placed = self._regions.at(write)
        weights = sum(t.numel() * t.element_size() for t in self._given.constants.values())
        value = self._program.values[self._program.input]
        box = placed.box(self._program.input)
        raw = 0 if None in box else value.bytes_of(box) // value.dtype.itemsize * source_itemsize
        return weights + raw + placed.region.peak_bytes

    def macs(self, write: Region) -> int:
        """Multiply-adds that computing `write` takes."""
        return self._regions.at(write).region.macs

    @property
    def dtype(self) -> torch.dtype:
        """What the program computes in."""
        return self._program.values[self._program.input].dtype

    @property
    def region_programs(self) -> int:
        """How many region programs have been built so far."""
        return len(self._regions)

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know about the way it was computed."""
        return () if self._fallback is None else self._fallback.notices

    def __reduce__(self) -> tuple[Callable[..., TorchEngine], tuple[Program, str, bool, ActivationStore | None, bool]]:
        return _rebuilt, (self._given, self.device.type, self._fast, self._activations, self._tf32)


def _rebuilt(program: Program, device: str, fast: bool, activations: ActivationStore | None, tf32: bool) -> TorchEngine:
    return TorchEngine(program, device, fast=fast, activations=activations, tf32=tf32)


def _placed(tensor: Tensor, device: torch.device) -> Tensor:
    """A constant on its device; convolution weights with channels last, as the images are."""
    if tensor.is_mkldnn or (device.type == "cpu" and tensor.dim() not in (4, 5)):
        return tensor
    expanded = any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))
    order = {4: torch.channels_last, 5: torch.channels_last_3d}.get(tensor.dim())
    return tensor.to(device) if order is None or expanded else tensor.to(device, memory_format=order)


def require_finite(pixels: Pixels, region: Region, dtype: torch.dtype = torch.float32) -> None:
    """Refuse NaN and infinity, also what would be infinite in `dtype`: one such pixel would spread over everything that
    looks at it; and whole numbers that `dtype` cannot tell apart."""
    if not pixels.size:
        return
    if pixels.dtype.kind != "f":
        _require_told_apart(pixels, region, dtype)
        return
    finite = np.isfinite(pixels)
    if not finite.all():
        first = np.array(np.unravel_index(int(finite.argmin()), finite.shape))[1:] + region.start
        at = ", ".join(f"{axis} = {n}" for axis, n in zip("zyx"[-region.ndim :], first, strict=True))
        raise PixelsNotFinite(
            f"every pixel must be a finite number; got NaN or infinity in {region!r} of the image, first at {at}; fill "
            "those pixels, or ask for a region that does not reach them (finished tiles are kept)"
        )
    if pixels.dtype.itemsize > 4 and dtype != torch.float64:
        largest = float(np.abs(pixels).max())
        if largest > LARGEST_FLOAT32:
            raise PixelsNotFinite(
                f"networks compute in float32, up to {LARGEST_FLOAT32:.2g}; got {largest:.2g} of {pixels.dtype} in "
                f"{region!r} of the image; divide its values first (finished tiles are kept)"
            )


def _require_told_apart(pixels: Pixels, region: Region, dtype: torch.dtype) -> None:
    """Numbers of objects, for example, of which two neighbours would become one."""
    if pixels.dtype.kind not in "iu" or pixels.dtype.itemsize < 4:
        return
    name, limit = ("float64", 2**53) if dtype == torch.float64 else ("float32", 2**24)
    farthest = max(int(pixels.max()), -int(pixels.min()))
    if farthest > limit:
        raise PixelsNotFinite(
            f"networks compute in {name}, which tells whole numbers apart up to {limit}; got {farthest} of "
            f"{pixels.dtype} in {region!r} of the image; number objects anew, or convert an image of intensities to "
            f"{name} first (finished tiles are kept)"
        )


def as_tensor(pixels: Pixels) -> Tensor:
    """numpy to torch without a copy where torch knows the dtype."""
    if pixels.dtype.byteorder == ">" or pixels.dtype.kind not in "uif" or pixels.dtype == np.longdouble:
        pixels = pixels.astype(np.float32)
    if not pixels.flags.writeable or any(stride < 0 for stride in pixels.strides):
        pixels = pixels.copy()
    return torch.from_numpy(pixels)


def as_pixels(result: Tensor, ndim: int, dtype: torch.dtype) -> Pixels:
    """(1, [c,] [z,] y, x) to (c, [z,] y, x) in the plain order of memory, in the type that is stored."""
    shape = result.shape[result.dim() - ndim :]
    channels = result.shape[1] if result.dim() == ndim + 2 else 1
    return np.ascontiguousarray(result.reshape(channels, *shape).to(dtype).numpy())
