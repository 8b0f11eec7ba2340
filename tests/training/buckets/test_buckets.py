"""Images of many shapes: each in one batch, no batch over the budget, little padding, and no answer changed by it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader

from napari_seamless.errors import BadRequest, BudgetTooSmall, InputMismatch
from napari_seamless.training.buckets.batches import BucketBatchSampler, PadCollate, PaddedBatch, linear_scaling
from napari_seamless.training.buckets.bytes_per_pixel import bytes_per_pixel, step_bytes
from napari_seamless.training.buckets.plan import BucketPlan, padding_share, plan_buckets, settled
from napari_seamless.training.buckets.pyramid_classifier import MaskedGroupNorm, PyramidClassifier, SpatialPyramidPool

SHAPES = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), min_size=1, max_size=40)


def drawn(count: int, seed: int = 0) -> list[tuple[int, int]]:
    """Sides of 500 to 4000 pixels, as in the data of Parés et al."""
    sides = np.exp(np.random.default_rng(seed).uniform(np.log(500), np.log(4000), (count, 2)))
    return [(int(h), int(w)) for h, w in sides]


def plan_of(shapes: list[tuple[int, int]], stride: int = 1, batch: int = 4) -> BucketPlan:
    """A budget of `batch` images of the largest size."""
    largest = max(-(-h // stride) * stride * (-(-w // stride) * stride) for h, w in shapes)
    return plan_buckets(shapes, budget=8 * batch * largest, bytes_per_pixel=8, stride=stride)


def dealt_at_random(batches: list[list[int]], seed: int) -> list[list[int]]:
    """Batches of the same numbers of images, but of any images."""
    images = iter(np.random.default_rng(seed).permutation(sum(map(len, batches))).tolist())
    return [[next(images) for _ in batch] for batch in batches]


# --- the plan -----------------------------------------------------------------------------


@given(SHAPES, st.sampled_from([1, 8]), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_every_image_is_in_one_bucket_whose_boundaries_hold_it(
    shapes: list[tuple[int, int]], stride: int, batch: int
) -> None:
    plan = plan_of(shapes, stride, batch)
    assert Counter(i for bucket in plan.buckets for i in bucket.images) == Counter(range(len(shapes)))
    for bucket in plan.buckets:
        for height, width in (shapes[i] for i in bucket.images):
            assert bucket.pixels[0] <= height * width <= bucket.pixels[1]
            assert bucket.aspects[0] <= height / width <= bucket.aspects[1]


@given(SHAPES)
@settings(max_examples=30, deadline=None)
def test_super_buckets_go_by_pixel_count_and_buckets_by_aspect_ratio(shapes: list[tuple[int, int]]) -> None:
    supers = plan_of(shapes).supers
    for smaller, larger in pairwise(supers):
        assert max(b.pixels[1] for b in smaller) <= min(b.pixels[0] for b in larger)
    for inner in supers:
        for wider, taller in pairwise(inner):
            assert wider.aspects[1] <= taller.aspects[0]


@given(SHAPES, st.sampled_from([1, 8]), st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_no_batch_is_over_the_budget(shapes: list[tuple[int, int]], stride: int, batch: int, epoch: int) -> None:
    plan = plan_of(shapes, stride, batch)
    sampler = BucketBatchSampler(plan)
    sampler.set_epoch(epoch)
    assert all(plan.bytes_of(images) <= plan.budget for images in sampler)


@given(st.integers(0, 10_000), st.integers(50, 200))
@settings(max_examples=25, deadline=None)
def test_padding_is_less_than_in_batches_dealt_at_random(seed: int, count: int) -> None:
    plan = plan_of(drawn(count, seed))
    batches = list(BucketBatchSampler(plan, seed=seed))
    at_random = np.mean([plan.padding(dealt_at_random(batches, k)) for k in range(5)])
    assert plan.padding(batches) < at_random


def test_buckets_by_aspect_ratio_alone_pad_more() -> None:
    shapes = drawn(1500)
    budget = 8 * 8 * 4000 * 4000
    nested = plan_buckets(shapes, budget=budget, bytes_per_pixel=8, supers=4, buckets=6)
    flat = plan_buckets(shapes, budget=budget, bytes_per_pixel=8, supers=1, buckets=24)
    assert nested.padding(list(BucketBatchSampler(nested))) < 0.6 * flat.padding(list(BucketBatchSampler(flat)))


def test_boundaries_move_to_where_shapes_change() -> None:
    values = [1] * 7 + [5] * 20 + [9] * 3

    def cost(low: int, high: int) -> int:
        return (high - low) * max(values[low:high])

    assert settled(30, 3, cost) == [0, 7, 27, 30]


def test_moved_boundaries_pad_less_than_even_ones() -> None:
    shapes = drawn(300)
    order = sorted(range(300), key=lambda i: shapes[i][0] / shapes[i][1])
    even = [order[k : k + 50] for k in range(0, 300, 50)]
    moved = [list(b.images) for b in plan_buckets(shapes, budget=1 << 50, bytes_per_pixel=8, supers=1).buckets]
    assert padding_share(shapes, moved) < padding_share(shapes, even)


def test_more_images_make_a_batch_of_small_images_than_of_large_ones() -> None:
    plan = plan_of(drawn(200))
    assert plan.supers[0][0].batch > 3 * plan.supers[-1][0].batch


def test_a_largest_batch_is_kept_to() -> None:
    plan = plan_buckets([(10, 10)] * 50, budget=1 << 40, bytes_per_pixel=1, largest_batch=16)
    assert max(map(len, BucketBatchSampler(plan))) <= 16


@pytest.mark.parametrize(
    ("shapes", "options", "error", "says"),
    [
        ([], {}, BadRequest, "at least one image; got none"),
        ([(10, 10), (4, -3)], {}, BadRequest, r"image 1 has \(4, -3\)"),
        ([(10, 0)], {}, BadRequest, r"image 0 has \(10, 0\)"),
        ([(10, 10), (90, 80)], {"budget": 50_000}, BudgetTooSmall, "image 1 of 90 x 80 pixels needs 72000 bytes"),
        ([(10, 10)], {"stride": 0}, BadRequest, "stride must be at least 1; got 0"),
        ([(10, 10)], {"supers": -1}, BadRequest, "supers must be at least 1"),
        ([(10, 10)], {"bytes_per_pixel": 0.0}, BadRequest, "bytes_per_pixel must be above 0"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(
    shapes: list[tuple[int, int]], options: dict[str, float], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        plan_buckets(shapes, **{"budget": 10**9, "bytes_per_pixel": 10.0, **options})  # type: ignore[arg-type]


# --- the sampler --------------------------------------------------------------------------


def test_the_same_seed_and_epoch_give_the_same_batches_and_another_epoch_others() -> None:
    plan = plan_of(drawn(60))
    first, second = BucketBatchSampler(plan, seed=3), BucketBatchSampler(plan, seed=3)
    assert list(first) == list(second)
    second.set_epoch(1)
    assert list(first) != list(second)
    assert list(first) != list(BucketBatchSampler(plan, seed=4))


@given(SHAPES.filter(lambda shapes: len(shapes) >= 7), st.integers(1, 7), st.integers(0, 2))
@settings(max_examples=50, deadline=None)
def test_processes_share_an_epoch_evenly(shapes: list[tuple[int, int]], world: int, epoch: int) -> None:
    plan = plan_of(shapes)
    ranks = [BucketBatchSampler(plan, rank=rank, world=world) for rank in range(world)]
    for sampler in ranks:
        sampler.set_epoch(epoch)
    batches = [list(sampler) for sampler in ranks]
    assert {len(of_one) for of_one in batches} == {len(ranks[0])}
    times = Counter(i for of_one in batches for batch in of_one for i in batch)
    assert set(times) == set(range(len(shapes)))
    assert times.total() == max(len(shapes), world * len(ranks[0]))


def test_processes_get_about_as_much_to_do_at_each_step() -> None:
    plan = plan_of(drawn(400))
    steps = BucketBatchSampler(plan, rank=0, world=4).steps()
    largest = [max(plan.bytes_of(b) for b in step) for step in steps]
    smallest = [min(plan.bytes_of(b) for b in step) for step in steps]
    assert np.median(np.array(largest) / np.array(smallest)) < 1.15


def test_processes_without_images_are_refused() -> None:
    plan = plan_of([(5, 5), (6, 6)])
    with pytest.raises(BadRequest, match="got 2 for 3 processes"):
        BucketBatchSampler(plan, rank=0, world=3)
    with pytest.raises(BadRequest, match="got rank 2 of 2"):
        BucketBatchSampler(plan, rank=2, world=2)


# --- with a DataLoader --------------------------------------------------------------------


class Pictures(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Noise of given shapes; the target is the image's number."""

    def __init__(self, shapes: list[tuple[int, int]]) -> None:
        self.shapes = shapes

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        noise = torch.rand(3, *self.shapes[number], generator=torch.Generator().manual_seed(number))
        return noise, number


def test_a_data_loader_gives_every_image_padded_with_its_mask() -> None:
    pictures = Pictures([(9 + 3 * k, 40 - 2 * k) for k in range(12)])
    plan = plan_of(pictures.shapes, stride=4)
    loader = DataLoader(pictures, batch_sampler=BucketBatchSampler(plan), collate_fn=PadCollate(stride=4))
    seen = []
    for batch in loader:
        assert all(n % 4 == 0 for n in batch.images.shape[2:])
        for image, mask, number in zip(batch.images, batch.mask, batch.targets.tolist(), strict=True):
            seen.append(number)
            real = pictures[number][0]
            assert torch.equal(image[:, : real.shape[1], : real.shape[2]], real)
            assert int(mask.sum()) == real[0].numel()
            assert float(image.sum()) == pytest.approx(float(real.sum()), rel=1e-5)
    assert sorted(seen) == list(range(12))


def test_a_batch_says_its_padding() -> None:
    batch = PadCollate()([(torch.ones(1, 4, 4), 0), (torch.ones(1, 8, 8), 1)])
    assert batch.padding == pytest.approx(1 - (16 + 64) / 128)


def test_labels_of_pixels_are_padded_with_what_losses_ignore() -> None:
    pairs = [(torch.ones(1, n, n), torch.ones(n, n, dtype=torch.int64)) for n in (2, 3)]
    targets = PadCollate()(pairs).targets
    assert targets[0].tolist() == [[1, 1, -100], [1, 1, -100], [-100, -100, -100]]


def test_images_that_differ_in_channels_are_refused() -> None:
    with pytest.raises(InputMismatch, match=r"got \(1, 4, 4\) float32 and \(3, 4, 4\) float32"):
        PadCollate()([(torch.ones(3, 4, 4), 0), (torch.ones(1, 4, 4), 1)])


# --- the learning rate --------------------------------------------------------------------


def test_a_batch_of_twice_the_images_moves_weights_twice_as_far() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    weight.grad = torch.tensor([1.0])
    with linear_scaling(optimizer, images=16, reference=8) as factor:
        optimizer.step()
    assert factor == 2.0
    assert weight.item() == pytest.approx(0.8)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_a_batch_of_no_images_is_refused() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(BadRequest, match="got 0 for a reference of 8"), linear_scaling(optimizer, 0, 8):
        pass


# --- the network --------------------------------------------------------------------------


def stirred(network: nn.Module) -> nn.Module:
    """With no parameter at zero or one: an offset of zero would hide that it is added outside an image, too."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.4)
    return network.double()


def padded_with(network: nn.Module, shapes: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """Logits of images in one padded batch, and of each alone without a mask."""
    images = [torch.rand(3, *shape, dtype=torch.float64) for shape in shapes]
    batch = PadCollate(stride=8)([(image, 0) for image in images])
    return network(batch.images, batch.mask), torch.cat([network(image[None]) for image in images])


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_padding_never_changes_an_answer(mode: str) -> None:
    torch.manual_seed(0)
    network = stirred(PyramidClassifier(3, 5, widths=(8, 12, 16))).train(mode == "train")
    together, alone = padded_with(network, [(40, 64), (37, 21), (8, 50), (3, 2), (64, 64)])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-10)


def test_padding_never_changes_a_gradient() -> None:
    torch.manual_seed(0)
    network = stirred(PyramidClassifier(3, 5, widths=(8, 12)))
    together, alone = padded_with(network, [(30, 17), (12, 33)])
    found = torch.autograd.grad(together.square().sum(), list(network.parameters()))
    expected = torch.autograd.grad(alone.square().sum(), list(network.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_masked_norm_of_a_full_mask_is_group_norm() -> None:
    torch.manual_seed(0)
    norm, x = MaskedGroupNorm(2, 4).double(), torch.randn(3, 4, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(norm(x, torch.ones(3, 1, 5, 6).double()), norm(x))


def test_a_pyramid_pools_to_one_length_whatever_the_size() -> None:
    pool = SpatialPyramidPool((4, 2, 1))
    assert {pool(torch.rand(2, 7, h, w)).shape for h, w in ((3, 2), (20, 9), (64, 64))} == {(2, 7 * 21)}


@pytest.mark.parametrize(
    ("images", "mask", "says"),
    [
        (torch.ones(1, 1, 8, 8), None, r"takes images of \(n, 3, y, x\); got \(1, 1, 8, 8\)"),
        (torch.ones(1, 3, 8, 8), torch.ones(1, 1, 4, 8), r"got \(1, 1, 4, 8\) for \(1, 3, 8, 8\)"),
    ],
)
def test_a_classifier_refuses_what_does_not_fit(images: Tensor, mask: Tensor | None, says: str) -> None:
    with pytest.raises(InputMismatch, match=says):
        PyramidClassifier(3, 2)(images, mask)


def test_a_classifier_learns_from_images_of_many_shapes() -> None:
    torch.manual_seed(0)
    shapes = [(20 + 5 * (k % 7), 50 - 4 * (k % 9)) for k in range(40)]
    images = [torch.rand(1, *s) * 0.2 for s in shapes]
    for number, image in enumerate(images):
        image[0, 4 : 10 + 2 * (number % 2) * 5, 5:9] += 1.0
    plan = plan_of(shapes, stride=4, batch=8)
    network = PyramidClassifier(1, 2, widths=(8, 8))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    sampler, collate = BucketBatchSampler(plan), PadCollate(4)
    for epoch in range(12):
        sampler.set_epoch(epoch)
        for numbers in sampler:
            batch: PaddedBatch = collate([(images[k], k % 2) for k in numbers])
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(batch.images, batch.mask), batch.targets).backward()
            with linear_scaling(optimizer, len(numbers), reference=8):
                optimizer.step()
    answers = [int(network(image[None]).argmax()) for image in images]
    assert np.mean([answer == k % 2 for k, answer in enumerate(answers)]) > 0.95


# --- memory -------------------------------------------------------------------------------


def allocated(network: nn.Module, *inputs: Tensor) -> int:
    """The allocator's own count of bytes alive at once over forward and backward pass."""
    network(*inputs).sum().backward()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        network(*inputs).sum().backward()
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    return int(np.cumsum([e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]).max())


@pytest.mark.parametrize("shape", [(2, 160, 128), (1, 320, 200)])
def test_the_predicted_memory_of_a_step_is_near_the_allocator_s_count(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    network = PyramidClassifier(3, 5)
    count, height, width = shape
    images, mask = torch.rand(count, 3, height, width), torch.ones(count, 1, height, width, dtype=torch.bool)
    measured = allocated(network, images, mask)
    assert step_bytes(network, images, mask) == pytest.approx(measured, rel=0.25)
    assert bytes_per_pixel(network, 3, masked=True) * count * height * width == pytest.approx(measured, rel=0.25)


def test_a_network_without_a_gradient_is_not_measured() -> None:
    with pytest.raises(BadRequest, match="got Tensor from Identity"):
        step_bytes(nn.Identity(), torch.ones(1, 3, 8, 8))
