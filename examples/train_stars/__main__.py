"""Train a network for star-convex polygons on annotated nuclei.

    python examples/train_stars nuclei-dsb2018.zip nuclei-he.zip --kind stained --output weights

Archives hold `images/`, `labels/` (uint16, one number a nucleus, 0 is background) and a table of what they are:
`index.csv` (columns id, kind, height, width) or `manifest.csv` (columns file, source, stain, group, split). Images that
the tables hold out, or all of the source that --leave-out names, are never trained on; half of them, by group, choose
the thresholds, and the others are scored. Called again, a training goes on from its checkpoint. Writes a recipe folder
(`nuclei-he` or `nuclei-fluorescence`, with figures on its card) beside `checkpoint.pt` and `log.csv`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from images import INPUTS, Picture, read_pictures, sources, split
from recipes import write_recipe
from training import Training, best_settings, clock, figures, train
from variation import Crops

from napari_seamless.postprocess.polygons.step import StarPolygons

KEEP_EVERY = 100
"""Steps between checkpoints."""


def halves(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Images to choose thresholds on, and images to score. A group is not divided; if there is one, it is both."""
    groups = sorted({picture.group for picture in pictures})
    chosen = set(groups[::2]) if len(groups) > 1 else set(groups)
    rest = set(groups[1::2]) if len(groups) > 1 else set(groups)
    return [p for p in pictures if p.group in chosen], [p for p in pictures if p.group in rest]


def look(training: Training, held_out: Sequence[Picture]) -> tuple[StarPolygons, dict[str, dict[str, float | int]]]:
    """Choose the thresholds, and score."""
    choosing, scoring = halves(held_out)
    step = best_settings(training.averaged, choosing)
    return step, figures(training.averaged, scoring, step)


def how(given: argparse.Namespace) -> dict[str, str | int | float]:
    """What a training was given, without where things lie."""
    kept = {name: getattr(given, name) for name in ("kind", "leave_out", "batch", "rate", "seed")}
    return {name: value for name, value in kept.items() if value is not None}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archives", type=Path, nargs="+", help="zip files with images/, labels/ and a table")
    parser.add_argument("--kind", choices=sorted(INPUTS), required=True)
    parser.add_argument("--output", type=Path, default=Path("weights"), help="folder to write to, and to go on from")
    parser.add_argument("--leave-out", metavar="SOURCE", help="a source to hold out as a whole")
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--look-every", type=int, default=1000, help="steps between scores of held-out images")
    parser.add_argument("--batch", type=int, default=6, help="crops a step")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def main() -> None:
    """Read, split, train, score, write."""
    given = options()
    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    given.output.mkdir(parents=True, exist_ok=True)
    pictures = read_pictures(given.archives, given.kind)
    training_images, held_out = split(pictures, given.leave_out)
    print(f"{len(training_images)} images to train on, {len(held_out)} held out; {', '.join(sources(pictures))}")
    training = Training.begin(len(pictures[0].pixels), given.rate, given.seed)
    checkpoint = given.output / "checkpoint.pt"
    if checkpoint.exists():
        training.load(checkpoint)
        print(f"goes on from step {training.step}")
    crops = Crops(training_images, given.kind, given.batch, given.seed)
    entropy, rays = 0.0, 0.0
    for number, lost in enumerate(train(training, crops, steps=given.steps, rate=given.rate), 1):
        share = 1 / min(number, 100)
        entropy, rays = entropy + share * (lost["entropy"] - entropy), rays + share * (lost["rays"] - rays)
        if training.step % 50 == 0:
            with (given.output / "log.csv").open("a") as log:
                log.write(f"{training.step},{clock():.0f},{entropy:.4f},{rays:.4f}\n")
        is_last = training.step == given.steps
        if training.step % KEEP_EVERY == 0 or is_last:
            training.save(checkpoint)
        if training.step % given.look_every == 0 or is_last:
            step, scores = look(training, held_out)
            report = {"step": training.step, "scores": scores, "training": how(given)}
            write_recipe(given.output, given.kind, training.averaged, step, report)
            print(f"step {training.step}  entropy {entropy:.4f}  rays {rays:.3f}  {step}")
            print(json.dumps(scores), flush=True)


if __name__ == "__main__":
    main()
