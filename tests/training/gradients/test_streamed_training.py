"""What a training loop meets beyond gradients: batch norm, dropout, losses in tiles, precision, refusals."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tifffile import imwrite
from torch import Tensor, nn

import napari_seamless as ns
from gradient_checks import gradients, largest_error, weighing
from napari_seamless.errors import BadRequest, BudgetTooSmall, InputMismatch, NotTileable, RunCancelled
from napari_seamless.training.gradients.streamed_gradient import StreamedGradient

IMAGE = torch.rand(1, 3, 50, 44, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
TARGET = torch.randint(2, (1, 50, 44), generator=torch.Generator().manual_seed(6))


def seeded(network: nn.Module) -> nn.Module:
    """A network with weights of its own that are the same every time."""
    chance = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn(p.shape, generator=chance) * 0.4)
    return network.double()


def with_norms() -> nn.Module:
    return seeded(
        nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 6, 3, padding=1), nn.InstanceNorm2d(6, affine=True, track_running_stats=True), nn.SiLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(6, 2, 3, padding=1),
        )
    )  # fmt: skip


def with_dropout() -> nn.Module:
    return seeded(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.Dropout(0.3), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.Dropout2d(0.4),
            Depth(nn.Conv2d(8, 8, 3, padding=1)), nn.Conv2d(8, 2, 1),
        )
    )  # fmt: skip


def plain() -> nn.Module:
    return seeded(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1)))


class Depth(nn.Module):
    """Stochastic depth (Huang et al. 2016), as torchvision and timm write it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        keep = torch.empty((1, 1, 1, 1), dtype=x.dtype).bernoulli_(0.5) / 0.5
        return x + self.layer(x) * keep if self.training else x + self.layer(x)


class Classifier(nn.Module):
    """Classes of a whole image: the case that the method was first published for."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1)))


def test_batch_norm_takes_the_statistics_of_the_whole_image_and_remembers_them() -> None:
    network = with_norms().train()
    oracle = deepcopy(network)
    stream = StreamedGradient(network, tile=17)
    for _ in range(2):
        output = stream(IMAGE)
        truth = oracle(IMAGE)
        assert (output - truth).abs().max() < 1e-10
        weighing(output).backward()
        weighing(truth).backward()
    assert largest_error(gradients(network), gradients(oracle)) <= 1e-10
    for (name, mine), (_, theirs) in zip(network.named_buffers(), oracle.named_buffers(), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-10), name
    assert int(network[1].num_batches_tracked) == 2


def test_three_steps_of_an_optimiser_lead_to_the_same_weights() -> None:
    network = with_norms().train()
    oracle = deepcopy(network)
    stream = StreamedGradient(network, tile=20)
    for model, forward in ((network, stream), (oracle, oracle)):
        optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
        for k in range(3):
            optimiser.zero_grad()
            F.cross_entropy(forward(IMAGE.roll(7 * k, 2)), TARGET).backward()
            optimiser.step()
    for mine, theirs in zip(network.parameters(), oracle.parameters(), strict=True):
        assert (mine - theirs).abs().max() <= 1e-6


def test_dropout_and_stochastic_depth_do_not_depend_on_tiles() -> None:
    network = with_dropout().train()
    found = []
    for tile in (13, 50):
        stream = StreamedGradient(network, tile=tile, seed=4)
        for _ in range(2):
            network.zero_grad()
            output = stream(IMAGE)
            weighing(output).backward()
        found.append((output.detach(), gradients(deepcopy_with_gradients(network))))
    assert (found[0][0] - found[1][0]).abs().max() < 1e-10
    assert largest_error(found[0][1], found[1][1]) <= 1e-10


def deepcopy_with_gradients(network: nn.Module) -> nn.Module:
    copy = deepcopy(network)
    for mine, theirs in zip(copy.parameters(), network.parameters(), strict=True):
        mine.grad = None if theirs.grad is None else theirs.grad.clone()
    return copy


def test_dropout_drops_the_share_that_it_says_anew_in_every_step_and_keeps_the_mean() -> None:
    stream = StreamedGradient(nn.Sequential(nn.Dropout(0.3)).train(), tile=64)
    ones = torch.ones(1, 2, 200, 200)
    first, second = stream(ones), stream(ones)
    assert first.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert float((first == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    both = float(((first == 0) & (second == 0)).float().mean())
    assert both == pytest.approx(0.09, abs=0.01)
    beside = float(((first == 0) & (first.roll(1, 3) == 0)).float().mean())
    assert beside == pytest.approx(0.09, abs=0.01)
    assert float(((first[:, 0] == 0) & (first[:, 1] == 0)).float().mean()) == pytest.approx(0.09, abs=0.01)


def test_channels_are_dropped_whole_by_dropout2d() -> None:
    stream = StreamedGradient(nn.Sequential(nn.Dropout2d(0.5)).train(), tile=16)
    dropped = stream(torch.ones(1, 64, 20, 20))[0].flatten(1)
    assert all(len(channel.unique()) == 1 for channel in dropped)
    assert 15 < int((dropped[:, 0] == 0).sum()) < 49


def test_in_eval_mode_dropout_does_nothing_and_batch_norm_uses_what_it_stored() -> None:
    network = nn.Sequential(with_norms().train(), nn.Dropout(0.5))
    network(IMAGE)
    network.eval()
    before = {name: b.clone() for name, b in network.named_buffers()}
    truth = network(IMAGE)
    assert (StreamedGradient(network, tile=19)(IMAGE) - truth).abs().max() < 1e-10
    assert all(torch.equal(b, before[name]) for name, b in network.named_buffers())


def test_a_classifier_of_whole_images_learns_from_tiles() -> None:
    network = seeded(Classifier()).train()
    oracle = deepcopy(network)
    label = torch.tensor([2])
    output = StreamedGradient(network, tile=5)(IMAGE)
    assert output.shape == (1, 3)
    F.cross_entropy(output, label).backward()
    F.cross_entropy(oracle(IMAGE), label).backward()
    again = StreamedGradient(network, tile=5).loss(IMAGE, label, F.cross_entropy)
    assert again.item() == pytest.approx(F.cross_entropy(network(IMAGE), label).item(), rel=1e-10)
    assert largest_error(gradients(network), gradients(oracle)) <= 1e-10


@pytest.mark.parametrize("make", [plain, with_norms], ids=["plain", "with-norms"])
def test_a_loss_in_tiles_is_the_loss_of_the_whole_output(make: object) -> None:
    network = make().train()  # type: ignore[operator]
    oracle = deepcopy(network)
    stream = StreamedGradient(network, tile=18)
    loss = stream.loss(IMAGE, TARGET, F.cross_entropy)
    truth = F.cross_entropy(oracle(IMAGE), TARGET)
    assert loss.item() == pytest.approx(truth.item(), rel=1e-10)
    (3 * loss).backward()
    (3 * truth).backward()
    assert largest_error(gradients(network), gradients(oracle)) <= 1e-10


def test_a_sum_over_labelled_pixels_is_divided_afterwards() -> None:
    network = plain()
    oracle = deepcopy(network)
    few = TARGET.masked_fill(torch.arange(44) > 9, -1)

    def total(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target, ignore_index=-1, reduction="sum")

    loss = StreamedGradient(network, tile=18).loss(IMAGE, few.numpy(), total, reduction="sum") / int((few >= 0).sum())
    loss.backward()
    F.cross_entropy(oracle(IMAGE), few, ignore_index=-1).backward()
    assert largest_error(gradients(network), gradients(oracle)) <= 1e-10


def test_a_loss_is_measured_without_gradients_too() -> None:
    network = plain()
    with torch.no_grad():
        loss = StreamedGradient(network, tile=18).loss(IMAGE, TARGET, F.cross_entropy)
    assert loss.item() == pytest.approx(F.cross_entropy(network(IMAGE), TARGET).item(), rel=1e-10)
    assert not loss.requires_grad


def test_the_image_gets_its_gradient_where_it_wants_one() -> None:
    network = with_norms().train()
    mine, theirs = IMAGE.clone().requires_grad_(), IMAGE.clone().requires_grad_()
    weighing(StreamedGradient(network, tile=19)(mine)).backward()
    weighing(network(theirs)).backward()
    assert mine.grad is not None
    assert theirs.grad is not None
    assert (mine.grad - theirs.grad).abs().max() <= 1e-10 * theirs.grad.abs().max()


def test_gradients_of_several_images_add_up() -> None:
    network, oracle = plain(), plain()
    stream = StreamedGradient(network, tile=20)
    images = (IMAGE, IMAGE[:, :, :31, :29])
    for image in images:
        weighing(stream(image)).backward()
    sum(weighing(oracle(image)) for image in images).backward()
    assert largest_error(gradients(network), gradients(oracle)) <= 1e-10


def test_frozen_weights_stay_without_gradient_and_shared_ones_get_the_sum() -> None:
    network = plain()
    network.append(nn.ReLU())
    network.append(nn.Conv2d(2, 3, 1).double())
    network.append(nn.Conv2d(3, 4, 3, padding=1).double())
    network[5].weight = nn.Parameter(network[0].weight.detach().clone())
    network[5].weight = network[0].weight
    network[5].bias = network[0].bias
    network[2].weight.requires_grad_(False)
    oracle = deepcopy(network)
    weighing(StreamedGradient(network, tile=20)(IMAGE)).backward()
    weighing(oracle(IMAGE)).backward()
    assert network[2].weight.grad is None
    assert largest_error(gradients(network), gradients(oracle)) <= 1e-10


def test_what_is_detached_or_computed_without_gradients_passes_none_on() -> None:
    class Stops(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                gain = self.a(x).mean((2, 3), keepdim=True)
            return self.a(x) * gain + self.b(x).detach() * self.b(x)

    network = seeded(Stops())
    oracle = deepcopy(network)
    weighing(StreamedGradient(network, tile=20)(IMAGE)).backward()
    weighing(oracle(IMAGE)).backward()
    assert largest_error(gradients(network), gradients(oracle)) <= 1e-10


def test_numerical_differences_agree() -> None:
    network = seeded(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.GroupNorm(1, 2), nn.Tanh(), nn.Conv2d(2, 1, 3)))
    stream = StreamedGradient(network, tile=3)
    image = IMAGE[:, :1, :8, :7].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: stream(x), (image, *network.parameters()))


def test_an_array_is_an_image_too() -> None:
    network = plain()
    output = StreamedGradient(network, tile=20)(IMAGE[0].numpy())
    assert (output - network(IMAGE)).abs().max() < 1e-10


def test_files_are_images_and_targets_too(tmp_path: Path) -> None:
    network = plain()
    oracle = deepcopy(network)
    pixels = (IMAGE[0].float() * 255).byte().numpy()
    imwrite(tmp_path / "image.tif", pixels.transpose(1, 2, 0))
    imwrite(tmp_path / "mask.tif", TARGET[0].numpy().astype(np.uint8))
    stream = ns.StreamedGradient(network, budget="100MB")
    loss = stream.loss(tmp_path / "image.tif", tmp_path / "mask.tif", F.cross_entropy)
    loss.backward()
    truth = F.cross_entropy(oracle(torch.from_numpy(pixels)[None].double()), TARGET)
    truth.backward()
    assert loss.item() == pytest.approx(truth.item(), rel=1e-10)
    assert largest_error(gradients(network), gradients(oracle)) <= 1e-10


def test_mixed_precision_is_that_of_the_whole_image() -> None:
    network = with_norms().float().train()
    oracle, precise = deepcopy(network), deepcopy(network)
    image = IMAGE.float()
    for model, forward in ((network, StreamedGradient(network, tile=20)), (oracle, oracle)):
        with torch.autocast("cpu", torch.bfloat16):
            output = forward(image)
        assert all(p.grad is None for p in model.parameters())
        F.cross_entropy(output.float(), TARGET).backward()
    F.cross_entropy(precise(image), TARGET).backward()
    truth = gradients(precise)
    ours, theirs = largest_error(gradients(network), truth), largest_error(gradients(oracle), truth)
    assert 1e-5 < ours < 3 * theirs


def test_the_budget_makes_the_tiles() -> None:
    network = with_norms()
    large = torch.rand(1, 3, 400, 400, dtype=torch.float64)
    edges = {}
    for megabytes in (3, 12):
        stream = StreamedGradient(network, budget=megabytes * 10**6)
        edges[megabytes] = stream.edges_for(large.shape[1:])
        assert stream.predicted_bytes(large.shape[1:]) <= megabytes * 10**6
    assert all(small < big for small, big in zip(edges[3][-1:], edges[12][-1:], strict=True))


def test_what_cannot_be_is_said_in_a_sentence() -> None:
    network = plain()
    with pytest.raises(BudgetTooSmall, match=r"smallest tile on its way back, which needs \d+ kB; got 100 kB"):
        StreamedGradient(seeded(nn.Conv2d(3, 64, 9)), budget=10**5)(IMAGE)
    with pytest.raises(InputMismatch, match=r"streamed alone.*got shape \(2, 3, 50, 44\)"):
        StreamedGradient(network, tile=20)(torch.cat([IMAGE, IMAGE]))
    with pytest.raises(InputMismatch, match="size of the network's output, 50 x 44 here; got 44 x 50"):
        StreamedGradient(network, tile=20).loss(IMAGE, TARGET.transpose(1, 2), F.cross_entropy)
    with pytest.raises(BadRequest, match=r"one number for a tile; got shape \(1, 20, 20\)"):
        StreamedGradient(network, tile=20).loss(IMAGE, TARGET, lambda o, t: F.cross_entropy(o, t, reduction="none"))
    with pytest.raises(RunCancelled, match="cancelled"):
        StreamedGradient(network, tile=20, stop=lambda: True)(IMAGE)
    assert all(p.grad is None for p in network.parameters())


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(3, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.flatten(2) for t in self.qkv(x).chunk(3, 1))
        return ((q.transpose(1, 2) @ k).softmax(-1) @ v.transpose(1, 2)).transpose(1, 2).reshape(1, 2, *x.shape[2:])


class Ranked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return y / torch.quantile(y, 0.9)


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


@pytest.mark.parametrize(
    ("network", "named"),
    [
        (Attention(), "aten.matmul.default.*attention"),
        (Ranked(), "aten.quantile.scalar"),
        (Noise(), "aten.randn_like.default.*random numbers"),
    ],
    ids=["attention", "quantile", "noise"],
)
def test_what_cannot_be_streamed_is_named(network: nn.Module, named: str) -> None:
    with pytest.raises(NotTileable, match=named):
        StreamedGradient(network.double(), tile=20)(IMAGE[:, :, :32, :32])


def test_weights_that_change_before_the_way_back_are_noticed() -> None:
    network = plain()
    output = StreamedGradient(network, tile=20)(IMAGE)
    with torch.no_grad():
        network[0].weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_one_tile_has_as_much_memory_as_was_predicted() -> None:
    from torch.profiler import ProfilerActivity, profile

    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 24, 3, padding=1),
        nn.GroupNorm(4, 24), nn.SiLU(), nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(24, 16, 3),
    )  # fmt: skip
    image = torch.rand(1, 3, 384, 384)
    stream = StreamedGradient(network, tile=128)
    output = stream(image)
    cotangent = torch.ones_like(output)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        output.backward(cotangent)
    results = seen.profiler.kineto_results  # type: ignore[union-attr]
    steps = sorted((e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]")
    peak = int(np.cumsum([size for _, size in steps]).max())
    weights = sum(p.numel() * 4 for p in network.parameters())
    assert peak == pytest.approx(stream.predicted_bytes(image.shape[1:]) - weights, rel=0.25)
