"""Several processes, each with images of its own, and training loops of other libraries."""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from napari_seamless.training import StreamedGradient


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.GroupNorm(1, 3), nn.ReLU(), nn.Conv2d(3, 2, 3, padding=1))


def example(rank: int) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(rank)
    return torch.rand(1, 1, 30, 34, generator=chance), torch.randint(2, (1, 30, 34), generator=chance)


def train_in_one_of_two(rank: int, folder: str) -> None:
    """One step of one process; its gradients are written down."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    module = network()
    parallel = DistributedDataParallel(StreamedGradient(module, tile=16))
    image, target = example(rank)
    F.cross_entropy(parallel(image), target).backward()
    torch.save([p.grad for p in module.parameters()], Path(folder) / f"gradients-{rank}")
    module.zero_grad()
    parallel(image, target, F.cross_entropy).backward()
    torch.save([p.grad for p in module.parameters()], Path(folder) / f"loss-{rank}")
    dist.destroy_process_group()


def test_processes_with_an_image_each_get_the_mean_of_their_gradients(tmp_path: Path) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.multiprocessing.start_processes(train_in_one_of_two, (str(tmp_path),), nprocs=2, start_method="spawn")
    singles = []
    for rank in range(2):
        module = network()
        image, target = example(rank)
        F.cross_entropy(module(image), target).backward()
        singles.append([p.grad for p in module.parameters()])
    for name in ("gradients", "loss"):
        for rank in range(2):
            found = torch.load(tmp_path / f"{name}-{rank}", weights_only=True)
            for mine, a, b in zip(found, *singles, strict=True):
                assert mine == pytest.approx((a + b) / 2, abs=1e-6)


class FakeTrainer:
    """What Lightning's trainer does with a module in automatic optimisation, and nothing else."""

    def fit(self, module: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> list[float]:
        module.train()
        optimiser = module.configure_optimizers()  # type: ignore[operator]
        losses = []
        for k, batch in enumerate(batches):

            def closure(batch: tuple[Tensor, Tensor] = batch, k: int = k) -> Tensor:
                loss = module.training_step(batch, k)  # type: ignore[operator]
                optimiser.zero_grad()
                loss.backward()
                losses.append(loss.item())
                return loss

            optimiser.step(closure)
        return losses


class Segmenter(nn.Module):
    """As one writes a LightningModule."""

    def __init__(self, network: nn.Module, streamed: bool) -> None:
        super().__init__()
        self.network = StreamedGradient(network, tile=16) if streamed else network

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        del index
        image, target = batch
        return F.cross_entropy(self.network(image), target)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_it_goes_into_a_lightning_module_as_any_network() -> None:
    plain = network()
    streamed = deepcopy(plain)
    batches = [example(k) for k in range(3)]
    truth = FakeTrainer().fit(Segmenter(plain, streamed=False), batches)
    assert FakeTrainer().fit(Segmenter(streamed, streamed=True), batches) == pytest.approx(truth, abs=1e-5)
    for mine, theirs in zip(streamed.parameters(), plain.parameters(), strict=True):
        assert mine.detach() == pytest.approx(theirs.detach(), abs=1e-5)
