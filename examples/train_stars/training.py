"""The loop, and what is kept of it."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from images import Picture
from scores import agreement, summary
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from variation import Batch, Crops

from napari_seamless.geometry import Region
from napari_seamless.models.networks.stars import StarNetwork
from napari_seamless.postprocess.polygons.step import StarPolygons
from napari_seamless.postprocess.step import Domain, TileOutput

RAYS_SHARE = 2.0
"""Weight of the error of rays beside that of the probability."""
SMALL = 2.0
"""Pixels that are added to an object's radius when errors are compared with it."""
HOLD_FROM = 0.5
"""Share of the steps after which the moments of batch norm no longer change."""


@dataclass(eq=False)
class Training:
    """A network, its average over steps, and how far they are."""

    network: StarNetwork
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    step: int = 0

    @classmethod
    def begin(cls, inputs: int, rate: float, seed: int) -> Training:
        torch.manual_seed(seed)
        network = StarNetwork(inputs).to(memory_format=torch.channels_last).train()
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.998), use_buffers=True)
        return cls(network, average, torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-3))

    def save(self, path: Path) -> None:
        """Everything that is needed to go on; what is there already is replaced when all is written."""
        parts = {name: getattr(self, name).state_dict() for name in ("network", "average", "optimizer")}
        torch.save(parts | {"step": self.step}, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        saved = torch.load(path, weights_only=True)
        for name in ("network", "average", "optimizer"):
            getattr(self, name).load_state_dict(saved[name])
        self.step = saved["step"]

    @property
    def averaged(self) -> StarNetwork:
        """The network to use."""
        network: StarNetwork = self.average.module
        return network


def rate_at(progress: float) -> float:
    """Share of the highest learning rate: a short rise, flat, then from the middle on a half cosine down to 1 %."""
    if progress < 0.02:
        return 0.02 + 0.98 * progress / 0.02
    return 1.0 if progress < 0.5 else 0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * (2 * progress - 1)))


def loss_of(logits: torch.Tensor, rays: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the probability, and the mean error of rays, as a share of the object's radius so that small
    objects count as much as large ones, weighted by the probability."""
    probability, target_rays = target[:, :1], target[:, 1:]
    entropy = functional.binary_cross_entropy_with_logits(logits, probability)
    error = (rays - target_rays).abs().mean(dim=1, keepdim=True)
    error = error / (target_rays.mean(dim=1, keepdim=True) + SMALL)
    return entropy, (error * probability).sum() / probability.sum().clamp(min=1)


def train(training: Training, crops: Crops, *, steps: int, rate: float) -> Iterator[dict[str, float]]:
    """Update the network up to this step; gives what was lost, at every step."""
    while training.step < steps:
        progress = training.step / steps
        for group in training.optimizer.param_groups:
            group["lr"] = rate * rate_at(progress)
        training.network.train()
        if progress >= HOLD_FROM:
            for module in training.network.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.eval()
        entropy, error = _update(training, crops.batch(training.step))
        training.step += 1
        yield {"entropy": entropy, "rays": error}


def _update(training: Training, batch: Batch) -> tuple[float, float]:
    x, target = batch
    with torch.autocast("cpu", torch.bfloat16):
        logits, rays = training.network.logits(x.contiguous(memory_format=torch.channels_last))
    entropy, error = loss_of(logits.float(), rays.float(), target)
    training.optimizer.zero_grad(set_to_none=True)
    (entropy + RAYS_SHARE * error).backward()
    torch.nn.utils.clip_grad_norm_(training.network.parameters(), 1.0)
    training.optimizer.step()
    training.average.update_parameters(training.network)
    return entropy.item(), error.item()


def output_of(network: StarNetwork, pixels: np.ndarray) -> np.ndarray:
    """What the network gives for an image (c, y, x) of any size, (1 + rays, y / 2, x / 2)."""
    height, width = pixels.shape[1:]
    padding = [(0, 0), (0, -height % network.stride), (0, -width % network.stride)]
    x = torch.from_numpy(np.pad(pixels, padding))[None].contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        output = network.eval()(x)[0, :, : -(-height // 2), : -(-width // 2)].numpy()
    return np.ascontiguousarray(output)


def objects_in(output: np.ndarray, shape: tuple[int, ...], step: StarPolygons) -> np.ndarray:
    """Numbers of objects (y, x)."""
    domain = Domain.whole(shape)
    settler = step.begin(domain)
    given = TileOutput(domain, domain.tile(Region.from_shape(shape), 0), output)
    settled = [settler.settle(step.propose(given)), settler.flush()]
    (objects,) = (one for part in settled for one in part.paintable)
    painted = step.paint(objects, None)
    return np.unique(np.append(0, painted), return_inverse=True)[1][1:].reshape(shape)


def best_settings(network: StarNetwork, pictures: Sequence[Picture]) -> StarPolygons:
    """Probability, overlap and border with the best F1 on these images."""
    outputs = [output_of(network, picture.pixels) for picture in pictures]
    probabilities = [{"probability": round(0.2 + 0.05 * k, 2)} for k in range(11)]
    overlaps = [{"overlap": overlap} for overlap in (0.2, 0.3, 0.4, 0.5)]
    borders = [{"border": border} for border in (2, 1, 0)]
    step = StarPolygons()
    for choices in (probabilities, overlaps, borders):
        step = max((replace(step, **one) for one in choices), key=lambda choice: _f1(outputs, pictures, choice))
    return step


def _f1(outputs: Sequence[np.ndarray], pictures: Sequence[Picture], step: StarPolygons) -> float:
    pairs = zip(outputs, pictures, strict=True)
    return summary([agreement(p.labels, objects_in(o, p.labels.shape, step)) for o, p in pairs])["f1"]


def figures(network: StarNetwork, pictures: Sequence[Picture], step: StarPolygons) -> dict[str, dict[str, float | int]]:
    """How well all images went together, and those of each source."""
    by_source = defaultdict(list)
    for picture in pictures:
        found = objects_in(output_of(network, picture.pixels), picture.labels.shape, step)
        by_source[picture.source].append(agreement(picture.labels, found))
    every = [one for some in by_source.values() for one in some]
    return {"all": summary(every)} | {source: summary(some) for source, some in sorted(by_source.items())}


def clock() -> float:
    """Seconds of processor time, which do not count what else the machine does."""
    return time.process_time()
