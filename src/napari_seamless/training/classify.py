"""What a classifier says of a whole image, of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from napari_seamless.errors import ModelError
from napari_seamless.io.readers import open_image
from napari_seamless.models import Model, load_model
from napari_seamless.runs.prepare import AnyModel, check_fit
from napari_seamless.runs.value_range import in_value_range
from napari_seamless.training.gradients.images import LevelImage
from napari_seamless.training.gradients.streamed_gradient import StreamedGradient


def classify(
    model: AnyModel,
    image: Any,
    *,
    level: int = 0,
    budget: int | None = None,
    device: str = "auto",
    value_range: Sequence[float] | None = None,
    on_notice: Callable[[str], object] = lambda _notice: None,
) -> dict[str, float]:
    """The numbers that a model gives for a whole image (of `level`), by the names of its classes, largest first.

    The image is gone over in tiles within the `budget` in bytes. Values are scaled to those that the model was made
    for, as in a run; `value_range` says what black and white are in the image. `on_notice` gets a sentence for each
    thing that was decided about model and image, in this thread. Raises InputMismatch where the model needs to know
    what black and white are and nothing says it, ModelError where the model gives an image, and what `load_model`,
    `open_image` and StreamedGradient raise.
    """
    loaded = load_model(model)
    if loaded.kind == "labels":
        raise _gives_an_image(loaded)
    source = open_image(image)
    check_fit(loaded, source.info)
    loaded = in_value_range(loaded, source, level, value_range)
    for notice in dict.fromkeys((*source.info.notices, *loaded.notices)):
        on_notice(notice)
    stream = StreamedGradient(loaded.module.eval(), budget=budget, device=device)
    with torch.no_grad():
        found = stream(LevelImage(source, level))
    if found.dim() != 2:
        raise _gives_an_image(loaded)
    numbers = found[0].tolist()
    names = loaded.channel_names or tuple(f"class {k}" for k in range(len(numbers)))
    return dict(sorted(zip(names, numbers, strict=True), key=lambda pair: -pair[1]))


def _gives_an_image(model: Model) -> ModelError:
    return ModelError(
        f"a classifier gives one number for each class; '{model.name}' gives an image; run it with 'run' instead"
    )
