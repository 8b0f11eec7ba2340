"""A network is taught by strokes: what is learned from, what is held out, and that what comes of it is a model."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import napari_seamless as ns
from napari_seamless.errors import BadRequest, InputMismatch, NotTileable, UnknownModel
from napari_seamless.interfaces import LabelClass, Source
from napari_seamless.models import Model
from napari_seamless.models.architecture import build
from napari_seamless.models.loaders.recipe_folder import save_recipe
from napari_seamless.models.networks.unet import PixelNorm
from napari_seamless.runs.prepare import trace_exactly
from napari_seamless.training.data.examples import IGNORED
from napari_seamless.training.loop.events import StepDone, Validated
from napari_seamless.training.teach import network_preview
from napari_seamless.training.teach.lesson import Lesson
from napari_seamless.training.teach.network_preview import NetworkPreview
from napari_seamless.training.teach.strokes import CELL, Strokes, stroke_examples
from training_images import ArrayImage

CLASSES = (LabelClass(1, "dark", "#4363d8"), LabelClass(2, "bright", "#ffe119"))


def pixels(height: int, width: int) -> NDArray[np.uint8]:
    """(3, y, x): dark on the left, bright on the right, with grain."""
    random = np.random.default_rng(0)
    image = random.integers(0, 60, (3, height, width)).astype(np.uint8)
    image[:, :, width // 2 :] += 150
    return image


def halves(height: int, width: int) -> Source:
    return ns.open_image(pixels(height, width), axes="cyx")


def strokes(height: int, width: int) -> NDArray[np.uint8]:
    labels = np.zeros((height, width), np.uint8)
    labels[height // 4, 8 : width // 2 - 8] = 1
    labels[height // 2, width // 2 + 8 : width - 8] = 2
    return labels


def test_every_painted_pixel_is_learned_from_or_held_out_once() -> None:
    labels = np.zeros((700, 900), np.uint8)
    labels[10:690, 100:108], labels[300:306, 5:890] = 1, 2
    found = stroke_examples(ArrayImage(np.zeros((1, 700, 900), np.uint8)), Strokes(labels), [1, 2])
    seen = np.zeros((700, 900), np.int64)
    for example in (*found.learned, *found.held_out):
        at = example.image.region.slices()
        seen[at] += example.target != IGNORED
        assert (labels[at][example.target != IGNORED] == example.target[example.target != IGNORED] + 1).all()
    assert (seen == (labels > 0)).all()
    assert found.held_out


def test_strokes_that_come_later_move_no_place_from_one_side_to_the_other() -> None:
    image = ArrayImage(np.zeros((1, 900, 1500), np.uint8))
    first = np.zeros((900, 1500), np.uint8)
    first[100, 20:1400], first[110, 20:1400] = 1, 2
    more = first.copy()
    more[800, 20:1400] = 1
    before, after = (stroke_examples(image, Strokes(labels), [1, 2]) for labels in (first, more))
    assert {e.name for e in before.held_out} <= {e.name for e in after.held_out}
    assert {e.name for e in before.learned} <= {e.name for e in after.learned}


def test_a_coarse_stroke_stands_for_all_pixels_under_it() -> None:
    labels = np.zeros((50, 50), np.uint8)
    labels[3, 4], labels[40, 40] = 1, 2
    found = stroke_examples(ArrayImage(np.zeros((1, 400, 397), np.uint8)), Strokes(labels, 8), [1, 2])
    assert sum(int((e.target != IGNORED).sum()) for e in (*found.learned, *found.held_out)) == 2 * 64


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.zeros((64, 64), np.uint8), "nothing is painted yet; paint a few strokes of each"),
        (np.eye(64, dtype=np.uint8), "only one is painted"),
        (np.eye(64, dtype=np.uint8) * 7, "7 has none; add a class for it"),
    ],
    ids=["nothing", "one class", "unknown label"],
)
def test_strokes_that_nothing_can_be_learned_from_are_refused(labels: NDArray[np.uint8], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        stroke_examples(ArrayImage(np.zeros((1, 64, 64), np.uint8)), Strokes(labels), [1, 2])


def test_strokes_of_another_size_are_refused() -> None:
    with pytest.raises(InputMismatch, match="cover the whole image, 64 x 64 here with 1 pixels each; got 32 x 64"):
        stroke_examples(ArrayImage(np.zeros((1, 64, 64), np.uint8)), Strokes(np.zeros((32, 64), np.uint8)), [1, 2])


@pytest.fixture(scope="module")
def taught() -> Lesson:
    """A lesson of a few steps on an image of two halves."""
    lesson = Lesson(halves(96, 160), CLASSES, device="cpu")
    lesson.paint(strokes(96, 160))
    for event in lesson.learn():
        if isinstance(event, StepDone) and event.step == 24:
            break
    return lesson


def test_what_was_not_painted_is_told_apart_after_a_few_steps(taught: Lesson) -> None:
    found = taught.preview(ns.Region.of((60, 90), (0, 160)))
    truth = np.where(np.arange(160) < 80, 1, 2)[None]
    assert found.shape == (30, 160)
    assert (found == truth).mean() > 0.9


def test_a_look_at_a_part_is_the_part_of_a_run_over_the_whole(taught: Lesson) -> None:
    whole = np.asarray(ns.run(taught.model("halves"), taught.source, scheduler="serial"))
    part = taught.preview(ns.Region.of((13, 77), (31, 130)))
    assert (part == whole[13:77, 31:130]).mean() > 0.999


def test_what_is_kept_is_a_model_that_gives_the_same(taught: Lesson, tmp_path: Path) -> None:
    folder = taught.save("halves", tmp_path / "halves")
    model = ns.load_model(folder)
    assert [c.name for c in model.classes] == ["dark", "bright"]
    assert "strokes on" in str(model.card["data"])
    again = np.asarray(ns.run(model, taught.source, scheduler="serial"))
    assert (again == taught.preview(ns.Region.of((0, 96), (0, 160)))).mean() > 0.999


def test_a_lesson_goes_on_with_a_model_of_ones_own(taught: Lesson, tmp_path: Path) -> None:
    folder = taught.save("halves", tmp_path / "halves")
    lesson = Lesson(taught.source, CLASSES, network=folder, device="cpu")
    region = ns.Region.of((0, 96), (0, 160))
    assert (lesson.preview(region) == taught.preview(region)).mean() > 0.999
    with pytest.raises(InputMismatch, match="'halves' has 2 and 3, the lesson 3 and 'array' 3"):
        Lesson(taught.source, (*CLASSES, LabelClass(3, "grey", "#1fd160")), network=folder)


def recipe(tmp_path: Path, architecture: str, arguments: dict[str, Any]) -> Path:
    """A network with random weights that labels dark and bright, as a recipe folder."""
    fields = {
        "name": "mine",
        "title": "mine",
        "network": {"architecture": architecture, "arguments": arguments},
        "input": {"channels": ["red", "green", "blue"], "scaling": {"kind": "range", "low": 0, "high": 255}},
        "output": {
            "kind": "labels",
            "classes": [{"value": c.value, "name": c.name, "colour": c.colour} for c in CLASSES],
        },
    }
    torch.manual_seed(0)
    return save_recipe(tmp_path / "mine", build(architecture, arguments), fields)


class Labels(nn.Module):
    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        return scores.argmax(1).to(torch.uint8) + 1


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, PixelNorm], ids=["folded", "of each pixel"])
def test_each_look_shows_the_weights_as_they_are_then(norm: type[nn.Module]) -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), norm(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    seen = NetworkPreview(halves(64, 64), network, lambda n: Model("lesson", nn.Sequential(n, Labels()), "", 3), "cpu")
    weights, found = dict(network.state_dict()), []
    for changed in ("3.bias", "3.weight", "0.weight"):
        weights[changed] = -weights[changed]
        found.append(seen.labels(ns.Region.of((5, 60), (3, 61)), weights, lambda: False))
        plain = deepcopy(network)
        plain.load_state_dict(weights)
        with torch.no_grad():
            whole = Labels()(plain(torch.from_numpy(pixels(64, 64)[None]).float()))[0].numpy()
        assert (found[-1] == whole[5:60, 3:61]).mean() > 0.999
    assert (found[0] != found[1]).mean() > 0.3
    assert (found[1] != found[2]).mean() > 0.3


def test_a_network_is_traced_once_for_all_previews(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []
    monkeypatch.setattr(network_preview, "trace_exactly", lambda *a, **k: traced.append(a) or trace_exactly(*a, **k))
    lesson = Lesson(halves(64, 64), CLASSES, device="cpu")
    lesson.paint(strokes(64, 64))
    for event in lesson.learn():
        lesson.preview(ns.Region.of((0, 30), (0, 30)))
        if event.step == 3:
            break
    assert len(traced) == 1


def test_a_network_that_looks_at_the_whole_plane_is_not_taught_in_places(tmp_path: Path) -> None:
    arguments = {"spatial_dims": 2, "in_channels": 3, "out_channels": 2, "features": [4, 4, 4, 4, 4, 4]}
    with pytest.raises(NotTileable, match=r"no layer of it may look at the whole plane; '.*conv_0.*' \(aten.instance"):
        Lesson(halves(96, 96), CLASSES, network=recipe(tmp_path, "monai:BasicUNet", arguments), device="cpu")


def test_a_lesson_without_a_network_of_that_name_says_so() -> None:
    with pytest.raises(UnknownModel, match="there is none at 'no-such-model'"):
        Lesson(halves(64, 64), CLASSES, network="no-such-model")


def test_strokes_painted_while_it_learns_are_taken_in() -> None:
    lesson = Lesson(halves(96, 160), CLASSES, device="cpu")
    labels = strokes(96, 160)
    lesson.paint(labels)
    events = lesson.learn()
    next(events)
    before = lesson._examples
    labels[80, 10:70] = 1
    lesson.paint(labels)
    next(events)
    next(events)
    assert before is not None
    assert lesson._examples is not None
    assert sum(lesson._examples.counts) == sum(before.counts) + 60


def test_a_lesson_is_the_same_again_wherever_it_was_stopped() -> None:
    weights = []
    for stops in (False, True):
        lesson = Lesson(halves(64, 64), CLASSES, device="cpu", seed=3)
        lesson.paint(strokes(64, 64))
        events = lesson.learn()
        for _ in range(4):
            event = next(e for e in events if isinstance(e, StepDone | Validated))
            if stops and event.step == 2:
                events = lesson.learn()
        weights.append(lesson.model("again").module.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_lesson_that_has_not_begun_cannot_be_kept(tmp_path: Path) -> None:
    lesson = Lesson(halves(64, 64), CLASSES)
    with pytest.raises(BadRequest, match="this lesson has not begun"):
        lesson.save("nothing", tmp_path / "nothing")
    with pytest.raises(BadRequest, match="nothing is painted yet"):
        next(lesson.learn())


def test_classes_must_be_two_or_more_with_labels_of_their_own() -> None:
    with pytest.raises(BadRequest, match="two to 20 classes with different labels from 1 to 255"):
        Lesson(halves(64, 64), CLASSES[:1])


def test_places_that_are_streamed_within_a_budget_are_learned_from_too() -> None:
    lesson = Lesson(halves(64, 64), CLASSES, device="cpu", budget="100MB")
    lesson.paint(strokes(64, 64))
    events = lesson.learn()
    losses = [next(e.loss for e in events if isinstance(e, StepDone)) for _ in range(3)]
    assert losses[-1] < losses[0]


def test_a_cell_is_smaller_than_what_the_network_is_shown() -> None:
    found = stroke_examples(ArrayImage(pixels(600, 600)), Strokes(strokes(600, 600)), [1, 2])
    assert {e.image.shape for e in found.learned} == {(3, CELL + 64, CELL + 64)}
