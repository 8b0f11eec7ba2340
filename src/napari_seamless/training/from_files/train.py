"""From a training file to a model: images are found and checked, a network is built, trained, and saved as a recipe."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from napari_seamless.errors import BadRequest, LossNotFinite, RunCancelled
from napari_seamless.models.recipe_file import FILE
from napari_seamless.training.from_files.card import describe_metrics, recipe_fields, write_recipe_folder
from napari_seamless.training.from_files.data import TrainingData, load_data
from napari_seamless.training.from_files.events import (
    ImagesChecked,
    TrainingEvent,
    TrainingFinished,
    TrainingStarted,
    TrainingStopped,
    ignore,
)
from napari_seamless.training.from_files.files import OpenFiles
from napari_seamless.training.from_files.log import TrainingLog
from napari_seamless.training.from_files.network import BuiltNetwork, TrustedContent, build_network
from napari_seamless.training.from_files.output_folder import FOLDER, delete_training, locked_folder
from napari_seamless.training.from_files.trainer import make_trainer
from napari_seamless.training.from_files.training_file import TrainingFile, checked_training, read_training_file
from napari_seamless.training.loop.trainer import Trainer


def train(
    config: str | Path | Mapping[str, Any],
    *,
    output: str | Path | None = None,
    steps: int | None = None,
    resume: bool = True,
    restart: bool = False,
    on_event: Callable[[TrainingEvent], None] = ignore,
    stop: Callable[[], bool] = lambda: False,
    trust: bool = False,
) -> Path:
    """Train a network as a training file says (or its fields), and give the recipe folder that `load_model` takes.

    Paths in a file are relative to it, those in fields to the working directory. `output` and `steps` go before what
    the file says. A training that was stopped or killed goes on where its last checkpoint was, to the same weights;
    with `restart` its files are deleted once nothing stands against the new one, and without `resume` such a folder is
    refused. `on_event` is called in this thread after every step (`training.from_files.events`); `stop` is asked
    between tiles. A network's own code (an import path) needs `trust`, as with models.

    Raises RunCancelled where it was stopped, LossNotFinite (the last good weights are in the folder, as a model),
    BadRequest, InputNotFound, InputUnreadable, InputMismatch, ModelError and its kinds, BudgetTooSmall, OutputExists,
    OutputUnwritable.
    """
    settings, base, content = _read(config, steps)
    folder = Path(output) if output is not None else base / (settings.output.folder or f"{settings.name}-model")
    with locked_folder(folder, resume=resume or restart), closing(OpenFiles()) as files:
        data = load_data(settings, base, files, lambda done, total: on_event(ImagesChecked(done, total)), stop)
        network = build_network(
            settings.network,
            base,
            content,
            default="classifier" if data.is_labelled_whole else "unet",
            inputs=data.info.channels,
            outputs=1 if settings.training.loss == "bce" else data.outputs,
            ndim=data.info.ndim,
            seed=settings.training.seed,
            trust=trust,
        )
        trainer = make_trainer(settings, data, network, folder / FOLDER, stop)
        if restart:  # not before: what was learned is not lost to a mistake in the file
            trainer.require_trainable()
            delete_training(folder)
        return _run(trainer, settings, data, network, folder, on_event)


def _run(
    trainer: Trainer,
    config: TrainingFile,
    data: TrainingData,
    network: BuiltNetwork,
    folder: Path,
    on_event: Callable[[TrainingEvent], None],
) -> Path:
    trainer.resume()
    steps = trainer.settings.steps
    was_before = trainer.step >= steps and (folder / FILE).is_file()
    if not was_before:
        trainer.require_trainable()  # a refusal comes before anything is said or written
        on_event(TrainingStarted(trainer.step, steps, len(data.learned), len(data.held_out), data.notices))
        with closing(TrainingLog(folder / FOLDER, [one.name for one in data.classes], trainer.step)) as log:
            try:
                for event in trainer.run():
                    log.add(event)
                    on_event(event)
                    if isinstance(event, TrainingStopped):
                        raise RunCancelled(
                            f"the training was stopped after step {event.step} of {steps}; what it learned is "
                            f"kept in {folder}; the same command goes on from there"
                        )
            except LossNotFinite as error:
                _save_model(trainer, config, data, network, folder, f"training stopped before its end: {error}")
                raise LossNotFinite(f"{error} (the model of step {_step_of_model(trainer)} is in {folder})") from error
        _save_model(trainer, config, data, network, folder, None)
    metrics = "no images were held out" if trainer.best is None else describe_metrics(trainer.best, data.classes)
    on_event(TrainingFinished(folder, max(trainer.step, steps), metrics, was_before))
    return folder


def _save_model(
    trainer: Trainer, config: TrainingFile, data: TrainingData, network: BuiltNetwork, folder: Path, stopped: str | None
) -> None:
    """Write the model as a recipe."""
    network.module.load_state_dict(trainer.best_weights())
    fields = recipe_fields(config, data, network, trainer.best, _step_of_model(trainer), stopped)
    write_recipe_folder(folder, folder / FOLDER, network.module, fields)


def _step_of_model(trainer: Trainer) -> int:
    return trainer.step if trainer.best is None else trainer.best_step


def _read(config: str | Path | Mapping[str, Any], steps: int | None) -> tuple[TrainingFile, Path, TrustedContent]:
    """The training, the folder that its paths are relative to, and what somebody who trusts its code agrees to."""
    if isinstance(config, Mapping):
        settings, base = checked_training({"schema": 1, **config}, "what was given"), Path()
        fields = json.dumps(settings.model_dump(mode="json"), sort_keys=True).encode()
        content = (Path("the training's fields"), fields)
    else:
        path = Path(config)
        settings, base = read_training_file(path), path.parent
        content = (path, path.read_bytes())
    if steps is not None:
        if steps < 1:
            raise BadRequest(f"a training has one step at least; got {steps}; say more")
        training = settings.training.model_copy(update={"steps": steps, "epochs": None})
        settings = settings.model_copy(update={"training": training})
    return settings, base, content
