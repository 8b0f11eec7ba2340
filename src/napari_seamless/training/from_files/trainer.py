"""From a training file to the trainer that it describes."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from napari_seamless.runs.option_text import parse_budget
from napari_seamless.runtime.engine import resolve_device
from napari_seamless.training.data.augmentation import Augmentation
from napari_seamless.training.from_files.data import TrainingData
from napari_seamless.training.from_files.network import BuiltNetwork
from napari_seamless.training.from_files.training_file import TrainingFile
from napari_seamless.training.loop.settings import TrainingSettings
from napari_seamless.training.loop.trainer import Trainer
from napari_seamless.training.losses.objective import Objective, class_weights

VALIDATIONS = 10
"""How often held-out images are looked at where nothing is said."""


def make_trainer(
    config: TrainingFile, data: TrainingData, network: BuiltNetwork, folder: Path, stop: Callable[[], bool]
) -> Trainer:
    training = config.training
    settings = _training_settings(config, len(data.learned))
    weights = class_weights(data.counts, training.equalise) if data.classes and training.equalise else None
    return Trainer(
        network.module,
        data.learned,
        data.held_out,
        Objective(training.loss, weights),
        settings,
        classes=len(data.classes),
        folder=folder,
        key=_key(config, data),
        budget=None if training.budget is None else parse_budget(training.budget),
        device=str(resolve_device(training.device)),
        fresh=network.origin is None,
        stop=stop,
    )


def _training_settings(config: TrainingFile, images: int) -> TrainingSettings:
    training = config.training
    examples = training.batch * training.accumulate
    steps = training.steps or max(-(-(training.epochs or 1) * images // examples), 1)
    return TrainingSettings(
        steps=steps,
        crop=None if training.crop == "whole" else training.crop,
        batch=training.batch,
        accumulate=training.accumulate,
        rate=training.rate,
        optimiser=training.optimiser,
        weight_decay=training.weight_decay,
        momentum=training.momentum,
        schedule=training.schedule,
        warm_up=training.warm_up,
        clip=training.clip,
        half=training.precision == "bfloat16",
        seed=training.seed,
        validate_every=training.validate_every or max(steps // VALIDATIONS, 1),
        checkpoint_every=training.checkpoint_every,
        augmentation=Augmentation(**training.augmentation.model_dump()),
    )


def _key(config: TrainingFile, data: TrainingData) -> str:
    """What must stay the same while a training goes on: what is learned, from what, by which network."""
    parts = config.model_dump(mode="json", include={"data", "classes", "validation", "network", "input"})
    parts["loss"] = config.training.loss
    parts["images"] = data.names
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
