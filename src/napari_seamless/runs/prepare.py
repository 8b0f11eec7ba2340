"""A model and an image become a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_seamless.errors import InputMismatch, NotTileable, TraceFailed
from napari_seamless.geometry import Interval, Region
from napari_seamless.interfaces import ImageInfo, Source
from napari_seamless.io.readers import open_image
from napari_seamless.models import Model, load_model
from napari_seamless.models.model import ANY_NDIM
from napari_seamless.program.analysis import program_hash
from napari_seamless.program.demand import centre
from napari_seamless.program.graph import Program
from napari_seamless.program.passes import barriers_of, plan_passes
from napari_seamless.program.trace import TIME_LIMIT, trace
from napari_seamless.runs.approximation import Approximation, approximation, remedies
from napari_seamless.runs.channels import by_name
from napari_seamless.runs.pixel_size import PixelSize, at_resolution
from napari_seamless.runtime.engine.dtypes import stored_dtype

AnyModel = str | Path | torch.nn.Module | Model


@dataclass(frozen=True)
class Prepared:
    """A network traced at the true size of one level of one image: everything that does not depend on the budget.

    `output_shape` is spatial, ((z,) y, x). Output pixel o lies at pixel o * `scale` + `offset` of the level (pixel
    centres). `output_channels` is None where the network's result has no channel axis. With an `approximation` that is
    what is run, and the program is not.
    """

    model: Model
    source: Source
    level: int
    program: Program
    program_hash: str
    output_shape: tuple[int, ...]
    output_channels: int | None
    output_dtype: np.dtype[Any]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    approximation: Approximation | None = None

    @cached_property
    def last_pass(self) -> Program:
        """The program that makes the output from the image once all moments are known (which are not in it).

        It is the program itself where nothing has to be measured.
        """
        return plan_passes(self.program, (), {node.output for node in barriers_of(self.program)})[-1].program

    @cached_property
    def network_hash(self) -> str:
        """The same for all sizes of image: a digest of the weights."""
        digest = sha256()
        for name, tensor in self.model.module.state_dict().items():
            if isinstance(tensor, torch.Tensor):
                digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
                digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @property
    def source_identity(self) -> str:
        """What the pixels are: image and level."""
        return f"{self.source.info.identity} level {self.level}"

    def to_output(self, region: Region) -> Region:
        """Output pixels whose centres lie in a region of the level, cut to the output."""
        intervals = []
        for span, scale, offset, size in zip(region.intervals, self.scale, self.offset, self.output_shape, strict=True):
            lo, hi = (int(np.ceil((edge - 0.5 - offset) / scale - 1e-9)) for edge in (span.lo, span.hi))
            lo = min(max(lo, 0), size)
            intervals.append(Interval(lo, max(lo, min(hi, size))))
        return Region(tuple(intervals))


def prepare(
    model: AnyModel,
    image: Any,
    *,
    level: int = 0,
    cancelled: Callable[[], bool] | None = None,
    time_limit: float = TIME_LIMIT,
    approximate: bool = False,
    pixel_size: PixelSize | None = None,
) -> Prepared:
    """Trace a model at the size of an image. Slow (0.3 to 13 s); any thread; nothing is computed or allocated.

    With `approximate`, a network that cannot be computed exactly is prepared for overlapping tiles instead, which are
    blended; a few tiles are read and computed for that. `pixel_size`, in micrometres per level-0 pixel, is for models
    that work at a resolution of their own, and goes before what the image says. Where the model names its channels and
    the image has one of each name, those are taken, in the model's order.

    Raises NotTileable, TraceFailed, InputMismatch, PixelSizeUnknown, BadRequest, or RunCancelled once
    `cancelled` says True.
    """
    loaded = load_model(model)
    source = by_name(open_image(image), loaded.input_names)
    check_fit(loaded, source.info)
    loaded = at_resolution(loaded, source.info, level, pixel_size)
    shape = (1, source.info.channels, *source.info.levels.shape(level))
    module, stop = on_cpu(loaded.module), cancelled or (lambda: False)
    try:
        program = trace(module, shape, cancelled=stop, time_limit=time_limit)
    except (NotTileable, TraceFailed) as refusal:
        if not approximate:
            raise type(refusal)(refusal.message, remedies=remedies(loaded, module, shape[1:])) from refusal
        return approximated(loaded, source, level, [str(refusal)], cancelled=stop)
    return prepared_from(loaded, source, level, program)


def approximated(
    model: Model,
    source: Source,
    level: int,
    reasons: Sequence[str],
    *,
    edge: int | None = None,
    overlap: float | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Prepared:
    """A model on overlapping, blended tiles, whatever it is; `reasons` say why. The rest is as for `approximation`."""
    found = approximation(
        model, on_cpu(model.module), source, level, reasons, edge=edge, overlap=overlap, cancelled=cancelled
    )
    return Prepared(
        model=model,
        source=source,
        level=level,
        program=found.stand_in,
        program_hash=found.digest,
        output_shape=found.output_shape,
        output_channels=found.output.channels,
        output_dtype=stored_dtype(found.output.dtype),
        scale=found.scale,
        offset=found.offset,
        approximation=found,
    )


def check_fit(model: Model, info: ImageInfo) -> None:
    """Refuse an image without the channels or dimensions that the model wants."""
    if model.channels is not None and model.channels != info.channels:
        raise InputMismatch(
            f"model '{model.name}' needs an image of {model.channels} channels; '{info.name}' has {info.channels}; "
            "choose channels, another image or another model"
        )
    if model.card.get("ndim") != ANY_NDIM and model.ndim != info.ndim:
        instead = 'a plane of it (plane={"z": 10}, --plane z=10)' if model.ndim < info.ndim else "a stack"
        raise InputMismatch(
            f"model '{model.name}' needs {model.ndim} spatial dimensions; '{info.name}' has {info.ndim}; "
            f"choose {instead}, or another model"
        )
    if model.dtype is not None and model.dtype != info.dtype.name:
        raise InputMismatch(
            f"model '{model.name}' scales pixel values of type {model.dtype}; '{info.name}' has {info.dtype.name}; "
            "convert the image, or make a recipe for this type"
        )


def on_cpu(module: torch.nn.Module) -> torch.nn.Module:
    """The module, or a copy of it, on the CPU, where it is traced."""
    tensors = [*module.parameters(), *module.buffers()]
    return module if all(t.device.type == "cpu" for t in tensors) else deepcopy(module).cpu()


def prepared_from(model: Model, source: Source, level: int, program: Program) -> Prepared:
    """What can be read off a traced program."""
    value = program.values[program.output]
    lines = centre(program)
    return Prepared(
        model=model,
        source=source,
        level=level,
        program=program,
        program_hash=program_hash(program),
        output_shape=value.shape[-program.ndim :],
        output_channels=value.shape[1] if len(value.shape) == program.ndim + 2 else None,
        output_dtype=stored_dtype(value.dtype),
        scale=tuple(scale for scale, _ in lines),
        offset=tuple(offset for _, offset in lines),
    )
