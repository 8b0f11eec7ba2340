"""Losses for labelling pixels: MALIS against brute force over all pairs, and rare classes learned like others."""

from __future__ import annotations

import io
import json
import runpy
import sys
import zipfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from napari_seamless.errors import BadRequest, InputMismatch
from napari_seamless.training.data.equalised_crops import IGNORE, EqualisedCrops
from napari_seamless.training.losses.affinity import (
    PLANE,
    VOLUME,
    Offsets,
    affinities_of,
    affinities_of_probability,
    edge_list,
    segments_of,
)
from napari_seamless.training.losses.malis import MalisLoss, constrained_pairs, maximin_pairs

EXAMPLES = Path(__file__).parents[3] / "examples"
DIAGONALS: Offsets = ((1, 0), (0, 1), (1, 1), (1, -1), (0, 3))


# --- brute force --------------------------------------------------------------------------


def maximin(affinities: np.ndarray, shape: tuple[int, ...], offsets: Offsets) -> np.ndarray:
    """Maximin affinity of every pair of pixels, by closing the graph under detours over each pixel in turn."""
    first, second, places = edge_list(shape, offsets)
    count = int(np.prod(shape))
    best = np.full((count, count), -np.inf)
    np.maximum.at(best, (first, second), affinities.ravel()[places])
    best = np.maximum(best, best.T)
    for node in range(count):
        best = np.maximum(best, np.minimum(best[:, node, None], best[None, node, :]))
    return best


def counted(affinities: np.ndarray, labels: np.ndarray, offsets: Offsets) -> tuple[np.ndarray, np.ndarray]:
    """Pairs by their maximin edge, found by its value: affinities must all differ."""
    best, flat = maximin(affinities, labels.shape, offsets), labels.ravel()
    same, other = np.zeros(affinities.shape), np.zeros(affinities.shape)
    for i, j in combinations(np.flatnonzero(flat), 2):
        if np.isfinite(best[i, j]):
            (same if flat[i] == flat[j] else other)[affinities == best[i, j]] += 1
    return same, other


@st.composite
def graphs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, Offsets]:
    """Affinities that all differ, labels, and a neighbourhood."""
    offsets = draw(st.sampled_from([PLANE, DIAGONALS, VOLUME]))
    axes = len(offsets[0])
    shape = tuple(draw(st.integers(1, 5 if axes == 2 else 3)) for _ in range(axes))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    affinities = random.permutation(len(offsets) * int(np.prod(shape))).reshape(len(offsets), *shape)
    labels = random.integers(0, draw(st.integers(1, 4)) + 1, shape)
    return (affinities + 1.0) / (affinities.size + 1), labels, offsets


@given(graphs())
@settings(max_examples=120, deadline=None)
def test_pairs_by_spanning_tree_equal_those_by_brute_force(graph: tuple[np.ndarray, np.ndarray, Offsets]) -> None:
    affinities, labels, offsets = graph
    for found, expected in zip(maximin_pairs(*graph), counted(affinities, labels, offsets), strict=True):
        np.testing.assert_array_equal(found, expected)


@given(graphs())
@settings(max_examples=80, deadline=None)
def test_constrained_pairs_equal_brute_force_on_held_edges(graph: tuple[np.ndarray, np.ndarray, Offsets]) -> None:
    affinities, labels, offsets = graph
    inside = affinities_of(labels, offsets) > 0
    # held edges keep their order, so that all still differ: below all free ones, or above
    low, high = np.where(inside, affinities, affinities - 5), np.where(inside, affinities + 5, affinities)
    same, other = constrained_pairs(*graph)
    np.testing.assert_array_equal(same, counted(low, labels, offsets)[0] * inside)
    np.testing.assert_array_equal(other, counted(high, labels, offsets)[1] * ~inside)


@given(graphs(), st.sampled_from([0.0, 0.3]))
@settings(max_examples=60, deadline=None)
def test_the_gradient_equals_that_of_every_pair(graph: tuple[np.ndarray, np.ndarray, Offsets], margin: float) -> None:
    affinities, labels, offsets = graph
    same, other = counted(affinities, labels, offsets)
    if not labels.any():
        return
    given_ = torch.tensor(affinities[None], requires_grad=True)
    loss = MalisLoss(offsets, margin, constrained=False, balanced=False)(given_, torch.tensor(labels[None]))
    (found,) = torch.autograd.grad(loss, given_)
    slope = -2 * same * np.maximum(0, 1 - margin - affinities) + 2 * other * np.maximum(0, affinities - margin)
    pairs = max(np.count_nonzero(labels) * (np.count_nonzero(labels) - 1) / 2, 1)
    np.testing.assert_allclose(found[0].numpy(), slope / pairs, atol=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_the_loss_of_equal_affinities_is_that_of_every_pair(seed: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    affinities, labels = random.integers(0, levels + 1, (2, 4, 4)) / levels, random.integers(0, 3, (4, 4))
    labels[0, 0] = 1
    best, flat, expected = maximin(affinities, (4, 4), PLANE), labels.ravel(), 0.0
    pairs = list(combinations(np.flatnonzero(flat), 2))
    for i, j in pairs:
        gap = 0.7 - best[i, j] if flat[i] == flat[j] else best[i, j] - 0.3
        expected += max(0.0, gap) ** 2
    loss = MalisLoss(constrained=False, balanced=False)(torch.tensor(affinities[None]), torch.tensor(labels[None]))
    assert loss.item() == pytest.approx(expected / max(len(pairs), 1), abs=1e-12)


# --- what the loss is for -----------------------------------------------------------------

TWO = np.array([[1, 1, 0, 2, 2]] * 3)


def test_a_perfect_graph_costs_nothing() -> None:
    loss = MalisLoss()(torch.tensor(affinities_of(TWO)[None]), torch.tensor(TWO[None]))
    assert loss.item() == 0.0


def test_one_bridge_between_two_instances_costs_as_much_as_all_pairs_it_joins() -> None:
    bridged = affinities_of(TWO)
    bridged[1, 1, 1] = bridged[1, 1, 2] = 1.0
    loss = MalisLoss(constrained=False, balanced=False, margin=0.0)
    assert loss(torch.tensor(bridged[None]), torch.tensor(TWO[None])).item() == pytest.approx(36 / 66)


def test_without_constraint_a_split_can_be_healed_around_and_with_it_not() -> None:
    """A path through the background joins an instance that is cut in two; constrained passes do not count it."""
    labels = np.array([[1, 1, 1, 1], [0, 0, 0, 0]])
    affinities = np.ones((2, 2, 4))
    affinities[1, 0, 1] = 0.0
    parts = torch.tensor(affinities[None]), torch.tensor(labels[None])
    assert MalisLoss(constrained=False)(*parts).item() == 0.0
    assert MalisLoss(constrained=True)(*parts).item() > 0.1


def test_descending_the_loss_parts_two_instances() -> None:
    labels = torch.tensor(np.kron(TWO, np.ones((2, 2), dtype=int))[None])
    logits = torch.full((1, *labels.shape[1:]), 1.0, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(40):
        optimizer.zero_grad()
        MalisLoss()(affinities_of_probability(logits.sigmoid()), labels).backward()
        optimizer.step()
    found = segments_of(affinities_of_probability(logits.sigmoid())[0].detach().numpy())
    assert len({found[0, 0], found[0, -1]} - {0}) == 2


# --- affinities ---------------------------------------------------------------------------


def test_affinities_join_the_pixels_of_one_instance() -> None:
    found = affinities_of(np.array([[1, 1, 2], [0, 1, 2]]))
    assert found[0].tolist() == [[0, 1, 1], [0, 0, 0]]
    assert found[1].tolist() == [[1, 0, 0], [0, 0, 0]]


@given(st.integers(0, 10**6), st.sampled_from([((7, 6), PLANE), ((3, 4, 5), VOLUME)]))
@settings(max_examples=30, deadline=None)
def test_instances_survive_affinities_and_back(seed: int, kind: tuple[tuple[int, ...], Offsets]) -> None:
    shape, offsets = kind
    mask = np.random.default_rng(seed).uniform(size=shape) < 0.5
    labels, _ = ndimage.label(mask)
    found = segments_of(affinities_of(labels, offsets), offsets, smallest=1)
    for number in range(1, labels.max() + 1):
        assert len(np.unique(found[labels == number])) == 1
    assert len(np.unique(found[mask])) == labels.max()


def test_the_components_of_a_probability_are_those_of_its_affinities() -> None:
    probability = np.random.default_rng(3).uniform(size=(9, 8))
    affinities = affinities_of_probability(torch.tensor(probability[None]))[0].numpy()
    expected, count = ndimage.label(probability > 0.5)
    found = segments_of(affinities, smallest=1)
    assert len(np.unique(found[probability > 0.5])) == count
    assert all(len(np.unique(found[expected == k])) == 1 for k in range(1, count + 1))


def test_the_gradient_of_an_edge_goes_to_its_smaller_end() -> None:
    probability = torch.tensor([[[0.2, 0.9]]], requires_grad=True)
    affinities_of_probability(probability).sum().backward()
    assert probability.grad is not None
    assert probability.grad.tolist() == [[[1.0, 0.0]]]


def test_offsets_of_another_number_of_axes_are_refused() -> None:
    with pytest.raises(InputMismatch, match="each of the image's 3 axes"):
        affinities_of(np.ones((2, 2, 2), dtype=int), PLANE)


@pytest.mark.parametrize("offsets", [((1, 0), (1, 0)), ((0, 1), (0, -1))])
def test_an_edge_that_comes_twice_is_refused(offsets: Offsets) -> None:
    with pytest.raises(BadRequest, match="once and one way only"):
        affinities_of(np.ones((2, 2), dtype=int), offsets)


@pytest.mark.parametrize(
    ("shape", "labels", "says"),
    [
        ((1, 2, 4, 5), np.ones((1, 4, 4), dtype=int), r"here \(1, 2, 4, 4\); got \(1, 2, 4, 5\)"),
        ((1, 2, 4, 4), np.zeros((1, 4, 4), dtype=int), "labels of background alone"),
    ],
)
def test_malis_refuses_what_does_not_fit(shape: tuple[int, ...], labels: np.ndarray, says: str) -> None:
    with pytest.raises(InputMismatch, match=says):
        MalisLoss()(torch.ones(shape), torch.tensor(labels))


def test_a_margin_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"got 0\.5"):
        MalisLoss(margin=0.5)


# --- equalisation -------------------------------------------------------------------------


def rare(seed: int = 0) -> list[np.ndarray]:
    """Three images of which 3 % or less is of class 1."""
    random = np.random.default_rng(seed)
    images = [np.zeros((40, 50), dtype=int) for _ in range(3)]
    for image in images[:2]:
        top, left = random.integers(8, 30, 2)
        image[top : top + 6, left : left + 8] = 1
    return images


def test_drawn_pixels_that_count_are_of_all_classes_alike() -> None:
    crops, random = EqualisedCrops(rare(), classes=2, side=16), np.random.default_rng(0)
    counts = np.zeros(2)
    for _ in range(2000):
        targets = crops.targets(crops.draw(random), random)
        counts += [np.count_nonzero(targets == k) for k in range(2)]
    assert counts[0] / counts.sum() == pytest.approx(0.5, abs=0.03)


def test_crops_with_rare_classes_are_drawn_more_often() -> None:
    images, random = rare(), np.random.default_rng(0)
    crops = EqualisedCrops(images, classes=2, side=16)
    with_rare = [bool(np.any(crops.targets(crops.draw(random), random) == 1)) for _ in range(500)]
    places = [image[t : t + 16, s : s + 16].any() for image in images for t in range(25) for s in range(35)]
    assert np.mean(with_rare) > 1.5 * np.mean(places)


def test_frequencies_of_drawn_crops_are_those_that_are_predicted() -> None:
    crops, random = EqualisedCrops(rare(), classes=2, side=16), np.random.default_rng(1)
    share = []
    for _ in range(3000):
        crop = crops.draw(random)
        share.append(crops.labels[crop.image][crop.top : crop.top + 16, crop.left : crop.left + 16].mean())
    assert np.mean(share) == pytest.approx(crops.frequencies[1], rel=0.06)


def test_only_pixels_of_frequent_classes_are_left_out() -> None:
    crops, random = EqualisedCrops(rare(), classes=2, side=40), np.random.default_rng(0)
    crop = crops.draw(random)
    classes = crops.labels[crop.image][:, crop.left : crop.left + 40]
    left_out = classes[crops.targets(crop, random) == IGNORE]
    assert len(left_out) > 0
    assert not left_out.any()


@pytest.mark.parametrize(
    ("labels", "classes", "side", "error", "says"),
    [
        ([], 2, 4, BadRequest, "got 0 images"),
        ([np.zeros((8, 8), dtype=int)], 2, 4, InputMismatch, "got none of class 1 of 2"),
        ([np.zeros((8, 8), dtype=int)], 1, 4, BadRequest, "at least 2 classes to equalise; got 1"),
        ([np.full((8, 8), 7)], 2, 4, InputMismatch, "labels must be 0 to 1; image 0 has 7 to 7"),
        ([np.zeros((8, 3), dtype=int)], 2, 4, InputMismatch, r"image 0 is \(8, 3\)"),
    ],
)
def test_labels_that_cannot_be_equalised_are_refused(
    labels: list[np.ndarray], classes: int, side: int, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        EqualisedCrops(labels, classes, side)


# --- the example --------------------------------------------------------------------------


def archive_of(path: Path, count: int = 8) -> Path:
    """An archive as the example reads it: bright discs on black."""
    random, rows = np.random.default_rng(0), ["id,kind,nuclei"]
    y, x = np.mgrid[:80, :84]
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            labels = np.zeros(y.shape, dtype=np.uint16)
            for disc in range(1, 5):
                top, left = random.integers(10, 70, 2)
                labels[(y - top) ** 2 + (x - left) ** 2 < 49] = disc
            pixels = np.repeat(((labels > 0) * 150 + random.integers(0, 40, y.shape))[..., None], 3, axis=2)
            for kind, image in (("images", pixels.astype(np.uint8)), ("labels", labels)):
                written = io.BytesIO()
                Image.fromarray(image).save(written, "png")
                archive.writestr(f"{kind}/{number}.png", written.getvalue())
            rows.append(f"{number},fluorescence,4")
        archive.writestr("index.csv", "\n".join(rows))
    return path


def test_the_example_trains_and_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, script = tmp_path / "usk.safetensors", EXAMPLES / "train_pixelwise.py"
    options = ["--loss", "malis", "--seconds", "1.5", "--output", str(weights)]
    monkeypatch.setattr(sys, "argv", [str(script), str(archive_of(tmp_path / "discs.zip")), *options])
    threads = torch.get_num_threads()
    runpy.run_path(str(script), run_name="__main__")
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)
    scores = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert scores["images"] == 1
    assert scores["pixel_error"] < 0.2
    assert scores["dice"] > 0.3
    assert weights.exists()
