"""The loop that trains, with neither files of images nor a screen: events come out, weights can be had at any time.

::

    trainer = Trainer(network, examples, held_out, objective, settings, folder=folder)
    for event in trainer.run():         # in any one thread; to pause is not to ask for the next event
        ...
    trainer.best_weights()

A step depends on the checkpoint before it and on its own number, on nothing else, so that a training that was killed
and went on gives the weights of one that was not, bit for bit where torch computes alike (one thread on a CPU).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from napari_seamless.errors import BadRequest, RunCancelled
from napari_seamless.runtime.engine.device import resolve_device
from napari_seamless.training.data.examples import Example
from napari_seamless.training.gradients.streamed_gradient import StreamedGradient
from napari_seamless.training.loop.checkpoint import load_checkpoint, save_checkpoint
from napari_seamless.training.loop.evaluation_weights import debiased_statistics, moving_average, temporary_state
from napari_seamless.training.loop.events import CheckpointSaved, LoopEvent, StepDone, TrainingStopped, Validated
from napari_seamless.training.loop.metrics import MetricsAccumulator, ValidationMetrics
from napari_seamless.training.loop.optimiser import make_optimiser
from napari_seamless.training.loop.settings import TrainingSettings
from napari_seamless.training.loop.step_gradient import StepGradient
from napari_seamless.training.loop.trainable import require_trainable
from napari_seamless.training.losses.example_loss import ExampleLoss
from napari_seamless.training.losses.objective import Objective

SCHEMA = 1

State = dict[str, Tensor]


class Trainer:
    """Trains `network` in place. One thread at a time runs it; `weights` and `step` may be asked for from any.

    What is learned from may be replaced between two events (`set_data`). `key` says what is trained on what; a
    checkpoint of another key in `folder` is refused (BadRequest). Without a folder nothing is written. `budget` bounds
    the device memory of whole images; `stop` is asked often. `classes` is how many there are, 0 where values are
    learned. `fresh` says that the weights are random at first.

    Raises NotTileable, TraceFailed or InputMismatch where the network cannot be trained on such images, BudgetTooSmall.
    """

    def __init__(
        self,
        network: nn.Module,
        examples: Sequence[Example],
        held_out: Sequence[Example],
        objective: Objective,
        settings: TrainingSettings,
        *,
        classes: int,
        folder: Path | None = None,
        key: str = "",
        budget: int | None = None,
        device: str = "cpu",
        fresh: bool = True,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        if not examples:
            raise BadRequest("a training needs at least one image to learn from; got none; name more images")
        self.examples, self.held_out = examples, held_out
        self.objective, self.settings, self.classes = objective, settings, classes
        self.device = resolve_device(device)
        self.network = network.to(self.device)
        self.stream = StreamedGradient(network, budget=budget, seed=settings.seed, stop=stop)
        self.step, self.best, self.best_step = 0, None, 0  # type: int, ValidationMetrics | None, int
        self._best_weights: State | None = None
        self._optimiser = make_optimiser(network, settings)
        self._average = moving_average(self.network, settings.average) if settings.average else None
        self._folder, self._key, self._stop, self._is_fresh = folder, key, stop, fresh
        self._lock = threading.Lock()
        self._loss = ExampleLoss(self.stream, objective, half=settings.half)
        self._gradient = StepGradient(self._loss, settings)
        self._validated_at, self._is_moving = 0, False
        self._saved: tuple[int, int] | None = None

    # --- weights, data and checkpoints ------------------------------------------------------

    def weights(self) -> State:
        """A copy of the network's weights as they are now, for use, on the CPU. Any thread."""
        with self._lock:
            return _copied({**self.network.state_dict(), **self._evaluation_state()})

    def best_weights(self) -> State:
        """The weights that did best on held-out images, or the last ones if there are none."""
        return self.weights() if self._best_weights is None else self._best_weights

    def set_data(self, examples: Sequence[Example], held_out: Sequence[Example], objective: Objective) -> None:
        """Learn from other images from the next step on. The best so far was the best on other held-out ones: it is
        forgotten. In the thread that runs, between two events."""
        self.examples, self.held_out, self.objective = examples, held_out, objective
        self._loss.objective = objective
        self.best, self.best_step, self._best_weights = None, 0, None

    def resume(self) -> bool:
        """Go on from the checkpoint in the folder; False where there is none. Raises BadRequest, InputDamaged."""
        found = None if self._folder is None else load_checkpoint(self._folder)
        if found is None:
            return False
        if found.get("schema") != SCHEMA or found.get("key") != self._key:
            raise BadRequest(
                f"a training goes on only with the data, classes and network that it began with; the one in "
                f"{self._folder} began with others; put them back, name another output, or start again with --restart "
                "(restart=True)"
            )
        self.network.load_state_dict(found["network"])
        self._optimiser.load_state_dict(found["optimiser"])
        if self._average is not None:
            self._average.load_state_dict(found["average"])
        self.step, self._validated_at = self._saved = found["step"], found["validated_at"]
        self.best = None if found["best"] is None else ValidationMetrics.from_dict(found["best"])
        self.best_step, self._best_weights = found["best_step"], found["best_weights"]
        return True

    # --- the loop --------------------------------------------------------------------------

    def run(self) -> Iterator[LoopEvent]:
        """Train to the end, or until `stop` says so. Raises LossNotFinite, and what reading images raises.

        Whatever ends it, what was learned is in a checkpoint.
        """
        self.require_trainable()
        self.network.train()
        try:
            while not self._stop():
                if self._must_validate():
                    yield self._validate()
                    yield from self._save()
                if self.step >= self.settings.steps:
                    yield from self._save()
                    return
                yield self._do_step()
                if self.step % self.settings.checkpoint_every == 0 and not self._must_validate():
                    yield from self._save()
        except RunCancelled:
            pass  # in the middle of a step, which has not moved the weights, or of a validation, which comes again
        except BaseException:
            for _ in self._save():
                pass
            raise
        yield from self._save()
        yield TrainingStopped(self.step)

    def _must_validate(self) -> bool:
        """Whether the held-out images come before the next step."""
        at_end = self.step >= self.settings.steps
        return (
            bool(self.held_out)
            and self._validated_at < self.step
            and (at_end or self.step % self.settings.validate_every == 0)
        )

    def require_trainable(self) -> None:
        """Refuse a network that cannot be trained on these images, naming operators, before the first step."""
        require_trainable(self.stream, self.examples[0], self.settings, self.objective, self.classes)

    def _save(self) -> Iterator[LoopEvent]:
        at = self.step, self._validated_at
        if self._folder is None or self._saved == at or self._is_moving:
            return
        path = save_checkpoint(
            self._folder,
            {
                "schema": SCHEMA,
                "key": self._key,
                "step": self.step,
                "validated_at": self._validated_at,
                "network": self.network.state_dict(),
                "optimiser": self._optimiser.state_dict(),
                "average": None if self._average is None else self._average.state_dict(),
                "best": None if self.best is None else self.best.as_dict(),
                "best_step": self.best_step,
                "best_weights": self._best_weights,
            },
        )
        self._saved = at
        yield CheckpointSaved(self.step, path)

    # --- one step --------------------------------------------------------------------------

    def _do_step(self) -> StepDone:
        """One step, or none at all: buffers that layers wrote to are put back where it fails."""
        rate = self.settings.rate_at(self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        before = [b.detach().clone() for b in self.network.buffers()]
        self._optimiser.zero_grad(set_to_none=True)
        try:
            losses, names = self._gradient.compute(self.examples, self.step)
        except BaseException:
            self._restore_buffers(before)
            raise
        self._is_moving = True  # until all weights have moved; what ends it in between must not be kept
        with self._lock:
            self._optimiser.step()
            if self._average is not None:
                self._average.update_parameters(self.network)
        self.step += 1
        self._is_moving = False
        return StepDone(self.step, self.settings.steps, sum(losses) / len(losses), rate, tuple(dict.fromkeys(names)))

    def _evaluation_state(self) -> State:
        """What of the network is used otherwise than it is trained, by name."""
        average = (
            {}
            if self._average is None or not self.step
            else dict(self._average.module.named_parameters(remove_duplicate=False))
        )
        return {**average, **(debiased_statistics(self.network) if self._is_fresh else {})}

    # --- held-out images -------------------------------------------------------------------

    def _validate(self) -> Validated:
        metrics = self.evaluate()
        self._validated_at = self.step
        is_best = self.best is None or metrics.rank > self.best.rank
        if is_best:
            self.best, self.best_step, self._best_weights = metrics, self.step, self.weights()
        return Validated(self.step, metrics, is_best)

    def evaluate(self) -> ValidationMetrics:
        """The network as it is now on the held-out images, as they are. Raises RunCancelled where it was stopped."""
        accumulator = MetricsAccumulator(self.classes)
        self.network.eval()
        try:
            with temporary_state(self.network, self._evaluation_state()), torch.no_grad():
                for example in sorted(self.held_out, key=lambda e: e.shape):
                    if self._stop():
                        raise RunCancelled("the training was stopped while it looked at held-out images")
                    accumulator.losses.append(float(self._loss.evaluate(example, self.settings.crop, accumulator.add)))
        finally:
            self.network.train()
        return accumulator.compute()

    @torch.no_grad()
    def _restore_buffers(self, before: Sequence[Tensor]) -> None:
        for buffer, kept in zip(self.network.buffers(), before, strict=True):
            buffer.copy_(kept)
        self._optimiser.zero_grad(set_to_none=True)


def _copied(state: State) -> State:
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
