"""How good is a network that was taught by a few strokes, after how long, and against a random forest on the same ones?

    python benchmarks/teaching.py [--seconds 60] [--seeds 0 1 2] [--picture OUT.png]

Strokes of a person's kind, written down here, on the sample slide: background, connective tissue, epithelium. Some are
learned from, others, elsewhere on the slide, are what both are measured on. The forest is what pixel classifiers use:
scikit-learn's, 100 trees, on Gaussian, gradient and Hessian features of several widths of every channel (skimage's
multiscale_basic_features). Seconds are of the processor, and include everything: tracing, reading, features.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import process_time

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import napari_seamless as ns
from napari_seamless.interfaces import LabelClass
from napari_seamless.io.readers import sample_slide
from napari_seamless.training.loop.events import StepDone
from napari_seamless.training.teach.lesson import Lesson

CLASSES = (
    LabelClass(1, "background", "#4363d8"),
    LabelClass(2, "connective tissue", "#ffe119"),
    LabelClass(3, "epithelium", "#1fd160"),
)
BRUSH = 12
Lines = tuple[tuple[int, tuple[tuple[int, int], ...]], ...]
LEARNED: Lines = (
    (1, ((150, 250), (260, 900))),
    (1, ((760, 1650), (740, 2000))),
    (1, ((1700, 420), (1950, 300))),
    (1, ((2080, 2350), (2100, 2600))),
    (2, ((880, 1750), (820, 2000))),
    (2, ((1000, 2250), (1100, 2450))),
    (2, ((1560, 2150), (1500, 2400))),
    (2, ((900, 1300), (960, 1150))),
    (3, ((1147, 1921), (1174, 2214))),
    (3, ((1668, 2508), (1628, 2775))),
    (3, ((1174, 747), (1334, 800))),
    (3, ((920, 2028), (840, 2300))),
)
HELD_OUT: Lines = (
    (1, ((300, 2200), (380, 2700))),
    (1, ((2000, 1600), (2150, 1750))),
    (1, ((620, 1900), (600, 2150))),
    (2, ((760, 2500), (900, 2700))),
    (2, ((1250, 2600), (1350, 2800))),
    (2, ((1680, 1950), (1700, 2060))),
    (3, ((640, 2695), (614, 2881))),
    (3, ((1100, 950), (1200, 1050))),
    (3, ((1560, 2560), (1570, 2750))),
)
"""(label, ((x, y), ...)) in pixels of the slide."""
WIDTHS = (1, 8)
TREES = 100


def painted(lines: Lines, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Strokes as a label image."""
    picture = Image.new("L", shape[::-1])
    draw = ImageDraw.Draw(picture)
    for label, points in lines:
        draw.line(points, fill=label, width=BRUSH)
    return np.asarray(picture)


def shares(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> list[float]:
    """For each class the share of its pixels that is right."""
    return [float((found == c.value)[truth == c.value].mean()) for c in CLASSES]


def taught(
    slide: Path, strokes: NDArray[np.uint8], truth: NDArray[np.uint8], seconds: float, seed: int
) -> NDArray[np.uint8]:
    """A lesson of so many seconds, looked at when a third and all of them are over. The labels of the whole slide."""
    began, spent = process_time(), 0.0
    lesson = Lesson(slide, CLASSES, device="cpu", seed=seed)
    lesson.paint(strokes)
    whole = ns.Region.from_shape(truth.shape)
    looks = [seconds / 3, seconds]
    for event in lesson.learn():
        gone = process_time() - began - spent
        if isinstance(event, StepDone) and gone >= looks[0]:
            paused = process_time()
            found = lesson.preview(whole)
            took = process_time() - paused
            spent += took
            right = shares(found, truth)
            print(f"taught {gone:5.0f} s, step {lesson.step:4d} {row(right)}   (whole slide looked at in {took:.0f} s)")
            looks.pop(0)
            if not looks:
                return found
    raise AssertionError("a lesson goes on until it is stopped")


def forest(slide: Path, strokes: NDArray[np.uint8], truth: NDArray[np.uint8], seed: int) -> None:
    """The pixel classifier, asked only where strokes are held out."""
    from skimage.feature import multiscale_basic_features
    from sklearn.ensemble import RandomForestClassifier

    began = process_time()
    pixels = np.moveaxis(ns.open_image(slide).read(ns.Region.from_shape(truth.shape)), 0, -1)
    features = multiscale_basic_features(pixels, channel_axis=-1, sigma_min=WIDTHS[0], sigma_max=WIDTHS[1])
    trees = RandomForestClassifier(TREES, n_jobs=torch.get_num_threads(), random_state=seed, class_weight="balanced")
    trees.fit(features[strokes > 0], strokes[strokes > 0])
    found = np.zeros_like(truth)
    found[truth > 0] = trees.predict(features[truth > 0])
    print(f"forest {process_time() - began:5.0f} s            {row(shares(found, truth))}")


def row(right: list[float]) -> str:
    return (
        "  ".join(f"{c.name} {r:6.1%}" for c, r in zip(CLASSES, right, strict=True)) + f"  mean {np.mean(right):6.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    slide = Path(sample_slide())
    height, width = ns.open_image(slide).info.levels.shape(0)
    strokes, truth = (painted(lines, (height, width)) for lines in (LEARNED, HELD_OUT))
    print(f"{np.count_nonzero(strokes)} pixels to learn from, {np.count_nonzero(truth)} held out; share that is right:")
    for seed in given.seeds:
        found = taught(slide, strokes, truth, given.seconds, seed)
        forest(slide, strokes, truth, seed)
    if given.picture is not None:
        pixels = np.moveaxis(ns.open_image(slide).read(ns.Region.from_shape(truth.shape)), 0, -1).copy()
        for c in CLASSES:
            colour = np.array([int(c.colour[k : k + 2], 16) for k in (1, 3, 5)])
            at = found == c.value
            pixels[at] = (0.6 * pixels[at] + 0.4 * colour).astype(np.uint8)
            pixels[strokes == c.value] = colour // 2
            pixels[truth == c.value] = colour
        Image.fromarray(pixels).resize((width // 2, height // 2)).save(given.picture)


if __name__ == "__main__":
    main()
