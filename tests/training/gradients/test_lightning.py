"""Streamed gradients inside a LightningModule, trained by Lightning's own trainer; and the page that shows one."""

from __future__ import annotations

import re
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

import napari_seamless as ns
from napari_seamless.io.readers import sample_slide

PAGE = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
RATE = 0.1

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),  # the images are in memory
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # of torch, about Lightning
]

Batch = tuple[Tensor, Tensor]


def network() -> nn.Module:
    """With a norm over the plane, so that tiles alone would not do."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.GroupNorm(1, 3), nn.ReLU(), nn.Conv2d(3, 2, 3, padding=1))


def images() -> list[Batch]:
    """Each of a size of its own."""
    chance = torch.Generator().manual_seed(0)
    shapes = [(1, 30, 34), (1, 26, 40), (1, 33, 20), (1, 30, 34)]
    return [(torch.rand(1, *shape, generator=chance), torch.randint(2, shape, generator=chance)) for shape in shapes]


class Segmenter(pl.LightningModule):
    """Lightning takes the steps."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = ns.StreamedGradient(network, tile=16)
        self.losses: list[float] = []

    def training_step(self, batch: Batch) -> Tensor:
        image, target = batch
        loss = F.cross_entropy(self.network(image).float(), target)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), RATE, momentum=0.9)


class ByHand(Segmenter):
    """The module takes them itself, and the loss is found tile by tile."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.automatic_optimization = False

    def training_step(self, batch: Batch) -> None:
        optimiser = self.optimizers()
        optimiser.zero_grad()
        loss = self.network.loss(*batch, F.cross_entropy)
        self.manual_backward(loss)
        optimiser.step()
        self.losses.append(loss.item())


def fitted(module: pl.LightningModule, **settings: Any) -> None:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", devices=1, **quiet, **settings)
    trainer.fit(module, DataLoader(images(), batch_size=None))


def trained_plainly(network: nn.Module, *, accumulate: int = 1, half: bool = False) -> list[float]:
    """The same in a loop of plain torch."""
    optimiser, losses = torch.optim.SGD(network.parameters(), RATE, momentum=0.9), []
    for number, (image, target) in enumerate(images(), 1):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = F.cross_entropy(network(image).float(), target)
        (loss / accumulate).backward()
        losses.append(loss.item())
        if number % accumulate == 0:
            optimiser.step()
            optimiser.zero_grad()
    return losses


def assert_same(mine: nn.Module, theirs: nn.Module, tolerance: float) -> None:
    for (name, a), b in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        assert a.detach() == pytest.approx(b.detach(), abs=tolerance), name


@pytest.mark.parametrize("module", [Segmenter, ByHand], ids=["automatic", "by-hand"])
def test_lightning_leads_to_the_weights_of_plain_torch_on_whole_images(module: type[Segmenter]) -> None:
    plain = network()
    lesson = module(deepcopy(plain))
    fitted(lesson)
    assert lesson.losses == pytest.approx(trained_plainly(plain), abs=1e-5)
    assert_same(lesson.network.module, plain, 1e-5)


def test_lightning_adds_gradients_of_images_up() -> None:
    plain = network()
    lesson = Segmenter(deepcopy(plain))
    fitted(lesson, accumulate_grad_batches=2)
    assert lesson.losses == pytest.approx(trained_plainly(plain, accumulate=2), abs=1e-5)
    assert_same(lesson.network.module, plain, 1e-5)


def test_lightning_s_mixed_precision_reaches_the_tiles() -> None:
    plain = network()
    lesson, same, precise = Segmenter(deepcopy(plain)), deepcopy(plain), deepcopy(plain)
    fitted(lesson, precision="bf16-mixed")
    assert lesson.losses == trained_plainly(ns.StreamedGradient(same, tile=16), half=True)
    assert_same(lesson.network.module, same, 0)
    assert lesson.losses != pytest.approx(trained_plainly(precise), abs=1e-5)


def test_what_the_page_on_training_shows_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(sample_slide(), tmp_path / "slide.svs")
    height, width = ns.open_image("slide.svs").info.levels.shape(0)
    names: dict[str, Any] = {
        "network": nn.Conv2d(3, 2, 3, padding=1),
        "image": torch.rand(1, 3, height, width),
        "target": torch.zeros(1, height, width, dtype=torch.long),
    }
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    for code in blocks:
        exec(compile(code, "training.md", "exec"), names)
    plain = network()
    shown = names["Segmenter"](deepcopy(plain))
    fitted(shown, limit_train_batches=1)
    assert len(blocks) == 3
    assert not torch.equal(shown.network.module[0].weight, plain[0].weight)
