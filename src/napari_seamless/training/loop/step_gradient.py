"""The gradient of one step: of whole images, streamed one after another, or of batches of crops.

Which examples a step takes, and how they are augmented, follows from the seed and the number of the step alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from napari_seamless.errors import LossNotFinite
from napari_seamless.training.data.augmentation import AugmentationSample
from napari_seamless.training.data.examples import AugmentedImage, Example, random_crop
from napari_seamless.training.loop.settings import TrainingSettings
from napari_seamless.training.losses.example_loss import ExampleLoss


class StepGradient:
    """Adds the gradient of a step to the parameters of the network of `loss`. One thread at a time."""

    def __init__(self, loss: ExampleLoss, settings: TrainingSettings) -> None:
        self._loss, self._settings = loss, settings

    def compute(self, examples: Sequence[Example], step: int) -> tuple[list[float], list[str]]:
        """The losses, and the names of the examples that they are of. Raises LossNotFinite."""
        crop = self._settings.crop
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed(self._settings.seed, step))
            losses, names = self._of_images(examples, step) if crop is None else self._of_crops(examples, step, crop)
        self._require_finite_gradient(step, names)
        return losses, names

    def _of_images(self, examples: Sequence[Example], step: int) -> tuple[list[float], list[str]]:
        """The gradient of whole images, one after the other, tile by tile."""
        losses, names = [], []
        for k in range(self._settings.examples_per_step):
            example, random = self._draw(examples, step, k)
            y, x = example.shape[-2:]
            sample = AugmentationSample.draw(random, self._settings.augmentation, example.image.shape[0], square=y == x)
            self._loss.stream.step = step * self._settings.examples_per_step + k
            loss = self._loss.streamed(AugmentedImage(example, sample))
            losses.append(loss.detach().item())
            self._require_finite(step, losses[-1], [example.name])
            torch.autograd.backward(loss / self._settings.examples_per_step)
            names.append(example.name)
        return losses, names

    def _of_crops(self, examples: Sequence[Example], step: int, size: int) -> tuple[list[float], list[str]]:
        """The gradient of crops, a batch at a time."""
        losses, names = [], []
        for part in range(self._settings.accumulate):
            drawn = [self._draw(examples, step, part * self._settings.batch + k) for k in range(self._settings.batch)]
            pairs = [self._crop(example, size, random) for example, random in drawn]
            x, target = (torch.stack(tensors).to(self._loss.stream.device) for tensors in zip(*pairs, strict=True))
            loss, output, target = self._loss.of_batch(x, target)
            here = [example.name for example, _ in drawn]
            losses.append(loss.detach().item())
            if not math.isfinite(losses[-1]):
                self._require_finite(step, losses[-1], self._not_finite(output, target, here, x))
            torch.autograd.backward(loss / self._settings.accumulate)
            names += here
        return losses, names

    def _crop(self, example: Example, size: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        sample = AugmentationSample.draw(random, self._settings.augmentation, example.image.shape[0], square=True)
        return random_crop(example, size, sample, random)

    def _draw(self, examples: Sequence[Example], step: int, k: int) -> tuple[Example, np.random.Generator]:
        """The step's k-th example (each comes once before any comes again), and what its augmentation is drawn from."""
        number = step * self._settings.examples_per_step + k
        epoch, place = divmod(number, len(examples))
        order = np.random.default_rng((self._settings.seed, 0, epoch)).permutation(len(examples))
        return examples[order[place]], np.random.default_rng((self._settings.seed, 1, number))

    def _require_finite(self, step: int, loss: float, names: Sequence[str]) -> None:
        if not math.isfinite(loss):
            raise LossNotFinite(
                f"a loss must be a finite number; at step {step + 1} it was {loss:g} with {_listed(names)}; the "
                "weights from before that step are kept; look at that image and its mask, or lower the learning rate"
            )

    def _require_finite_gradient(self, step: int, names: Sequence[str]) -> None:
        parameters = [p for p in self._loss.network.parameters() if p.grad is not None]
        norm = float(nn.utils.clip_grad_norm_(parameters, self._settings.clip or math.inf))
        if not math.isfinite(norm):
            raise LossNotFinite(
                f"a gradient must be finite; at step {step + 1} it was {norm:g} with {_listed(names)}; the "
                "weights from before that step are kept; lower the learning rate, or train in full precision"
            )

    def _not_finite(self, output: Tensor, target: Tensor, names: Sequence[str], x: Tensor) -> list[str]:
        """The images of a batch whose own pixels or loss are no numbers; all of them where none stands out."""
        found = [name for name, own in zip(names, x, strict=True) if not bool(own.isfinite().all())]
        if not found:
            with torch.no_grad():
                each = [self._loss.objective(output[k : k + 1], target[k : k + 1]) for k in range(len(names))]
            found = [name for name, loss in zip(names, each, strict=True) if not bool(loss.isfinite())]
        return found or list(names)


def _seed(seed: int, step: int) -> int:
    """One number of torch's generators for each step."""
    return int(np.random.SeedSequence((seed, 2, step)).generate_state(1, np.uint64)[0] >> 1)


def _listed(names: Sequence[str]) -> str:
    """Images in a sentence."""
    few = list(dict.fromkeys(names))
    shown = ", ".join(few[:3])
    return f"the image {shown}" if len(few) == 1 else f"one of the images {shown}{' ...' if len(few) > 3 else ''}"
