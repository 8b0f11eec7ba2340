"""Train the `nuclei` network that ships with napari-seamless.

    python examples/train_nuclei.py nuclei-dsb2018.zip --output weights

The archive holds `index.csv` (columns `id` and `kind`), `images/ID.png` (RGB) and
`labels/ID.png` (uint16, one number per nucleus, 0 is background). 15 % of the images of each
kind are held out; the script ends by scoring them and writes `nuclei.safetensors` and the
card `nuclei.json` into the output folder. The learning rate follows the step count, or the
clock if `--minutes` would run out first, so a run that keeps within its time is repeatable.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy import ndimage
from skimage.segmentation import expand_labels
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_seamless.models.networks.nuclei import CLASSES, NucleiNetwork

CROP = 176
"""Side of a training crop, in pixels after scaling."""
HELD_OUT = 0.15
"""Share of the images of each kind that training never sees."""
SHARES = {"histology": 0.50, "fluorescence": 0.45, "greyscale": 0.05}
"""How often a crop is drawn from each group of kinds; histology is rare in the data."""
CLASS_WEIGHTS = (1.0, 1.6, 2.2)
"""Of background, nucleus and boundary in the loss; nuclei are rare."""
HOLD_FROM = 0.4
"""Share of a first run after which the moments of batch norm no longer change; a second run keeps the first one's."""
RIM = 2
"""Width of the boundary class, in pixels."""
SMALLEST = 12
"""Instances of fewer pixels are dropped when scoring."""


# --- data ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Picture:
    """One annotated image: uint8 (y, x, 3) pixels and uint16 (y, x) instance numbers."""

    name: str
    kind: str
    pixels: np.ndarray
    labels: np.ndarray

    @property
    def group(self) -> str:
        """The kind without its shade: `histology`, `fluorescence` or `greyscale`."""
        return self.kind.split("-")[0]


def read_pictures(path: Path) -> list[Picture]:
    """Every image of the archive, in the order of its index."""
    with zipfile.ZipFile(path) as archive:
        index = io.StringIO(archive.read("index.csv").decode())

        def image(folder: str, name: str) -> Image.Image:
            return Image.open(io.BytesIO(archive.read(f"{folder}/{name}.png")))

        return [
            Picture(
                name=row["id"],
                kind=row["kind"],
                pixels=np.asarray(image("images", row["id"]).convert("RGB")),
                labels=np.asarray(image("labels", row["id"])).astype(np.uint16),
            )
            for row in csv.DictReader(index)
        ]


def split(pictures: Sequence[Picture], seed: int) -> tuple[list[Picture], list[Picture]]:
    """Training and held-out images; the same share of every kind is held out."""
    by_kind: dict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        by_kind[picture.kind].append(picture)
    training: list[Picture] = []
    held_out: list[Picture] = []
    for kind in sorted(by_kind):
        order = np.random.default_rng(seed).permutation(len(by_kind[kind]))
        shuffled = [by_kind[kind][i] for i in order]
        cut = max(1, round(HELD_OUT * len(shuffled)))
        held_out += shuffled[:cut]
        training += shuffled[cut:]
    return training, held_out


# --- crops and their variation ------------------------------------------------------------


def crops(
    pictures: Sequence[Picture], count: int, rng: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches for ever: float32 (count, 3, CROP, CROP) in 0..255 and int64 instance numbers."""
    by_group: dict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        by_group[picture.group].append(picture)
    groups = sorted(by_group)
    shares = np.array([SHARES[group] for group in groups])
    limits = np.cumsum(shares / shares.sum())[:-1]
    while True:
        chosen = [
            by_group[group][rng.integers(len(by_group[group]))]
            # evenly spaced draws: every batch has the same mix, which batch norm needs
            for group in np.array(groups)[np.searchsorted(limits, (np.arange(count) + rng.random()) / count)]
        ]
        pairs = [_crop(picture, rng) for picture in chosen]
        yield torch.cat([p for p, _ in pairs]), torch.cat([q for _, q in pairs])


def _crop(picture: Picture, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """One crop at a random place, scale (x 0.5 to x 2), turn and look."""
    side = round(CROP / 2 ** rng.uniform(-1, 1))
    pixels, labels = _cut(picture, side, rng)
    turns, flip = rng.integers(4), bool(rng.integers(2))
    pixels, labels = np.rot90(pixels, turns), np.rot90(labels, turns)
    if flip:
        pixels, labels = pixels[:, ::-1], labels[:, ::-1]
    x = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    y = torch.from_numpy(labels.astype(np.float32))[None, None]
    x = functional.interpolate(x, size=(CROP, CROP), mode="bilinear", antialias=True)
    y = functional.interpolate(y, size=(CROP, CROP), mode="nearest-exact")
    vary = _vary_light if picture.group == "fluorescence" else _vary_stain
    return _vary_camera(vary(x, rng), rng), y[:, 0].long()


def _cut(picture: Picture, side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A square of the image, mirrored beyond its edges where the image is smaller."""
    height, width = picture.labels.shape
    top = rng.integers(max(height - side, 0) + 1)
    left = rng.integers(max(width - side, 0) + 1)
    pixels = picture.pixels[top : top + side, left : left + side]
    labels = picture.labels[top : top + side, left : left + side]
    missing = [(0, side - n) for n in labels.shape]
    if any(n for _, n in missing):
        pixels = np.pad(pixels, [*missing, (0, 0)], mode="symmetric")
        labels = np.pad(labels, missing, mode="symmetric")
    return pixels, labels


def _vary_stain(x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Another staining and scanner: mix and scale the optical densities of the channels.

    Much of the data carries one stain only, so many crops get layers of a counterstain.
    """
    density = -torch.log((x + 1.0) / 256.0)
    mix = np.eye(3) + rng.normal(0.0, 0.1, (3, 3))
    mix *= rng.uniform(0.6, 2.4)
    density = torch.einsum("ij,njyx->niyx", torch.from_numpy(mix).float(), density)
    for _ in range(rng.choice(3, p=(0.4, 0.3, 0.3))):
        density = density + _counterstain(rng)
    white = 256.0 * rng.uniform(0.85, 1.05)
    return (white * torch.exp(-density) - 1.0).clamp(0.0, 255.0)


def _counterstain(rng: np.random.Generator) -> torch.Tensor:
    """Optical density (1, 3, CROP, CROP) of clouds and fibres, pink to purple as by eosin."""
    cells = tuple(rng.integers(3, 70, size=2))
    noise = torch.from_numpy(rng.normal(rng.uniform(-0.5, 2.0), 1.0, cells)).float()
    amount = functional.interpolate(noise[None, None], size=(CROP, CROP), mode="bicubic")
    colour = rng.uniform((0.05, 0.9, 0.1), (0.7, 1.1, 0.9)) * rng.uniform(0.1, 0.7)
    return amount.clamp(0.0, 1.8) * torch.from_numpy(colour).float()[None, :, None, None]


def _vary_light(x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Another exposure, contrast and, now and then, colour of the light."""
    gain = 2 ** rng.uniform(-1.5, 2.0)
    x = 255.0 * (x / 255.0) ** rng.uniform(0.75, 1.3) * gain + rng.uniform(-4.0, 12.0)
    if rng.random() < 0.3:
        # a false-colour or true-colour image of one stain; the strongest channel stays as it is
        tint = rng.dirichlet((0.7, 0.7, 0.7))
        x = x * torch.from_numpy(tint / tint.max()).float()[None, :, None, None]
    return x.clamp(0.0, 255.0)


def _vary_camera(x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Blur or sharpening, noise, loss of colour and, rarely, a negative."""
    if rng.random() < 0.4:
        blurred = _blur(x, rng.uniform(0.4, 1.3))
        x = blurred if rng.random() < 0.4 else x + rng.uniform(0.3, 1.5) * (x - blurred)
    if rng.random() < 0.25:
        noise = rng.normal(0.0, rng.uniform(1.0, 8.0), tuple(x.shape))
        x = x + torch.from_numpy(noise).float()
    if rng.random() < 0.08:
        x = x.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    if rng.random() < 0.04:
        x = 255.0 - x
    return x.clamp(0.0, 255.0)


def _blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    steps = torch.arange(-3.0, 4.0)
    taps = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    return functional.conv2d(
        functional.pad(x, (3, 3, 3, 3), mode="reflect"),
        kernel.expand(3, 1, 7, 7),
        groups=3,
    )


def classes_of(labels: torch.Tensor) -> torch.Tensor:
    """Instance numbers (n, y, x) -> classes: 0 background, 1 nucleus, 2 boundary."""
    # float32 holds instance numbers below 2**24 exactly
    numbers = labels[:, None].float()
    side = 2 * RIM + 1
    highest = functional.max_pool2d(numbers, side, stride=1, padding=RIM)
    lowest = -functional.max_pool2d(-numbers, side, stride=1, padding=RIM)
    rim = (highest != lowest)[:, 0]
    return torch.where(labels > 0, torch.where(rim, 2, 1), 0)


# --- training -----------------------------------------------------------------------------


def loss_of(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Weighted cross-entropy plus soft Dice of the nucleus and of the boundary class."""
    entropy = functional.cross_entropy(logits, classes, weight=torch.tensor(CLASS_WEIGHTS))
    truth = functional.one_hot(classes, 3).movedim(-1, 1)[:, 1:].float()
    guess = logits.softmax(dim=1)[:, 1:]
    overlap = 2 * (truth * guess).sum(dim=(0, 2, 3)) + 1.0
    dice = overlap / (truth.sum(dim=(0, 2, 3)) + guess.sum(dim=(0, 2, 3)) + 1.0)
    return entropy + 0.5 * (1 - dice).mean()


def rate_at(progress: float) -> float:
    """Share of the highest learning rate: a short rise, then a half cosine down to 1 %."""
    rise = 0.05
    if progress < rise:
        return 0.05 + 0.95 * progress / rise
    return 0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * (progress - rise) / (1 - rise)))


def first_network(seed: int, start: Path | None) -> NucleiNetwork:
    """A network with random weights, or with those of an earlier run."""
    torch.manual_seed(seed)
    network = NucleiNetwork()
    if start is not None:
        network.load_state_dict(load_file(start))
    return network


def train(
    network: NucleiNetwork,
    pictures: Sequence[Picture],
    *,
    steps: int,
    minutes: float,
    rate: float,
    seed: int,
    hold_from: float,
    checkpoint: Path,
) -> tuple[NucleiNetwork, int]:
    """The averaged network and the number of steps that were done."""
    network = network.to(memory_format=torch.channels_last).train()
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.995), use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-3)
    batches = crops(pictures, count=8, rng=np.random.default_rng(seed))
    start, step, recent = time.monotonic(), 0, 1.0
    while (progress := max(step / steps, (time.monotonic() - start) / 60 / minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * rate_at(progress)
        if progress >= hold_from:
            _hold_moments(network)
        loss = _step(network, optimizer, *next(batches))
        average.update_parameters(network)
        step, recent = step + 1, 0.98 * recent + 0.02 * loss
        if step % 100 == 0:
            spent = (time.monotonic() - start) / 60
            print(f"step {step}  {spent:.1f} min  loss {recent:.4f}", flush=True)
            save_file(weights_of(average.module), checkpoint)
    return undo_class_weights(average.module).eval(), step


def undo_class_weights(network: NucleiNetwork) -> NucleiNetwork:
    """Weights in the loss make rare classes look likelier than they are; take that back."""
    with torch.no_grad():
        network.unet.head.bias -= torch.tensor(CLASS_WEIGHTS).log()
    return network


def _hold_moments(network: NucleiNetwork) -> None:
    """Let batch norm work as in use: a batch here mixes dark and bright images as no slide does."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()


def _step(
    network: NucleiNetwork,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    labels: torch.Tensor,
) -> float:
    """One update of the weights; gives the loss before it."""
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network.logits(x)
    loss = loss_of(logits.float(), classes_of(labels))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def weights_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state dict in plain memory order, as a file wants it."""
    return {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }


# --- scoring ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """How one image went: Dice of the area of the nuclei, and counts of nuclei."""

    group: str
    dice: float
    found: int
    invented: int
    missed: int


def predict(network: NucleiNetwork, pixels: np.ndarray) -> np.ndarray:
    """uint8 (y, x) classes of an image of any size, mirrored up to the network's stride."""
    height, width = pixels.shape[:2]
    stride = network.unet.stride
    padding = [(0, -height % stride), (0, -width % stride), (0, 0)]
    x = torch.from_numpy(np.pad(pixels, padding, mode="symmetric").astype(np.float32))
    with torch.inference_mode():
        return network(x.permute(2, 0, 1)[None])[0, :height, :width].numpy()


def instances_of(classes: np.ndarray) -> np.ndarray:
    """Number the pieces of class nucleus and grow each back over its boundary."""
    pieces, _ = ndimage.label(classes == 1)
    grown = np.where(classes > 0, expand_labels(pieces, distance=RIM), 0)
    sizes = np.bincount(grown.ravel())
    return np.where(sizes[grown] >= SMALLEST, grown, 0)


def score(picture: Picture, classes: np.ndarray) -> Score:
    """Compare with the annotation; a nucleus is found if some instance overlaps it by IoU > 0.5."""
    area, truth = classes > 0, picture.labels > 0
    total = area.sum() + truth.sum()
    dice = 2.0 * (area & truth).sum() / total if total else 1.0
    instances = instances_of(classes)
    found = _matches(picture.labels, instances)
    real, said = (np.unique(a[a > 0]).size for a in (picture.labels, instances))
    return Score(picture.group, float(dice), found, said - found, real - found)


def _matches(truth: np.ndarray, said: np.ndarray) -> int:
    """Number of pairs with IoU > 0.5; above that, a pair is each other's only match."""
    both = (truth > 0) & (said > 0)
    pairs, shared = np.unique(np.stack([truth[both], said[both]]).astype(np.int64), axis=1, return_counts=True)
    union = np.bincount(truth.ravel())[pairs[0]] + np.bincount(said.ravel())[pairs[1]] - shared
    return int((shared / union > 0.5).sum())


def summary(scores: Sequence[Score]) -> dict[str, float | int]:
    """Mean Dice over images; F1 over the nuclei of all images together."""
    found, invented, missed = (sum(getattr(s, name) for s in scores) for name in ("found", "invented", "missed"))
    return {
        "images": len(scores),
        "nuclei": found + missed,
        "dice": round(float(np.mean([s.dice for s in scores])), 4),
        "f1_at_0.5_iou": round(2 * found / max(2 * found + invented + missed, 1), 4),
    }


def figures(network: NucleiNetwork, pictures: Sequence[Picture]) -> dict[str, object]:
    """The summary of all held-out images, and of each group alone."""
    scores = [score(p, predict(network, p.pixels)) for p in pictures]
    by_group: dict[str, list[Score]] = defaultdict(list)
    for one in scores:
        by_group[one.group].append(one)
    return {"all": summary(scores)} | {g: summary(s) for g, s in sorted(by_group.items())}


# --- the card -----------------------------------------------------------------------------


def card(network: NucleiNetwork, held_out: dict[str, object], run: dict[str, object]) -> dict[str, object]:
    """What a user should know before trusting the weights."""
    return {
        "name": "nuclei",
        "task": "semantic segmentation of cell nuclei in stained histology and fluorescence",
        "input": "float32 (1, 3, y, x), RGB as in the file, 0..255; y and x multiples of 16",
        "output": "uint8 (1, y, x) class numbers",
        "classes": [asdict(one) for one in CLASSES],
        "boundary": f"pixels of a nucleus within {RIM} pixels of background or another nucleus",
        "pixel_size": "mixed and mostly unknown in training; nuclei 8 to 60 pixels across",
        "parameters": sum(p.numel() for p in network.parameters()),
        "data": "2018 Data Science Bowl stage 1 training set (Broad Institute, BBBC038), with "
        "the corrections of kaggle-dsbowl-2018-dataset-fixes",
        "data_licence": "CC0-1.0",
        "weights_licence": "BSD-3-Clause",
        "held_out": held_out,
        "held_out_how": f"{HELD_OUT:.0%} of the images of each kind, chosen by the seed and "
        "never trained on; some come from the same slides or plates as training images. Dice "
        "is the mean over images of nucleus and boundary against annotated nuclei; F1 counts "
        f"nuclei of all images together at IoU > 0.5, instances being connected pieces of class "
        f"nucleus grown by {RIM} pixels and of at least {SMALLEST} pixels",
        "limits": [
            "keratin, folds and other dark structureless tissue can be taken for one large nucleus",
            "nuclei narrower than about 5 pixels have no core and are not separated",
            "crowded or overlapping nuclei may merge, pale or vesicular ones may be missed",
            "red blood cells, pigment, dirt and out-of-focus areas can be taken for nuclei",
            "trained on 8-bit RGB only; scale other depths to 0..255 first",
            "not a medical device",
        ],
        "training": run,
        "reproduce": f"python examples/train_nuclei.py ARCHIVE --steps {run['steps']} --rate {run['rate']} "
        f"--seed {run['seed']}" + (" --start FIRST_RUN" if run["started_from"] else ""),
    }


def main() -> None:
    """Read, split, train, score, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="zip with index.csv, images/ and labels/")
    parser.add_argument("--output", type=Path, default=Path("weights"), help="folder to write to")
    parser.add_argument("--steps", type=int, default=4000, help="updates, 8 crops each")
    parser.add_argument("--minutes", type=float, default=240.0, help="stop by then at the latest")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--start", type=Path, help="weights to start from, by an earlier run of this script")
    parser.add_argument("--seed", type=int, default=0, help="also chooses the held-out images: keep it with --start")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    options.output.mkdir(parents=True, exist_ok=True)
    training, held_out = split(read_pictures(options.archive), options.seed)
    start = time.monotonic()
    network, steps = train(
        first_network(options.seed, options.start),
        training,
        steps=options.steps,
        minutes=options.minutes,
        rate=options.rate,
        seed=options.seed,
        hold_from=0.0 if options.start else HOLD_FROM,
        checkpoint=options.output / "checkpoint.safetensors",
    )
    run = {
        "images": len(training),
        "steps": steps,
        "ended_by": "steps" if steps == options.steps else "clock",
        "minutes": round((time.monotonic() - start) / 60, 1),
        "rate": options.rate,
        "seed": options.seed,
        "started_from": options.start.name if options.start else None,
    }
    written = card(network, figures(network, held_out), run)
    save_file(weights_of(network), options.output / "nuclei.safetensors")
    (options.output / "nuclei.json").write_text(json.dumps(written, indent=2) + "\n")
    print(json.dumps(written["held_out"], indent=2))


if __name__ == "__main__":
    main()
