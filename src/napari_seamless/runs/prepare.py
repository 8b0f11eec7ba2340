"""A model and an image become what can be run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

import torch

from napari_seamless.errors import InputMismatch, NotTileable, TraceFailed
from napari_seamless.interfaces import ImageInfo, Source
from napari_seamless.io.readers import open_image
from napari_seamless.io.readers.selection import select
from napari_seamless.models import Model, load_model
from napari_seamless.models.model import ANY_NDIM
from napari_seamless.program.trace import TIME_LIMIT, trace
from napari_seamless.runs.approximation import on_cpu, remedies
from napari_seamless.runs.blended import blended
from napari_seamless.runs.channels import by_name
from napari_seamless.runs.config import RunConfig
from napari_seamless.runs.exact import ExactPrepared, exact_from
from napari_seamless.runs.keywords import PREPARE, PrepareKeywords, config_of
from napari_seamless.runs.option_groups import ImageOptions
from napari_seamless.runs.pixel_size import at_resolution
from napari_seamless.runs.prepared import Prepared

AnyModel = str | Path | torch.nn.Module | Model


def prepare(
    model: AnyModel,
    image: Any,
    *,
    cancelled: Callable[[], bool] | None = None,
    time_limit: float = TIME_LIMIT,
    config: RunConfig | None = None,
    **options: Unpack[PrepareKeywords],
) -> Prepared:
    """Trace a model at the size of an image. Slow (0.3 to 13 s); any thread; nothing is computed or allocated.

    `options` are those of `ImageOptions` (axes, scene, plane, channels, pixel_size, level), and `approximate`: then a
    network that cannot be computed exactly is prepared for overlapping tiles instead, which are blended; a few tiles
    are read and computed for that. They go before what a `config` says, of which the rest is not looked at. Where the
    model names its channels and the image has one of each name, those are taken, in the model's order.

    Raises NotTileable, TraceFailed, InputMismatch, PixelSizeUnknown, BadRequest, or RunCancelled once
    `cancelled` says True.
    """
    given = config_of("prepare", config, options, PREPARE)
    stop = cancelled or (lambda: False)
    fitted = fit(model, image, given.image)
    loaded, source, level = fitted
    shape = (1, source.info.channels, *source.info.levels.shape(level))
    module = on_cpu(loaded.module)
    try:
        return exact_from(*fitted, trace(module, shape, cancelled=stop, time_limit=time_limit))
    except (NotTileable, TraceFailed) as refusal:
        if not given.execution.approximate:
            raise type(refusal)(refusal.message, remedies=remedies(loaded, module, shape[1:])) from refusal
        return blended(*fitted, [str(refusal)], cancelled=stop)


def trace_exactly(model: Model, source: Source, *, cancelled: Callable[[], bool] = lambda: False) -> ExactPrepared:
    """A model traced at the size of level 0 of an image. Slow; any thread. Raises what `prepare` does."""
    fitted = fit(model, source, ImageOptions())
    loaded, image, level = fitted
    shape = (1, image.info.channels, *image.info.levels.shape(level))
    return exact_from(*fitted, trace(on_cpu(loaded.module), shape, cancelled=cancelled))


def fit(model: AnyModel, image: Any, options: ImageOptions) -> tuple[Model, Source, int]:
    """The model as it is run on an image, the image as the model gets it, and the level.

    Raises InputMismatch, PixelSizeUnknown, BadRequest, and what opening and loading raise.
    """
    loaded = load_model(model)
    source = open_image(image, axes=options.axes, scene=options.scene, plane=options.plane)
    chosen = source if options.channels is None else select(source, channels=options.channels)
    source = by_name(chosen, loaded.input_names)
    check_fit(loaded, source.info)
    return at_resolution(loaded, source.info, options.level, options.pixel_size), source, options.level


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
