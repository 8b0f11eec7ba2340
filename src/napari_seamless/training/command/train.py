"""From a training file to a model: images are found and looked at, a network is made, trained, and kept as a recipe."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from napari_seamless.errors import BadRequest, LossNotFinite, OutputExists, OutputUnwritable, RunCancelled
from napari_seamless.models.recipe_file import FILE
from napari_seamless.runs.tiling import parse_budget
from napari_seamless.runtime.engine import resolve_device
from napari_seamless.store.lock import locked
from napari_seamless.training.command.card import in_a_sentence, recipe_fields, write_recipe_folder
from napari_seamless.training.command.data import TrainingData, gathered
from napari_seamless.training.command.events import Began, Finished, Looked, Stopped, TrainingEvent, quiet
from napari_seamless.training.command.files import OpenFiles
from napari_seamless.training.command.log import TrainingLog
from napari_seamless.training.command.network import Start, network_for
from napari_seamless.training.command.training_file import TrainingFile, checked_training, read_training_file
from napari_seamless.training.loop.settings import Settings, Variation
from napari_seamless.training.loop.trainer import Trainer
from napari_seamless.training.losses.objective import Objective, equalised

FOLDER = "training"
"""In the output: checkpoints and logs, which the finished model does not need."""
LOCK = "lock"
"""In that folder: whoever has it locked is training."""
LOOKS = 10
"""How often held-out images are looked at where nothing is said."""


def train(
    config: str | Path | Mapping[str, Any],
    *,
    output: str | Path | None = None,
    steps: int | None = None,
    resume: bool = True,
    restart: bool = False,
    on_event: Callable[[TrainingEvent], None] = quiet,
    stop: Callable[[], bool] = lambda: False,
    trust: bool = False,
) -> Path:
    """Train a network as a training file says (or its fields), and give the recipe folder that `load_model` takes.

    Paths in a file are relative to it, those in fields to the working directory. `output` and `steps` go before what is
    said there. A training that was stopped or killed goes on where its last checkpoint was, to the same weights; with
    `restart` its files are deleted once nothing stands against the new one, and without `resume` such a folder is
    refused. `on_event` is called in this thread after every step (`pipeline.training_events`); `stop` is asked between
    tiles.
    A network's own code (an import path) needs `trust`, as with models.

    Raises RunCancelled where it was stopped, LossNotFinite (the last good weights are in the folder, as a model),
    BadRequest, InputNotFound, InputUnreadable, InputMismatch, ModelError and its kinds, BudgetTooSmall, OutputExists,
    OutputUnwritable.
    """
    said, base, asks = _read(config, steps)
    folder = Path(output) if output is not None else base / (said.output.folder or f"{said.name}-model")
    with _claimed(folder, resume=resume or restart), closing(OpenFiles()) as shelf:
        data = gathered(said, base, shelf, lambda done, total: on_event(Looked(done, total)), stop)
        start = network_for(
            said.network,
            base,
            asks,
            usual="classifier" if data.is_labelled_whole else "unet",
            inputs=data.info.channels,
            outputs=1 if said.training.loss == "bce" else data.outputs,
            ndim=data.info.ndim,
            seed=said.training.seed,
            trust=trust,
        )
        trainer = _trainer(said, data, start, folder, stop)
        if restart:  # not before: what was learned is not lost to a mistake in the file
            trainer.require_trainable()
            _forget(folder)
        return _trained(trainer, said, data, start, folder, on_event)


def _trained(
    trainer: Trainer,
    said: TrainingFile,
    data: TrainingData,
    start: Start,
    folder: Path,
    on_event: Callable[[TrainingEvent], None],
) -> Path:
    trainer.resume()
    settings = trainer.settings
    was_before = trainer.step >= settings.steps and (folder / FILE).is_file()
    if not was_before:
        trainer.require_trainable()  # a refusal comes before anything is said or written
        on_event(Began(trainer.step, settings.steps, len(data.learned), len(data.held_out), data.notices))
        with closing(TrainingLog(folder / FOLDER, [one.name for one in data.classes], trainer.step)) as log:
            try:
                for event in trainer.run():
                    log.add(event)
                    on_event(event)
                    if isinstance(event, Stopped):
                        raise RunCancelled(
                            f"the training was stopped after step {event.step} of {settings.steps}; what it learned is "
                            f"kept in {folder}; the same command goes on from there"
                        )
            except LossNotFinite as error:
                _keep(trainer, said, data, start, folder, f"training stopped before its end: {error}")
                raise LossNotFinite(f"{error} (the model of step {_kept_step(trainer)} is in {folder})") from error
        _keep(trainer, said, data, start, folder, None)
    figures = "no images were held out" if trainer.best is None else in_a_sentence(trainer.best, data.classes)
    on_event(Finished(folder, max(trainer.step, settings.steps), figures, was_before))
    return folder


def _keep(
    trainer: Trainer, said: TrainingFile, data: TrainingData, start: Start, folder: Path, stopped: str | None
) -> None:
    """Write the model as a recipe."""
    start.network.load_state_dict(trainer.finished_weights())
    fields = recipe_fields(said, data, start, trainer.best, _kept_step(trainer), stopped)
    write_recipe_folder(folder, folder / FOLDER, start.network, fields)


def _kept_step(trainer: Trainer) -> int:
    return trainer.step if trainer.best is None else trainer.best_step


def _read(config: str | Path | Mapping[str, Any], steps: int | None) -> tuple[TrainingFile, Path, tuple[Path, bytes]]:
    """The training, the folder that its paths are relative to, and what a yes to its code would be for."""
    if isinstance(config, Mapping):
        said, base = checked_training({"schema": 1, **config}, "what was given"), Path()
        asks = (Path("the training's fields"), json.dumps(said.model_dump(mode="json"), sort_keys=True).encode())
    else:
        path = Path(config)
        said, base = read_training_file(path), path.parent
        asks = (path, path.read_bytes())
    if steps is not None:
        if steps < 1:
            raise BadRequest(f"a training has one step at least; got {steps}; say more")
        training = said.training.model_copy(update={"steps": steps, "epochs": None})
        said = said.model_copy(update={"training": training})
    return said, base, asks


@contextmanager
def _claimed(folder: Path, *, resume: bool) -> Iterator[None]:
    """The output folder is ours alone for as long as this lasts. A training that writes nothing leaves nothing.

    Raises OutputExists, OutputUnwritable.
    """
    inner = folder / FOLDER
    with ExitStack() as held:
        try:
            missing = [path for path in (inner, folder, *folder.parents) if not path.exists()]
            held.callback(_remove_empty, missing)
            _make(folder, resume=resume)
            is_alone = held.enter_context(locked(inner / LOCK))
            if is_alone and missing:
                held.callback(_remove_lock, inner)
        except OutputExists:
            raise
        except OSError as error:
            raise _unwritable(folder, error) from error
        if not is_alone:
            raise OutputUnwritable(
                f"a folder is written by one training at a time; another one is writing to {folder}; wait until it "
                "ends, stop it, or name another output"
            )
        yield


def _make(folder: Path, *, resume: bool) -> None:
    if (folder / FOLDER).is_dir():
        if not resume:
            raise OutputExists(
                f"a training is there already, in {folder}; go on with it (resume=True), start again (restart=True), "
                "or name another output"
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputExists(
            f"a training writes to a folder of its own; {folder} holds something else; name another output"
        )
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)


def _remove_lock(inner: Path) -> None:
    """Remove the lock where there is nothing else; it is held meanwhile, so that nobody else counts on it."""
    with suppress(OSError):
        if [path.name for path in inner.iterdir()] == [LOCK]:
            (inner / LOCK).unlink()


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, innermost first, as far as they are empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _forget(folder: Path) -> None:
    """Delete a training and its model, but for the lock. Raises OutputUnwritable."""
    try:
        for path in (folder / FOLDER).iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()
        (folder / FILE).unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> OutputUnwritable:
    return OutputUnwritable(f"a training writes to {folder}; it says: {error.strerror or error}; name another output")


def _trainer(said: TrainingFile, data: TrainingData, start: Start, folder: Path, stop: Callable[[], bool]) -> Trainer:
    training = said.training
    settings = _settings(said, len(data.learned))
    weights = equalised(data.counts, training.equalise) if data.classes and training.equalise else None
    return Trainer(
        start.network,
        data.learned,
        data.held_out,
        Objective(training.loss, weights),
        settings,
        classes=len(data.classes),
        folder=folder / FOLDER,
        key=_key(said, data),
        budget=None if training.budget is None else parse_budget(training.budget),
        device=str(resolve_device(training.device)),
        fresh=start.origin is None,
        stop=stop,
    )


def _settings(said: TrainingFile, images: int) -> Settings:
    training = said.training
    pieces = training.batch * training.accumulate
    steps = training.steps or max(-(-(training.epochs or 1) * images // pieces), 1)
    return Settings(
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
        validate_every=training.validate_every or max(steps // LOOKS, 1),
        checkpoint_every=training.checkpoint_every,
        variation=Variation(**training.variation.model_dump()),
    )


def _key(said: TrainingFile, data: TrainingData) -> str:
    """What must stay the same while a training goes on: what is learned, from what, by which network."""
    parts = said.model_dump(mode="json", include={"data", "classes", "validation", "network", "input"})
    parts["loss"] = said.training.loss
    parts["images"] = data.names
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
