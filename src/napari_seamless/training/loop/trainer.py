"""The loop that trains, with neither files of images nor a screen: events come out, weights can be had at any time.

::

    trainer = Trainer(network, examples, held_out, objective, settings, folder=folder)
    for event in trainer.run():         # in any one thread; to pause is not to ask for the next event
        ...
    trainer.finished_weights()

A step depends on the checkpoint before it and on its own number, on nothing else, so that a training that was killed
and went on gives the weights of one that was not, bit for bit where torch computes alike (one thread on a CPU).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from napari_seamless.errors import BadRequest, InputMismatch, LossNotFinite, RunCancelled
from napari_seamless.runtime.engine.device import resolve_device
from napari_seamless.training.loop.checkpoint import load_checkpoint, save_checkpoint
from napari_seamless.training.loop.events import Event, Saved, Stepped, Stopped, Validated
from napari_seamless.training.loop.scores import Figures, Scores
from napari_seamless.training.loop.settings import Settings
from napari_seamless.training.losses.alignment import origin_of
from napari_seamless.training.losses.objective import Objective
from napari_seamless.training.losses.streamed_loss import Losses
from napari_seamless.training.sampling.pieces import Example, Look, Piece, crop_of
from napari_seamless.training.streaming.shown_weights import moving_average, shown_as, without_beginning
from napari_seamless.training.streaming.streamed_module import StreamedGradient

SCHEMA = 1

State = dict[str, Tensor]


class Trainer:
    """Trains `network` in place. One thread at a time runs it; `weights` and `step` may be asked for from any.

    What is learned from may be exchanged between two events (`exchange`).
    `key` says what is trained on what; a checkpoint of another key in `folder` is refused (BadRequest). Without a
    folder nothing is written. `budget` bounds the device memory of whole images; `stop` is asked often. `classes` is
    how many there are, 0 where values are learned. `fresh` says that the weights are random at first.

    Raises NotTileable, TraceFailed or InputMismatch where the network cannot be trained on such images, BudgetTooSmall.
    """

    def __init__(
        self,
        network: nn.Module,
        examples: Sequence[Example],
        held_out: Sequence[Example],
        objective: Objective,
        settings: Settings,
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
        self.step, self.best, self.best_step = 0, None, 0  # type: int, Figures | None, int
        self._best_weights: State | None = None
        self._optimiser = _optimiser(network, settings)
        self._average = moving_average(self.network, settings.average) if settings.average else None
        self._folder, self._key, self._stop, self._is_fresh = folder, key, stop, fresh
        self._lock = threading.Lock()
        self._losses = Losses(self.stream, objective, half=settings.half)
        self._looked, self._is_moving = 0, False
        self._saved: tuple[int, int] | None = None

    # --- what a person may ask at any time -------------------------------------------------

    def weights(self) -> State:
        """A copy of the network's weights as they are now, for use, on the CPU. Any thread."""
        with self._lock:
            return _copied({**self.network.state_dict(), **self._better()})

    def finished_weights(self) -> State:
        """The weights that did best on held-out images, or the last ones if there are none."""
        return self.weights() if self._best_weights is None else self._best_weights

    def exchange(self, examples: Sequence[Example], held_out: Sequence[Example], objective: Objective) -> None:
        """Learn from other images from the next step on. The best so far was the best on other held-out ones: it is
        forgotten. In the thread that runs, between two events."""
        self.examples, self.held_out, self.objective = examples, held_out, objective
        self._losses.objective = objective
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
        self.step, self._looked = self._saved = found["step"], found["looked"]
        self.best = None if found["best"] is None else Figures.from_dict(found["best"])
        self.best_step, self._best_weights = found["best_step"], found["best_weights"]
        return True

    # --- the loop --------------------------------------------------------------------------

    def run(self) -> Iterator[Event]:
        """Train to the end, or until `stop` says so. Raises LossNotFinite, and what reading images raises.

        Whatever ends it, what was learned is in a checkpoint.
        """
        self.require_trainable()
        self.network.train()
        try:
            while not self._stop():
                if self._is_due():
                    yield self._validated()
                    yield from self._save()
                if self.step >= self.settings.steps:
                    yield from self._save()
                    return
                yield self._stepped()
                if self.step % self.settings.checkpoint_every == 0 and not self._is_due():
                    yield from self._save()
        except RunCancelled:
            pass  # in the middle of a step, which has not moved the weights, or of a look, which is due again
        except BaseException:
            for _ in self._save():
                pass
            raise
        yield from self._save()
        yield Stopped(self.step)

    def _is_due(self) -> bool:
        """Whether the held-out images are to be looked at before the next step."""
        at_end = self.step >= self.settings.steps
        return (
            bool(self.held_out)
            and self._looked < self.step
            and (at_end or self.step % self.settings.validate_every == 0)
        )

    def require_trainable(self) -> None:
        """Refuse a network that cannot be trained on these images, naming operators, before the first step."""
        example = self.examples[0]
        channels, crop = example.image.shape[0], self.settings.crop
        shape = (channels, *(example.shape if crop is None else (crop,) * len(example.shape)))
        self.network.train(crop is None)
        program = self.stream.plan_for(shape).program
        if crop is None:
            self.stream.edges_for(shape)
        value = program.values[program.output]
        self.network.train()
        wanted = 1 if self.objective.kind == "bce" else self.classes
        if self.classes and len(value.shape) > 1 and value.shape[1] != wanted:
            raise InputMismatch(
                f"a network gives one channel of scores for each class, {wanted} here; this one gives "
                f"{value.shape[1]}; change its arguments, or the classes"
            )
        if not example.is_labelled_whole and len(value.shape) > 2:
            origin_of(program)
        if example.is_labelled_whole != (len(value.shape) == 2):
            one, other = ("numbers of the image", "a plane") if example.is_labelled_whole else ("a plane", "numbers")
            raise InputMismatch(
                f"labels of whole images are learned by a network that ends in a pooling of the plane, masks by one "
                f"that does not; this one should give {one}, and gives {other}; choose another network"
            )

    def _save(self) -> Iterator[Event]:
        at = self.step, self._looked
        if self._folder is None or self._saved == at or self._is_moving:
            return
        path = save_checkpoint(
            self._folder,
            {
                "schema": SCHEMA,
                "key": self._key,
                "step": self.step,
                "looked": self._looked,
                "network": self.network.state_dict(),
                "optimiser": self._optimiser.state_dict(),
                "average": None if self._average is None else self._average.state_dict(),
                "best": None if self.best is None else self.best.as_dict(),
                "best_step": self.best_step,
                "best_weights": self._best_weights,
            },
        )
        self._saved = at
        yield Saved(self.step, path)

    # --- one step --------------------------------------------------------------------------

    def _stepped(self) -> Stepped:
        """One step, or none at all: buffers that layers wrote to are put back where it fails."""
        rate = self.settings.rate_at(self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        before = [b.detach().clone() for b in self.network.buffers()]
        self._optimiser.zero_grad(set_to_none=True)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(_seed(self.settings.seed, self.step))
                losses, names = self._whole_images() if self.settings.crop is None else self._crops(self.settings.crop)
            self._require_finite_gradient(names)
        except BaseException:
            self._put_back(before)
            raise
        self._is_moving = True  # until all weights have moved; what ends it in between must not be kept
        with self._lock:
            self._optimiser.step()
            if self._average is not None:
                self._average.update_parameters(self.network)
        self.step += 1
        self._is_moving = False
        return Stepped(self.step, self.settings.steps, sum(losses) / len(losses), rate, tuple(dict.fromkeys(names)))

    def _whole_images(self) -> tuple[list[float], list[str]]:
        """The gradient of whole images, one after the other, tile by tile."""
        losses, names = [], []
        for k in range(self.settings.pieces):
            example, random = self._drawn(k)
            y, x = example.shape[-2:]
            look = Look.drawn(random, self.settings.variation, example.image.shape[0], square=y == x)
            self.stream.step = self.step * self.settings.pieces + k
            loss = self._losses.of(Piece(example, look))
            losses.append(loss.detach().item())
            self._require_finite(losses[-1], [example.name])
            torch.autograd.backward(loss / self.settings.pieces)
            names.append(example.name)
        return losses, names

    def _crops(self, size: int) -> tuple[list[float], list[str]]:
        """The gradient of crops, a batch at a time."""
        losses, names = [], []
        for part in range(self.settings.accumulate):
            drawn = [self._drawn(part * self.settings.batch + k) for k in range(self.settings.batch)]
            pairs = [self._crop(example, size, random) for example, random in drawn]
            x, target = (torch.stack(tensors).to(self.device) for tensors in zip(*pairs, strict=True))
            loss, output, target = self._losses.of_batch(x, target)
            here = [example.name for example, _ in drawn]
            losses.append(loss.detach().item())
            if not math.isfinite(losses[-1]):
                self._require_finite(losses[-1], self._culprits(output, target, here, x))
            torch.autograd.backward(loss / self.settings.accumulate)
            names += here
        return losses, names

    def _crop(self, example: Example, size: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        look = Look.drawn(random, self.settings.variation, example.image.shape[0], square=True)
        return crop_of(example, size, look, random)

    def _drawn(self, k: int) -> tuple[Example, np.random.Generator]:
        """The image of the step's k-th piece: each comes once before any comes again; and numbers for its look."""
        number = self.step * self.settings.pieces + k
        epoch, place = divmod(number, len(self.examples))
        order = np.random.default_rng((self.settings.seed, 0, epoch)).permutation(len(self.examples))
        return self.examples[order[place]], np.random.default_rng((self.settings.seed, 1, number))

    def _better(self) -> State:
        """What of the network is used otherwise than it is trained, by name."""
        average = (
            {}
            if self._average is None or not self.step
            else dict(self._average.module.named_parameters(remove_duplicate=False))
        )
        return {**average, **(without_beginning(self.network) if self._is_fresh else {})}

    # --- held-out images -------------------------------------------------------------------

    def _validated(self) -> Validated:
        figures = self.evaluate()
        self._looked = self.step
        is_best = self.best is None or figures.rank > self.best.rank
        if is_best:
            self.best, self.best_step, self._best_weights = figures, self.step, self.weights()
        return Validated(self.step, figures, is_best)

    def evaluate(self) -> Figures:
        """The network as it is now on the held-out images, as they are. Raises RunCancelled where it was stopped."""
        scores = Scores(self.classes)
        self.network.eval()
        try:
            with shown_as(self.network, self._better()), torch.no_grad():
                for example in sorted(self.held_out, key=lambda e: e.shape):
                    if self._stop():
                        raise RunCancelled("the training was stopped while it looked at held-out images")
                    scores.losses.append(float(self._losses.of_held_out(example, self.settings.crop, scores.see)))
        finally:
            self.network.train()
        return scores.figures()

    # --- what must not be ------------------------------------------------------------------

    def _require_finite(self, loss: float, names: Sequence[str]) -> None:
        if not math.isfinite(loss):
            raise LossNotFinite(
                f"a loss must be a finite number; at step {self.step + 1} it was {loss:g} with {_listed(names)}; the "
                "weights from before that step are kept; look at that image and its mask, or lower the learning rate"
            )

    def _require_finite_gradient(self, names: Sequence[str]) -> None:
        parameters = [p for p in self.network.parameters() if p.grad is not None]
        norm = float(nn.utils.clip_grad_norm_(parameters, self.settings.clip or math.inf))
        if not math.isfinite(norm):
            raise LossNotFinite(
                f"a gradient must be finite; at step {self.step + 1} it was {norm:g} with {_listed(names)}; the "
                "weights from before that step are kept; lower the learning rate, or train in full precision"
            )

    def _culprits(self, output: Tensor, target: Tensor, names: Sequence[str], x: Tensor) -> list[str]:
        """The images of a batch whose own pixels or loss are no numbers; all of them where none stands out."""
        found = [name for name, own in zip(names, x, strict=True) if not bool(own.isfinite().all())]
        if not found:
            with torch.no_grad():
                each = [self.objective(output[k : k + 1], target[k : k + 1]) for k in range(len(names))]
            found = [name for name, loss in zip(names, each, strict=True) if not bool(loss.isfinite())]
        return found or list(names)

    @torch.no_grad()
    def _put_back(self, before: Sequence[Tensor]) -> None:
        for buffer, kept in zip(self.network.buffers(), before, strict=True):
            buffer.copy_(kept)
        self._optimiser.zero_grad(set_to_none=True)


def _optimiser(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    weights = [p for p in network.parameters() if p.requires_grad]
    if not weights:
        raise BadRequest("a network must have weights that can learn; this one has none; choose another")
    decay = settings.weight_decay
    match settings.optimiser:
        case "adamw":
            return torch.optim.AdamW(weights, lr=settings.rate, weight_decay=decay)
        case "adam":
            return torch.optim.Adam(weights, lr=settings.rate, weight_decay=decay)
        case "sgd":
            return torch.optim.SGD(weights, lr=settings.rate, weight_decay=decay, momentum=settings.momentum)


def _copied(state: State) -> State:
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def _seed(seed: int, step: int) -> int:
    """One number of torch's generators for each step."""
    return int(np.random.SeedSequence((seed, 2, step)).generate_state(1, np.uint64)[0] >> 1)


def _listed(names: Sequence[str]) -> str:
    """Images in a sentence."""
    few = list(dict.fromkeys(names))
    shown = ", ".join(few[:3])
    return f"the image {shown}" if len(few) == 1 else f"one of the images {shown}{' ...' if len(few) > 3 else ''}"
