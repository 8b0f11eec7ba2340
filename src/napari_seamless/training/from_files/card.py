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
from napari_seamless.training.from_files.data import TrainingData, class_shares
from napari_seamless.training.from_files.network import BuiltNetwork
from napari_seamless.training.from_files.training_file import ClassEntry, TrainingFile
from napari_seamless.training.loop.metrics import ValidationMetrics

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
    config: TrainingFile,
    data: TrainingData,
    network: BuiltNetwork,
    metrics: ValidationMetrics | None,
    step: int,
    stopped: str | None = None,
) -> dict[str, Any]:
    """A recipe's fields, without its weights. `stopped` is why a training did not come to its end."""
    dtype = data.info.dtype.name
    fields: dict[str, Any] = {
        "name": config.name,
        "title": config.output.title or _title(config, data),
        "network": {"architecture": network.architecture, "arguments": dict(network.arguments)},
        "input": {
            "channels": list(data.channel_names),
            "ndim": data.info.ndim,
            "scaling": data.scaling.model_dump(),
            **({"dtype": dtype} if dtype in STORED_TYPES else {}),
        },
        "output": _output(data),
        "card": _card(config, data, network, metrics, step, stopped),
    }
    return fields


def _output(data: TrainingData) -> dict[str, Any]:
    if not data.classes:
        return {"kind": "image"}
    if data.is_labelled_whole:
        return {"kind": "probabilities", "activation": "softmax", "channels": [one.name for one in data.classes]}
    classes = [one.model_dump(include={"value", "name", "colour"}, exclude_none=True) for one in data.classes]
    return {"kind": "labels", "classes": classes}


def _title(config: TrainingFile, data: TrainingData) -> str:
    what = ", ".join(one.name for one in data.classes[1:]) if data.classes else "values"
    return f"{what} by {config.name}, trained on {len(data.learned)} images"


def _card(
    config: TrainingFile,
    data: TrainingData,
    network: BuiltNetwork,
    metrics: ValidationMetrics | None,
    step: int,
    stopped: str | None,
) -> dict[str, Any]:
    output, info, training = config.output, data.info, config.training
    where = f" at level {config.data.level}" if config.data.level else ""
    size = (
        "" if info.pixel_size is None else f", {' x '.join(f'{s:.4g}' for s in info.pixel_size)} {info.unit} per pixel"
    )
    kinds = ""
    if data.classes:
        unit = "labels" if data.is_labelled_whole else "pixels"
        kinds = f"; {unit}: {class_shares([one.name for one in data.classes], data.counts)}"
    limits = [*output.limits, *data.notices, *([stopped] if stopped else [])]
    given = {"licence": output.licence, "citation": output.citation, "authors": list(output.authors)}
    return {
        **{key: value for key, value in given.items() if value},
        "data": f"{len(data.learned)} images learned from, {len(data.held_out)} held out; {info.channels} channel(s) "
        f"of {info.dtype}{where}{size}{kinds}",
        "held_out": "no images were held out, so that nothing is known of its quality"
        if metrics is None
        else describe_metrics(metrics, data.classes),
        **({"limits": limits} if limits else {}),
        "weights_of": f"step {step}" + (f", started from {network.origin}" if network.origin else ""),
        "training": {
            "examples": "whole images, streamed" if training.crop == "whole" else f"crops of {training.crop} pixels",
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
            "variation": training.augmentation.model_dump(),
        },
        "date": date.today().isoformat(),
        "made_with": f"napari-seamless {__version__}",
    }


def describe_metrics(metrics: ValidationMetrics, classes: Sequence[ClassEntry]) -> str:
    """Held-out figures for a person."""
    on = f"on {metrics.images} image{'s' if metrics.images != 1 else ''}"
    if metrics.error is not None:
        return f"root mean squared error {metrics.error:.4g}, loss {metrics.loss:.4g}, {on}"
    overlaps = ", ".join(
        f"{one.name} {'never there' if d is None else f'{d:.3f}'}" for one, d in zip(classes, metrics.dice, strict=True)
    )
    accuracy = f"{metrics.accuracy:.1%}" if metrics.accuracy is not None else "unknown"
    return f"Dice {overlaps}; {accuracy} of all right; loss {metrics.loss:.4g}; {on}"
