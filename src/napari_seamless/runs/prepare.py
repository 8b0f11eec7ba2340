"""A model and an image become what can be run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, Unpack

import torch

from napari_seamless.errors import InputMismatch, NotTileable, SeveralOutputs, TraceFailed
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
from napari_seamless.runs.network_output import check_only_output, is_all, with_output, with_outputs
from napari_seamless.runs.objects.candidate_output import with_candidates
from napari_seamless.runs.objects.plan import object_plan
from napari_seamless.runs.option_groups import ImageOptions
from napari_seamless.runs.pixel_size import at_resolution
from napari_seamless.runs.prepared import Prepared
from napari_seamless.runs.value_range import in_value_range
from napari_seamless.runtime.forked import lacks_threads

AnyModel = str | Path | torch.nn.Module | Model
FittedModel = tuple[Model, Source, int]
"""The model as it is run on an image, the image as the model gets it, and the level."""
Made = TypeVar("Made")


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

    `options` are those of `ImageOptions` (axes, scene, plane, channels, pixel_size, value_range, level),
    `network_output`, and `approximate`: then a network that cannot be computed exactly is prepared for overlapping
    tiles instead, which are blended; a few tiles are read and computed for that. They go before what a `config` says,
    of which the rest is not looked at. Where the model names its channels and the image has one of each name, those
    are taken, in the model's order.

    Raises NotTileable, TraceFailed, InputMismatch, PixelSizeUnknown, BadRequest, or RunCancelled once
    `cancelled` says True.
    """
    given = config_of("prepare", config, options, PREPARE)
    lacks_threads()  # before anything is computed
    stop = cancelled or (lambda: False)

    def prepared(model: Model, source: Source, level: int) -> Prepared:
        shape, fitted = (1, source.info.channels, *source.info.levels.shape(level)), with_candidates(model)
        module = on_cpu(fitted.module)
        try:
            made = exact_from(fitted, source, level, trace(module, shape, cancelled=stop, time_limit=time_limit))
            object_plan(made)  # refused before anything else
            return made
        except (NotTileable, TraceFailed) as refusal:
            if not given.execution.approximate:
                raise type(refusal)(refusal.message, remedies=remedies(fitted, module, shape[1:])) from refusal
            return blended(fitted, source, level, [str(refusal)], cancelled=stop)

    return with_one_output(prepared, fit(model, image, given.image), given)


def with_one_output(attempt: Callable[[Model, Source, int], Made], fitted: FittedModel, config: RunConfig) -> Made:
    """What `attempt` makes of a fitted model, and of one of its outputs where it has several. Raises BadRequest."""
    model, source, level = fitted
    wanted = config.execution.network_output
    try:
        made = attempt(model, source, level)
    except SeveralOutputs as several:
        if not isinstance(wanted, str | int | None) or is_all(wanted, several.shapes):
            return attempt(with_outputs(model, several, wanted, source.info.ndim), source, level)
        chosen = with_output(model, several.shapes, wanted, source.info.ndim, several.fused)
        if model.select is not None:
            chosen = adapted(chosen, source, config.image)
        return attempt(chosen, source, level)
    check_only_output(model.output if wanted is None else wanted)
    return made


def trace_exactly(model: Model, source: Source, *, cancelled: Callable[[], bool] = lambda: False) -> ExactPrepared:
    """A model traced at the size of level 0 of an image. Slow; any thread. Raises what `prepare` does."""

    def prepared(fitted: Model, image: Source, level: int) -> ExactPrepared:
        shape = (1, image.info.channels, *image.info.levels.shape(level))
        return exact_from(fitted, image, level, trace(on_cpu(fitted.module), shape, cancelled=cancelled))

    return with_one_output(prepared, fit(model, source, ImageOptions()), RunConfig())


def fit(model: AnyModel, image: Any, options: ImageOptions) -> FittedModel:
    """The model as it is run on an image, the image as the model gets it, and the level.

    Raises InputMismatch, PixelSizeUnknown, BadRequest, and what opening and loading raise.
    """
    loaded = load_model(model)
    source = open_image(image, axes=options.axes, scene=options.scene, plane=options.plane)
    chosen = source if options.channels is None else select(source, channels=options.channels)
    source = by_name(chosen, loaded.input_names)
    check_fit(loaded, source.info)
    return adapted(loaded, source, options), source, options.level


def adapted(model: Model, source: Source, options: ImageOptions) -> Model:
    """The model for pixels of this image: of their size and values. Raises as `fit` does."""
    scaled = at_resolution(model, source.info, options.level, options.pixel_size)
    return in_value_range(scaled, source, options.level, options.value_range)


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
    # values of another type are scaled, where the range that the model was made for is known
    if model.dtype is not None and model.value_range is None and model.dtype != info.dtype.name:
        raise InputMismatch(
            f"model '{model.name}' scales pixel values of type {model.dtype}; '{info.name}' has {info.dtype.name}; "
            "convert the image, or make a recipe for this type"
        )
