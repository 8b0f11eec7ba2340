"""The loop that trains: what a step depends on, what a network is shown, and that streaming changes nothing."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_seamless.errors import BadRequest, InputDamaged, InputMismatch, NotTileable
from napari_seamless.geometry import Region
from napari_seamless.models.networks.unet import UNet
from napari_seamless.testing.disk_calls import count_calls, killed_at
from napari_seamless.training.data.examples import IGNORED, AugmentationSample, AugmentedImage, Example, random_crop
from napari_seamless.training.loop.checkpoint import load_checkpoint, save_checkpoint
from napari_seamless.training.loop.evaluation_weights import debiased_statistics
from napari_seamless.training.loop.events import CheckpointSaved, StepDone, TrainingStopped, Validated
from napari_seamless.training.loop.settings import Augmentation, TrainingSettings
from napari_seamless.training.loop.trainer import Trainer
from napari_seamless.training.losses.objective import Objective, class_weights
from training_images import ArrayImage, spots

AS_THEY_ARE = Augmentation(flips=False, turns=False, light=0.0)


def example(number: int, shape: tuple[int, int] = (48, 48)) -> Example:
    pixels, labels = spots(number, shape)
    target = (labels > 0).astype(np.int64)
    return Example(f"{number}", ArrayImage(np.moveaxis(pixels, -1, 0)), target, scale=lambda x: x / 255)


def small_network(seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    return UNet(3, 2, (4, 4))


def trainer(network: nn.Module, **changes: Any) -> Trainer:
    """On four images, two held out, without augmentation."""
    told = {name: changes.pop(name) for name in list(changes) if name in ("folder", "key", "stop", "device")}
    base: dict[str, Any] = {
        "steps": 3,
        "batch": 2,
        "rate": 0.05,
        "optimiser": "sgd",
        "schedule": "constant",
        "clip": None,
    }
    settings = TrainingSettings(**{**base, "augmentation": AS_THEY_ARE, **changes})
    learned, held_out = [example(k) for k in range(4)], [example(k) for k in range(4, 6)]
    return Trainer(network, learned, held_out, Objective(), settings, classes=2, **told)


def test_whole_images_train_a_network_as_plain_torch_does() -> None:
    mine, plain = small_network(), small_network().train()
    told = [e for e in trainer(mine).run() if isinstance(e, StepDone)]
    optimiser = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    for step in told:
        optimiser.zero_grad()
        losses = []
        for name in step.images:
            one = example(int(name))
            x = torch.from_numpy(one.image.array.astype(np.float32))[None] / 255
            losses.append(nn.functional.cross_entropy(plain(x), torch.from_numpy(one.target)[None]))
            (losses[-1] / 2).backward()
        optimiser.step()
        assert step.loss == pytest.approx(sum(v.item() for v in losses) / 2, rel=1e-5)
    for name, weight in plain.state_dict().items():
        torch.testing.assert_close(mine.state_dict()[name], weight, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize(("crop", "average"), [(None, 0.0), (32, 0.0), (32, 0.9)])
def test_a_training_that_stopped_and_went_on_gives_the_same_weights(
    tmp_path: Path, crop: int | None, average: float
) -> None:
    told = {"steps": 4, "crop": crop, "average": average, "augmentation": Augmentation(stain=0.2), "optimiser": "adamw"}
    whole = trainer(small_network(), **told)
    list(whole.run())
    first = trainer(small_network(), folder=tmp_path, **told)
    events = first.run()
    assert isinstance(next(events), StepDone)
    assert isinstance(next(events), StepDone)
    first._stop = lambda: True
    assert [type(e) for e in events] == [CheckpointSaved, TrainingStopped]
    again = trainer(small_network(9), folder=tmp_path, **told)
    assert again.resume()
    assert [e.step for e in again.run() if isinstance(e, StepDone)] == [3, 4]
    for name, weight in whole.weights().items():
        assert torch.equal(again.weights()[name], weight), name
    assert again.best == whole.best


def test_held_out_images_that_were_not_all_looked_at_are_looked_at_again(tmp_path: Path) -> None:
    told = {"crop": 16, "steps": 2, "validate_every": 1, "folder": tmp_path}
    stop = threading.Event()

    class Telling(ArrayImage):
        def read(self, region: Region) -> Tensor:
            stop.set()
            return super().read(region)

    mine = trainer(small_network(), stop=stop.is_set, **told)
    first, second = mine.held_out
    mine.held_out = [replace(first, image=Telling(first.image.array)), second]
    events = list(mine.run())
    assert [type(e) for e in events] == [StepDone, CheckpointSaved, TrainingStopped]
    again = trainer(small_network(9), **told)
    again.resume()
    assert [(type(e), e.step) for e in again.run() if not isinstance(e, CheckpointSaved)] == [
        (Validated, 1),
        (StepDone, 2),
        (Validated, 2),
    ]


def test_a_step_that_was_broken_off_while_weights_moved_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = trainer(small_network(), crop=16, folder=tmp_path, checkpoint_every=1, validate_every=99)
    events = mine.run()
    next(events)
    assert isinstance(next(events), CheckpointSaved)

    def interrupted(closure: None = None) -> None:
        with torch.no_grad():
            next(mine.network.parameters()).add_(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(mine._optimiser, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(events)
    again = trainer(small_network(9), crop=16, folder=tmp_path, checkpoint_every=1, validate_every=99)
    again.resume()
    whole = trainer(small_network(), crop=16, validate_every=99)
    list(again.run())
    list(whole.run())
    assert torch.equal(again.weights()["head.weight"], whole.weights()["head.weight"])


def test_an_epoch_shows_every_image_once() -> None:
    names = [n for e in trainer(small_network(), steps=6, crop=16).run() if isinstance(e, StepDone) for n in e.images]
    assert all(sorted(names[k : k + 4]) == ["0", "1", "2", "3"] for k in range(0, 12, 4))
    assert names[:4] != names[4:8] or names[4:8] != names[8:12]


def test_held_out_figures_are_the_same_streamed_and_in_one_go() -> None:
    network = small_network()
    streamed, plain = trainer(network).evaluate(), trainer(network, crop=16).evaluate()
    assert streamed.dice == plain.dice
    assert streamed.loss == pytest.approx(plain.loss, rel=1e-5)


def test_weights_can_be_had_and_images_exchanged_while_it_trains() -> None:
    mine = trainer(small_network(), crop=16, steps=4)
    events = mine.run()
    next(events)
    before = mine.weights()
    mine.examples = [example(9)]
    assert next(events).images == ("9",)  # type: ignore[union-attr]
    assert not torch.equal(before["head.weight"], mine.weights()["head.weight"])


def test_running_statistics_forget_what_they_began_with() -> None:
    layer = nn.BatchNorm2d(1, momentum=0.02).train()
    for _ in range(3):
        layer(torch.tensor([[[[3.0, 7.0]]]]))
    found = debiased_statistics(layer)
    assert found["running_mean"].item() == pytest.approx(5, rel=1e-4)
    assert found["running_var"].item() == pytest.approx(8, rel=1e-4)
    assert layer.running_mean is not None
    assert layer.running_mean.item() < 1


def test_averaged_weights_are_a_mean_over_steps_and_are_what_held_out_images_are_looked_at_with() -> None:
    mine = trainer(small_network(), crop=48, steps=3, average=0.2, validate_every=99)
    events, mean = mine.run(), None
    for step in range(3):
        next(events)
        now = mine.network.head.weight.detach().clone()
        kept = min(0.2, (step + 1) / (step + 10))
        mean = now if mean is None else mean + (1 - kept) * (now - mean)
        torch.testing.assert_close(mine.weights()["head.weight"], mean)
    metrics = next(e.metrics for e in events if isinstance(e, Validated))
    assert torch.equal(mine.network.head.weight, now)
    shown = small_network()
    shown.load_state_dict(mine.weights())
    alone = trainer(shown, crop=48)
    alone._is_fresh = False
    assert metrics.loss == pytest.approx(alone.evaluate().loss)
    alone.network.load_state_dict(mine.network.state_dict())
    assert metrics.loss != pytest.approx(alone.evaluate().loss)


def test_the_best_weights_are_kept_not_the_last() -> None:
    mine = trainer(small_network(), crop=16, steps=2, validate_every=1)
    events = [e for e in mine.run() if isinstance(e, Validated)]
    assert mine.best_step == max(events, key=lambda e: e.metrics.rank).step
    assert events[0].is_best


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    list(trainer(small_network(), steps=1, crop=16, folder=tmp_path, key="a").run())
    with pytest.raises(BadRequest, match="began with others"):
        trainer(small_network(), steps=1, crop=16, folder=tmp_path, key="b").resume()


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, {"step": step})
    (tmp_path / "checkpoint.pt").write_bytes(b"half")
    assert load_checkpoint(tmp_path) == {"step": 1}
    (tmp_path / "checkpoint.previous.pt").write_bytes(b"")
    with pytest.raises(InputDamaged, match="start again with --restart"):
        load_checkpoint(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process that is forked")
def test_a_checkpoint_whose_writing_is_killed_leaves_a_whole_one_and_no_more_files_than_before(tmp_path: Path) -> None:
    def three() -> None:
        for step in (1, 2, 3):
            save_checkpoint(tmp_path / "live", {"step": step})

    calls = count_calls(three)
    for number in range(1, calls + 1):
        shutil.rmtree(tmp_path / "live")
        killed_at(number, three)
        found = load_checkpoint(tmp_path / "live")
        assert found in ({"step": 1}, {"step": 2}, {"step": 3}) or (found is None and number <= calls // 2)
        three()
        assert {path.name for path in (tmp_path / "live").iterdir()} == {"checkpoint.pt", "checkpoint.previous.pt"}


# --- what a network is shown --------------------------------------------------------------


def all_samples() -> list[AugmentationSample]:
    return [AugmentationSample(bool(k & 1), bool(k & 2), bool(k & 4), gain=1.0 + k / 10) for k in range(8)]


@pytest.mark.parametrize("sample", all_samples(), ids=str)
def test_parts_of_an_augmented_image_are_those_of_the_whole_and_its_target_turns_too(
    sample: AugmentationSample,
) -> None:
    shape = (11, 7)
    values = np.arange(77).reshape(1, *shape)
    image = AugmentedImage(Example("a", ArrayImage(values), values[0]), sample)
    size = image.shape[1:]
    whole = image.read(Region.from_shape(size))
    target = image.target(size, (0, 0))
    torch.testing.assert_close(whole[0], target.whole().float() * sample.gain)
    part = Region.of((2, 5), (1, 6))
    assert torch.equal(image.read(part), whole[(slice(None), *part.slices())])
    assert torch.equal(target[(..., *part.slices())], target.whole()[part.slices()])
    assert sorted(target.whole().flatten().tolist()) == list(range(77))


def drawn(how: Augmentation, square: bool = True) -> set[tuple[bool, bool, bool]]:
    random = np.random.default_rng(0)
    looks = [AugmentationSample.draw(random, how, 3, square=square) for _ in range(200)]
    return {(k.transposed, k.upside_down, k.mirrored) for k in looks}


def test_turns_alone_never_mirror_and_images_that_are_no_squares_keep_their_shape() -> None:
    assert len(drawn(Augmentation())) == 8
    turned = {np.rot90(np.arange(4).reshape(2, 2), k).tobytes() for k in range(4)}
    looks = drawn(Augmentation(flips=False))
    assert {AugmentationSample(*k).orient(torch.arange(4).reshape(2, 2)).numpy().tobytes() for k in looks} == turned
    assert not any(transposed for transposed, _, _ in drawn(Augmentation(), square=False))
    assert drawn(AS_THEY_ARE) == {(False, False, False)}


def test_an_image_smaller_than_the_crop_goes_on_mirrored() -> None:
    values = np.arange(6).reshape(1, 2, 3)
    x, target = random_crop(
        Example("a", ArrayImage(values), values[0]), 5, AugmentationSample(), np.random.default_rng(0)
    )
    expected = torch.from_numpy(np.pad(values[0], [(0, 3), (0, 2)], mode="symmetric"))
    assert torch.equal(x[0], expected.float())
    assert torch.equal(target, expected)


# --- losses -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cross-entropy", "dice", "cross-entropy+dice", "bce", "mse"])
def test_a_loss_falls_towards_the_truth_and_ignored_pixels_do_not_count(kind: Any) -> None:
    target = torch.tensor([[[0, 1, 1, 0]]])
    scores = torch.where(target == 1, 9.0, -9.0)
    good = scores[:, None] if kind == "bce" else torch.stack([-scores, scores], 1)
    aim = torch.stack([-scores, scores], 1) if kind == "mse" else target
    loss = Objective(kind)
    assert loss(good, aim) < 0.1 < loss(-good, aim)
    if kind != "mse":
        wrong = good.clone()
        wrong[..., 0] *= -1
        ignored = torch.where(torch.arange(4) == 0, IGNORED, target)
        assert loss(wrong, ignored) < 0.1


def test_equalised_classes_weigh_the_same_in_all() -> None:
    counts = (900, 90, 10, 0)
    weights = class_weights(counts)
    assert [w * n for w, n in zip(weights[:3], counts, strict=False)] == pytest.approx([1000 / 3] * 3)
    assert class_weights(counts, 0.0) == (1.0, 1.0, 1.0, 1.0)
    half = class_weights(counts, 0.5)
    assert 1 < half[2] / half[0] < weights[2] / weights[0]


# --- networks that cannot be ----------------------------------------------------------------


class Transformed(nn.Module):
    """A Fourier transform of the plane."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft2(self.conv(x)).real


def refused(network: nn.Module, crop: int | None = None, held_out: Sequence[Example] = ()) -> None:
    settings = TrainingSettings(steps=1, crop=crop, batch=1)
    next(Trainer(network, [example(0)], held_out, Objective(), settings, classes=2).run())


@pytest.mark.parametrize(
    ("network", "error", "match"),
    [
        (Transformed(), NotTileable, "fft"),
        (nn.Conv2d(3, 5, 1), InputMismatch, "one channel of scores for each class, 2 here; this one gives 5"),
        (nn.Conv2d(3, 2, 2, stride=2), InputMismatch, "2 x 2 of the image's"),
        (nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), InputMismatch, "give a plane"),
    ],
    ids=["operator", "channels", "stride", "pooled"],
)
@pytest.mark.parametrize("crop", [None, 16])
def test_a_network_that_cannot_be_trained_is_refused_before_the_first_step(
    network: nn.Module, error: type[Exception], match: str, crop: int | None
) -> None:
    with pytest.raises(error, match=match):
        refused(network, crop)
