"""A network learns from a few strokes on an image, and what it makes of any part can be previewed at any time.

::

    lesson = Lesson(image, classes)
    lesson.paint(labels)                          # any thread, as often as one likes; taken in at the next step
    for event in lesson.learn(stop=...):          # one thread; to pause is not to ask for the next event
        classes = lesson.preview(region)             # in that thread, between two events
    lesson.save("my-tissue")                      # from then on a model as any other
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from copy import deepcopy
from datetime import date
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from napari_seamless import __version__
from napari_seamless.errors import BadRequest, InputMismatch
from napari_seamless.geometry import Region
from napari_seamless.interfaces import LabelClass, Source, StopFlag
from napari_seamless.io.readers import open_image
from napari_seamless.models import Model
from napari_seamless.models.library import copy_to_library
from napari_seamless.models.loaders.recipe_folder import model_of, save_recipe, scaling_modules
from napari_seamless.models.recipe_file import checked_recipe
from napari_seamless.runs.option_text import parse_budget
from napari_seamless.runtime.engine import resolve_device
from napari_seamless.training.data.augmentation import Augmentation
from napari_seamless.training.gradients.images import LevelImage
from napari_seamless.training.loop.events import LoopEvent, StepDone, Validated
from napari_seamless.training.loop.metrics import ValidationMetrics
from napari_seamless.training.loop.settings import TrainingSettings
from napari_seamless.training.loop.trainer import Trainer
from napari_seamless.training.losses.objective import Objective, class_weights
from napari_seamless.training.teach.initial_network import from_model, new_network
from napari_seamless.training.teach.network_preview import NetworkPreview
from napari_seamless.training.teach.strokes import CROP, StrokeExamples, Strokes, stroke_examples

STEPS, BATCH, RATE, AVERAGE, VALIDATE_EVERY = 1_000_000, 2, 5e-3, 0.98, 20
MOST_CLASSES = 20


def never() -> bool:
    """Nobody stops it."""
    return False


class Lesson:
    """`image` is whatever `open_image` takes, of planes (c, y, x); `classes` are two or more labels above 0.

    `network` is a small new one, or a model of yours that labels with as many classes, to go on with: a name of
    `models list`, or a recipe folder. Squares of 256 x 256 pixels are learned from, two at a time; with a `budget`
    (bytes of device memory, or "2GB") their gradients are streamed in tiles that fit, which is as exact. `seed` makes
    the same lesson again, from the same strokes at the same steps.

    Raises BadRequest, InputMismatch, NotTileable where a layer of `network` looks at the whole plane, and what
    `open_image` and `load_model` raise.
    """

    def __init__(
        self,
        image: Any,
        classes: Sequence[LabelClass],
        *,
        network: str | Path | None = None,
        budget: int | str | None = None,
        device: str = "auto",
        seed: int = 0,
    ) -> None:
        self.source: Source = open_image(image)
        self.classes = tuple(classes)
        info = self.source.info
        if info.ndim != 2:
            raise InputMismatch(
                f"strokes are taught on planes; '{info.name}' has {info.ndim} spatial axes; choose a plane of it"
            )
        _check_classes(self.classes)
        self._device = str(resolve_device(device))
        self._budget = parse_budget(budget) if isinstance(budget, str) else budget
        self._seed = seed
        count = len(self.classes)
        self._initial = new_network(self.source, count, seed) if network is None else from_model(network, info, count)
        previewed = deepcopy(self._initial.network).cpu()
        self._preview = NetworkPreview(self.source, previewed, partial(self._model_of, "lesson"), self._device)
        if network is not None:
            self._preview.require_local(never)
        self._strokes: Strokes | None = None
        self._taken: Strokes | None = None
        self._examples: StrokeExamples | None = None
        self._trainer: Trainer | None = None
        self._stop: StopFlag = never
        self._lock = Lock()
        self.metrics: ValidationMetrics | None = None

    @property
    def step(self) -> int:
        """How many steps are done. Any thread."""
        return 0 if self._trainer is None else self._trainer.step

    def rename(self, classes: Sequence[LabelClass]) -> None:
        """Other names and colours. Raises BadRequest where the labels are others: that is another lesson."""
        if [c.value for c in classes] != [c.value for c in self.classes]:
            raise BadRequest(
                f"classes are renamed, not exchanged, while one teaches; got labels {[c.value for c in classes]} for "
                f"{[c.value for c in self.classes]}; begin another lesson"
            )
        self.classes = tuple(classes)

    def paint(self, labels: NDArray[np.integer], step: int = 1) -> None:
        """Other strokes from the next step on: (y, x) labels of the whole image, 0 where nothing is painted, each for
        `step` x `step` pixels of it. The array is copied. Any thread."""
        strokes = Strokes(np.array(labels), step)
        with self._lock:
            self._strokes = strokes

    def learn(self, stop: StopFlag = never) -> Iterator[LoopEvent]:
        """Learn until `stop` says so, or nobody asks for the next event. One thread at a time.

        Raises BadRequest where fewer than two classes are painted, LossNotFinite (the weights from before that step are
        kept), BudgetTooSmall, and what reading the image raises.
        """
        self._stop = stop
        trainer = self._ready()
        for event in trainer.run():
            if isinstance(event, Validated):
                self.metrics = event.metrics
            yield event
            if isinstance(event, StepDone):
                self._take_new_strokes(trainer)

    def preview(self, region: Region, stop: StopFlag = never) -> NDArray[np.uint8]:
        """What the network as it is now makes of a region of level 0: labels (y, x), exact, in tiles within the budget.

        In the thread that learns, between two events, or when nobody learns. Raises RunCancelled once `stop` says True.
        """
        weights = self._initial.network.state_dict() if self._trainer is None else self._trainer.weights()
        return self._preview.labels(region, weights, stop)

    def model(self, name: str) -> Model:
        """The network as it is now, with its scaling and classes, as `run` takes it."""
        network = deepcopy(self._initial.network).cpu()
        if self._trainer is not None:
            network.load_state_dict(self._trainer.weights())
        return self._model_of(name, network)

    def save(self, name: str, folder: str | Path | None = None) -> Path:
        """Save what was learned, with a card, as a recipe folder; by default among the user's models, under `name`.

        The weights are those that `preview` uses: a mean over the last steps. Raises BadRequest where nothing was
        learned yet, ModelError for a name that cannot be one, OutputExists where it is taken, OutputUnwritable.
        """
        trainer = self._trainer
        if trainer is None or not trainer.step:
            raise BadRequest("what is kept has learned something; this lesson has not begun; paint, and teach first")
        network = deepcopy(self._initial.network).cpu()
        network.load_state_dict(trainer.weights())
        fields = {**self._fields(name), "card": self._card(trainer.step)}
        if folder is not None:
            return save_recipe(folder, network, fields)
        with tempfile.TemporaryDirectory(prefix="napari-seamless-") as scratch:
            return copy_to_library(save_recipe(Path(scratch) / "recipe", network, fields), name)

    # --- the trainer, the examples and the recipe -------------------------------------------

    def _ready(self) -> Trainer:
        """The trainer, which is made at the first time, with what is painted now."""
        found, objective = self._painted()
        trainer = self._trainer
        if trainer is None:
            is_bright = self.source.info.rgb and self.source.info.dtype == np.uint8
            augmentation = Augmentation(light=0.1, stain=0.1 if is_bright else 0.0)
            settings = TrainingSettings(
                steps=STEPS,
                crop=CROP if self._budget is None else None,
                batch=BATCH,
                rate=RATE,
                schedule="constant",
                average=AVERAGE,
                seed=self._seed,
                validate_every=VALIDATE_EVERY,
                checkpoint_every=STEPS,
                augmentation=augmentation,
            )
            trainer = self._trainer = Trainer(
                self._initial.network,
                found.learned,
                found.held_out,
                objective,
                settings,
                classes=len(self.classes),
                budget=self._budget,
                device=self._device,
                fresh=self._initial.is_fresh,
                stop=lambda: self._stop(),
            )
        else:
            trainer.set_data(found.learned, found.held_out, objective)
        return trainer

    def _painted(self) -> tuple[StrokeExamples, Objective]:
        with self._lock:
            strokes = self._taken = self._strokes
        if strokes is None:
            raise BadRequest("a lesson begins with strokes; nothing is painted yet; paint a few strokes of each class")
        scaling = nn.Sequential(*scaling_modules(self._initial.scaling))
        image = LevelImage(self.source)
        found = stroke_examples(image, strokes, [c.value for c in self.classes], lambda x: scaling(x[None])[0])
        self._examples = found
        return found, Objective("cross-entropy", class_weights(found.counts))

    def _take_new_strokes(self, trainer: Trainer) -> None:
        """Takes in what was painted meanwhile; strokes that nothing can be learned from wait for more."""
        with self._lock:
            is_new = self._strokes is not self._taken
        if is_new:
            try:
                found, objective = self._painted()
            except BadRequest:
                return
            trainer.set_data(found.learned, found.held_out, objective)

    def _model_of(self, name: str, network: nn.Module) -> Model:
        config = {**self._fields(name), "schema": 1}
        config["network"] = {**config["network"], "weights": "weights.safetensors"}
        return model_of(checked_recipe(config, "the lesson"), network.eval())

    def _fields(self, name: str) -> dict[str, Any]:
        info, initial = self.source.info, self._initial
        return {
            "name": name,
            "title": f"{', '.join(c.name for c in self.classes)}, taught by strokes on {info.name}",
            "network": {"architecture": initial.architecture, "arguments": dict(initial.arguments)},
            "input": {
                "channels": list(info.channel_names) or [f"channel {k}" for k in range(info.channels)],
                "scaling": initial.scaling.model_dump(),
            },
            "output": {
                "kind": "labels",
                "classes": [{"value": c.value, "name": c.name, "colour": c.colour} for c in self.classes],
            },
        }

    def _card(self, step: int) -> dict[str, Any]:
        found, metrics = self._examples, self.metrics
        counts = ", ".join(f"{c.name} {n}" for c, n in zip(self.classes, found.counts if found else (), strict=False))
        held_out = "nothing was held out, so that nothing is known of its quality"
        if metrics is not None and metrics.accuracy is not None:
            held_out = f"{metrics.accuracy:.1%} of the painted pixels in {metrics.images} held-out places are right"
        return {
            "data": f"strokes on '{self.source.info.name}'; pixels: {counts}",
            "held_out": held_out,
            "limits": ["it has seen a single image, and in it only what was painted"],
            "weights_of": f"step {step}",
            "date": date.today().isoformat(),
            "made_with": f"napari-seamless {__version__}",
        }


def _check_classes(classes: Sequence[LabelClass]) -> None:
    values = [c.value for c in classes]
    if not 2 <= len(values) <= MOST_CLASSES or len(set(values)) < len(values) or min(values) < 1 or max(values) > 255:
        raise BadRequest(
            f"a lesson has two to {MOST_CLASSES} classes with different labels from 1 to 255; got labels {values}; 0 "
            "stands for what is not painted"
        )
