"""What comes out of a training: a recipe folder with a card of held-out figures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from torch import nn

from napari_seamless import __version__
from napari_seamless.errors import OutputUnwritable
from napari_seamless.models.loaders.recipe_folder import save_recipe
from napari_seamless.models.recipe_file import FILE
from napari_seamless.training.command.data import TrainingData, in_words
from napari_seamless.training.command.network import Start
from napari_seamless.training.command.training_file import ClassEntry, TrainingFile
from napari_seamless.training.loop.scores import Figures

STORED_TYPES = ("uint8", "uint16", "int16", "float32")
SCRATCH = "recipe"


def write_recipe_folder(folder: Path, scratch: Path, network: nn.Module, fields: dict[str, Any]) -> None:
    """Write weights and recipe into an existing folder; the recipe last, and each at once. Raises OutputUnwritable."""
    made = scratch / SCRATCH
    try:
        shutil.rmtree(made, ignore_errors=True)
        save_recipe(made, network, fields)
        (folder / FILE).unlink(missing_ok=True)
        for path in sorted(made.iterdir(), key=lambda p: p.name == FILE):
            os.replace(path, folder / path.name)
        made.rmdir()
    except OSError as error:
        raise OutputUnwritable(
            f"a finished model is written to {folder}; it says: {error.strerror or error}; make room, and give the "
            "same command again"
        ) from error


def recipe_fields(
    said: TrainingFile,
    data: TrainingData,
    start: Start,
    figures: Figures | None,
    step: int,
    stopped: str | None = None,
) -> dict[str, Any]:
    """A recipe's fields, without its weights. `stopped` is why a training did not come to its end."""
    dtype = data.info.dtype.name
    fields: dict[str, Any] = {
        "name": said.name,
        "title": said.output.title or _title(said, data),
        "network": {"architecture": start.architecture, "arguments": dict(start.arguments)},
        "input": {
            "channels": list(data.channel_names),
            "ndim": data.info.ndim,
            "scaling": data.scaling.model_dump(),
            **({"dtype": dtype} if dtype in STORED_TYPES else {}),
        },
        "output": _output(data),
        "card": _card(said, data, start, figures, step, stopped),
    }
    return fields


def _output(data: TrainingData) -> dict[str, Any]:
    if not data.classes:
        return {"kind": "image"}
    if data.is_labelled_whole:
        return {"kind": "probabilities", "activation": "softmax", "channels": [one.name for one in data.classes]}
    classes = [one.model_dump(include={"value", "name", "colour"}, exclude_none=True) for one in data.classes]
    return {"kind": "labels", "classes": classes}


def _title(said: TrainingFile, data: TrainingData) -> str:
    what = ", ".join(one.name for one in data.classes[1:]) if data.classes else "values"
    return f"{what} by {said.name}, trained on {len(data.learned)} images"


def _card(
    said: TrainingFile, data: TrainingData, start: Start, figures: Figures | None, step: int, stopped: str | None
) -> dict[str, Any]:
    output, info, training = said.output, data.info, said.training
    where = f" at level {said.data.level}" if said.data.level else ""
    size = (
        "" if info.pixel_size is None else f", {' x '.join(f'{s:.4g}' for s in info.pixel_size)} {info.unit} per pixel"
    )
    kinds = ""
    if data.classes:
        unit = "labels" if data.is_labelled_whole else "pixels"
        kinds = f"; {unit}: {in_words([one.name for one in data.classes], data.counts)}"
    limits = [*output.limits, *data.notices, *([stopped] if stopped else [])]
    given = {"licence": output.licence, "citation": output.citation, "authors": list(output.authors)}
    return {
        **{key: value for key, value in given.items() if value},
        "data": f"{len(data.learned)} images learned from, {len(data.held_out)} held out; {info.channels} channel(s) "
        f"of {info.dtype}{where}{size}{kinds}",
        "held_out": "no images were held out, so that nothing is known of its quality"
        if figures is None
        else in_a_sentence(figures, data.classes),
        **({"limits": limits} if limits else {}),
        "weights_of": f"step {step}" + (f", started from {start.origin}" if start.origin else ""),
        "training": {
            "pieces": "whole images, streamed" if training.crop == "whole" else f"crops of {training.crop} pixels",
            **training.model_dump(
                include={
                    "batch",
                    "accumulate",
                    "loss",
                    "equalise",
                    "optimiser",
                    "rate",
                    "schedule",
                    "precision",
                    "seed",
                },
            ),
            "variation": training.variation.model_dump(),
        },
        "date": date.today().isoformat(),
        "made_with": f"napari-seamless {__version__}",
    }


def in_a_sentence(figures: Figures, classes: Sequence[ClassEntry]) -> str:
    """Held-out figures for a person."""
    on = f"on {figures.images} image{'s' if figures.images != 1 else ''}"
    if figures.error is not None:
        return f"root mean squared error {figures.error:.4g}, loss {figures.loss:.4g}, {on}"
    overlaps = ", ".join(
        f"{one.name} {'never there' if d is None else f'{d:.3f}'}" for one, d in zip(classes, figures.dice, strict=True)
    )
    accuracy = f"{figures.accuracy:.1%}" if figures.accuracy is not None else "unknown"
    return f"Dice {overlaps}; {accuracy} of all right; loss {figures.loss:.4g}; {on}"
