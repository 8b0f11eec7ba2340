"""Train SK, U or USK (Tschopp 2015) to label every pixel of a nucleus, and score it on images it never saw.

    python examples/train_pixelwise.py nuclei-dsb2018.zip --network usk --loss malis --seconds 120

The archive is that of train_nuclei.py (index.csv with id, kind and number of nuclei; images and labels as ID.png); its
fluorescence images are used, in grey. The networks are those of the thesis, with fewer features, as befits minutes on
a CPU. Crops and pixels are drawn by label histogram equalisation. `softmax` is the usual loss of every pixel; `malis`
adds, for the second half of the time, the MALIS loss of pairs of pixels. Pixels where two nuclei touch count as
background. Time is the processor's; the same seed holds out the same images.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy import ndimage
from skimage.metrics import adapted_rand_error
from torch import Tensor
from torch.nn import functional

from napari_seamless.models.networks.tschopp import SKNet, USKNet, ValidNetwork, ValidUNet
from napari_seamless.training.data.equalised_crops import EqualisedCrops
from napari_seamless.training.losses.affinity import affinities_of_probability, segments_of
from napari_seamless.training.losses.malis import MalisLoss

HELD_OUT = 0.15
"""Share of the images that training never sees."""
SCORED = 128
"""Side of the middle of each held-out image that is scored, in pixels."""


@dataclass(frozen=True, eq=False)
class Sample:
    """An image and its nuclei: float32 pixels (y + context, x + context), mirrored at the border; instances (y, x)."""

    pixels: np.ndarray
    instances: np.ndarray


def network_of(name: str) -> ValidNetwork:
    """The three networks of the thesis, narrow: grey images to two classes."""
    if name == "sk":
        return SKNet(1, 2, widths=(8, 16, 24), hidden=(32, 32))
    if name == "u":
        return ValidUNet(1, 2, widths=(8, 16, 32, 48, 64))
    return USKNet(1, 2, widths=(8, 16), bottom=(16, 24, 32), hidden=(48, 32))


def side_of(network: ValidNetwork, least: int) -> int:
    """The smallest side of at least `least` output pixels that the network makes without leaving any out."""
    return least + (network.rest - least) % network.multiple


def read(
    archive: Path, network: ValidNetwork, images: int, held_out: int, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """At most so many fluorescence images for training, and so many held out."""
    with zipfile.ZipFile(archive) as opened:
        rows = csv.DictReader(io.StringIO(opened.read("index.csv").decode()))
        names = [row["id"] for row in rows if row["kind"].startswith("fluorescence") and int(row["nuclei"])]
        order = np.random.default_rng(seed).permutation(len(names))
        cut = max(1, round(HELD_OUT * len(names)))

        def part(kind: str, number: int) -> np.ndarray:
            return np.asarray(Image.open(io.BytesIO(opened.read(f"{kind}/{names[number]}.png"))))

        def sample(number: int) -> Sample:
            return sample_of(part("images", number)[..., :3], part("labels", number), network)

        return [sample(k) for k in order[cut : cut + images]], [sample(k) for k in order[:cut][:held_out]]


def sample_of(pixels: np.ndarray, labels: np.ndarray, network: ValidNetwork) -> Sample:
    """Grey values about 0 with a deviation of 1, and nuclei kept apart by a pixel where they touch."""
    grey = pixels.astype(np.float32).mean(axis=2)
    grey = (grey - grey.mean()) / (grey.std() + 1)
    margin = (network.before, network.context - network.before)
    labels = labels.astype(np.int64)
    highest = ndimage.maximum_filter(labels, 3)
    lowest = ndimage.minimum_filter(np.where(labels > 0, labels, labels.max() + 1), 3)
    touching = (labels > 0) & (highest != lowest)
    return Sample(np.pad(grey, margin, mode="reflect"), np.where(touching, 0, labels))


def train(network: ValidNetwork, samples: Sequence[Sample], loss: str, seconds: float, rate: float, seed: int) -> int:
    """Train for so much processor time; gives the number of steps."""
    side = side_of(network, 60)
    crops = EqualisedCrops([(s.instances > 0).astype(np.int64) for s in samples], classes=2, side=side)
    random, pairs = np.random.default_rng(seed), MalisLoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    begin, steps, recent = process_time(), 0, 0.7
    while (spent := process_time() - begin) < seconds:
        crop = crops.draw(random)
        sample, reach = samples[crop.image], side + network.context
        pixels = sample.pixels[crop.top : crop.top + reach, crop.left : crop.left + reach]
        instances = sample.instances[crop.top : crop.top + side, crop.left : crop.left + side]
        scores = network(torch.from_numpy(pixels.copy())[None, None])
        targets = torch.from_numpy(crops.targets(crop, random))[None]
        total = functional.cross_entropy(scores, targets)
        if loss == "malis" and spent > seconds / 2 and instances.any():
            total = total + malis_of(pairs, scores, instances)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        steps, recent = steps + 1, 0.95 * recent + 0.05 * total.item()
        if steps % 50 == 0:
            print(f"step {steps}  {process_time() - begin:.0f} s  loss {recent:.3f}", flush=True)
    return steps


def malis_of(pairs: MalisLoss, scores: Tensor, instances: np.ndarray) -> Tensor:
    """MALIS on the affinities of the probability of nucleus."""
    affinities = affinities_of_probability(scores.softmax(dim=1)[:, 1])
    loss: Tensor = pairs(affinities, torch.from_numpy(instances.copy())[None])
    return loss


def scores_of(network: ValidNetwork, sample: Sample) -> tuple[float, float, float]:
    """Pixel error, Dice of nucleus, and adapted Rand error of the instances, in the middle of an image."""
    rows, columns = sample.instances.shape
    side = min(SCORED, rows, columns)
    side -= (side - network.rest) % network.multiple
    top, left = (rows - side) // 2, (columns - side) // 2
    reach = side + network.context
    pixels = torch.from_numpy(sample.pixels[top : top + reach, left : left + reach].copy())
    with torch.inference_mode():
        nucleus = network(pixels[None, None]).softmax(dim=1)[:, 1]
    truth = sample.instances[top : top + side, left : left + side]
    said = (nucleus[0] > 0.5).numpy()
    found = segments_of(affinities_of_probability(nucleus)[0].numpy(), smallest=12)
    dice = 2 * (said & (truth > 0)).sum() / max(said.sum() + (truth > 0).sum(), 1)
    rand = adapted_rand_error(truth, found)[0] if truth.any() else np.nan
    return float((said != (truth > 0)).mean()), float(dice), float(rand)


def main() -> None:
    """Read, split, train, score, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="zip with index.csv, images/ and labels/")
    parser.add_argument("--network", choices=["sk", "u", "usk"], default="usk")
    parser.add_argument("--loss", choices=["softmax", "malis"], default="softmax")
    parser.add_argument("--seconds", type=float, default=120.0, help="processor time of the training")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--images", type=int, default=100, help="images to train on, at most")
    parser.add_argument("--held-out", type=int, default=30, help="images to score on, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="file for the weights (.safetensors)")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(given.seed)
    network = network_of(given.network)
    samples, held_out = read(given.archive, network, given.images, given.held_out, given.seed)
    steps = train(network, samples, given.loss, given.seconds, given.rate, given.seed)
    scored = np.array([scores_of(network.eval(), sample) for sample in held_out])
    error, dice, rand = np.nanmean(scored, axis=0)
    print(json.dumps({
        "network": given.network, "loss": given.loss, "steps": steps, "seconds": given.seconds, "images": len(scored),
        "pixel_error": round(error, 4), "dice": round(dice, 4), "adapted_rand_error": round(rand, 4),
    }))  # fmt: skip
    if given.output:
        save_file(network.state_dict(), given.output)


if __name__ == "__main__":
    main()
