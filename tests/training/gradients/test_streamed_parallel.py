"""Several processes, each with images of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from napari_seamless.training.gradients.streamed_gradient import StreamedGradient


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
