"""Train a style network from one painting.

    python examples/train_style.py --style painting.jpg --output weights

Writes `style-painting.safetensors` (half precision, 3.4 MB) and the card `style-painting.json`; `load_model` takes the
first. Content images come from `--content`, a folder or a zip; without it, from scikit-image's photographs and the
slide that comes with napari-seamless. `--start` goes on from the weights of another style, which saves half the time.

What is asked of a painted crop:

style      At each of four scales, the responses of small random filters over the crop are distributed as over the
           painting (sliced Wasserstein distance between sorted responses; the distance of A. Elnekave and Y. Weiss,
           "Generating natural images with direct patch distribution matching", ECCV 2022, used as a perceptual loss).
           It needs no trained network. Where the file of torchvision's VGG-16 weights is on this machine already
           (nothing is ever downloaded), Gram matrices of its layers are used instead, as by Johnson et al. 2016.
structure  The luminance varies from place to place as it does in the crop, judged by correlation in small windows,
           and is as light and dark overall. With VGG, its second block's responses must agree, too.
total variation, and values within 0..255.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import shlex
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import skimage.data
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

import napari_seamless as ns
from napari_seamless.io.readers import sample_slide
from napari_seamless.models.networks.style_transfer import StyleNetwork

PHOTOGRAPHS = (
    *("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel"),
    *("hubble_deep_field", "immunohistochemistry", "moon", "retina", "rocket"),
)
"""Pictures in scikit-image's wheel."""
PIECE = 740
"""Side of the pieces of the slide, about that of a photograph."""
PLAINEST = 0.05
"""Spread of values below which a crop is passed over: instance norm would blow up its noise."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
FILTER_SIZES = (1, 3, 5, 7)
"""Those of one pixel answer to colour alone, which the others leave some freedom."""
FILTERS = 256
"""Random filters of each size at each scale; every step draws some of them."""
DRAWN = 16
QUANTILES = 1024
"""Sorted responses that are compared, per filter."""
PLACES = 100_000
"""Of the painting, evenly spaced, at which a filter's responses are taken, about."""
SCALE_WEIGHTS = (0.7, 1.0, 1.5, 2.0)
"""From full size to an eighth: coarse strokes make the look."""
VGG_FILE = "vgg16-397923af.pth"
"""Torchvision's name for its VGG-16 weights, in the folder of torch.hub."""
Style = tuple[torch.Tensor, torch.Tensor]

# --- content ------------------------------------------------------------------------------


def read_pictures(content: Path | None) -> list[np.ndarray]:
    """uint8 (y, x, 3) each, from a folder, a zip, or what comes with the packages."""
    if content is None:
        photographs = [Image.fromarray(getattr(skimage.data, name)()) for name in PHOTOGRAPHS]
        return [np.array(one.convert("RGB")) for one in photographs] + pieces_of_slide()
    if zipfile.is_zipfile(content):
        with zipfile.ZipFile(content) as archive:
            names = sorted(n for n in archive.namelist() if Path(n).suffix.lower() in SUFFIXES and "labels/" not in n)
            return [as_rgb(archive.read(name)) for name in names]
    return [as_rgb(path.read_bytes()) for path in sorted(content.rglob("*")) if path.suffix.lower() in SUFFIXES]


def as_rgb(file: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(file)).convert("RGB"))


def pieces_of_slide() -> list[np.ndarray]:
    """The sample slide, cut into squares."""
    slide = ns.open_image(sample_slide())
    height, width = slide.info.levels.shape(0)
    whole = slide.read(ns.Region.of((0, height), (0, width))).transpose(1, 2, 0)
    corners = [(y, x) for y in range(0, height - PIECE + 1, PIECE) for x in range(0, width - PIECE + 1, PIECE)]
    return [whole[y : y + PIECE, x : x + PIECE] for y, x in corners]


def crops(pictures: Sequence[np.ndarray], sizes: Sequence[int], rng: np.random.Generator) -> Iterator[torch.Tensor]:
    """For ever: float32 (1, 3, s, s) in 0..1 with s one of `sizes`, from full size to reduced 4.6 times."""
    while True:
        size = int(rng.choice(sizes))
        picture = pictures[rng.integers(len(pictures))]
        side = min(int(size * 2 ** rng.uniform(0, 2.2)), *picture.shape[:2])
        top, left = (int(rng.integers(n - side + 1)) for n in picture.shape[:2])
        cut = picture[top : top + side, left : left + side]
        if rng.random() < 0.5:
            cut = cut[:, ::-1]
        crop = resized(as_tensor(cut), (size, size))
        if crop.std() > PLAINEST:
            yield crop.contiguous(memory_format=torch.channels_last)


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (y, x, 3) -> float32 (1, 3, y, x) in 0..1."""
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None] / 255


def resized(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return functional.interpolate(x, size=size, mode="bilinear", antialias=True)


def read_painting(path: Path, short: int) -> torch.Tensor:
    """float32 (1, 3, y, x) in 0..1, the shorter side `short` pixels long."""
    x = as_tensor(as_rgb(path.read_bytes()))
    scale = short / min(x.shape[-2:])
    return resized(x, (round(x.shape[-2] * scale), round(x.shape[-1] * scale))).clamp(0, 1)


# --- what is asked of a painted crop ------------------------------------------------------


class Judge(Protocol):
    """Style and content losses of a painted crop, (1, 3, y, x) in about 0..1, of a crop in 0..1."""

    name: str

    def __call__(self, painted: torch.Tensor, crop: torch.Tensor) -> Style: ...


def pyramid(x: torch.Tensor, levels: int) -> list[torch.Tensor]:
    """The image, and means of 2x2 pixels again and again."""
    images = [x]
    for _ in range(levels - 1):
        images.append(functional.avg_pool2d(images[-1], 2))
    return images


def luminance(x: torch.Tensor) -> torch.Tensor:
    """(n, 3, y, x) -> (n, 1, y, x)."""
    return (x * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)


class Slices:
    """Random filters, and how their responses are distributed over a painting."""

    name = "random filters"

    def __init__(self, painting: torch.Tensor, tone: float) -> None:
        self.tone = tone
        images = pyramid(painting, len(SCALE_WEIGHTS))
        self.banks = [[self._bank(image, size) for size in FILTER_SIZES] for image in images]

    @staticmethod
    def _bank(image: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Filters (f, 3, size, size) that answer to the painting with a spread of 1, and (f, q) sorted answers."""
        filters = torch.randn(FILTERS, 3, size, size)
        # half of them answer to colour and brightness as well, the others to change only
        if size > 1:
            filters[FILTERS // 2 :] -= filters[FILTERS // 2 :].mean(dim=(2, 3), keepdim=True)
        step = math.ceil(math.sqrt(image[0, 0].numel() / PLACES))
        answers = functional.conv2d(image, filters, stride=step)[0].flatten(1)
        spread = answers.std(dim=1).clamp_min(1e-2)
        ranks = ((torch.arange(QUANTILES) + 0.5) / QUANTILES * answers.shape[1]).long()
        return filters / spread[:, None, None, None], answers.sort(dim=1).values[:, ranks] / spread[:, None]

    def __call__(self, painted: torch.Tensor, crop: torch.Tensor) -> Style:
        """How far the distributions are apart, and how far the structure is from the crop's."""
        style = painted.new_zeros(())
        for weight, banks, image in zip(SCALE_WEIGHTS, self.banks, pyramid(painted, len(self.banks)), strict=True):
            for filters, wanted in banks:
                drawn = torch.randperm(FILTERS)[:DRAWN]
                style = style + weight * self._distance(functional.conv2d(image, filters[drawn]), wanted[drawn])
        return style, structure(painted, crop) + self.tone * tone(painted, crop)

    @staticmethod
    def _distance(answers: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        flat = answers.transpose(0, 1).flatten(1)
        count = flat.shape[1]
        if count > QUANTILES:
            flat = flat[:, torch.randint(count, (QUANTILES,))]
        else:
            wanted = wanted[:, ((torch.arange(count) + 0.5) / count * QUANTILES).long()]
        return (flat.sort(dim=1).values - wanted).abs().mean()


def structure(painted: torch.Tensor, crop: torch.Tensor, window: int = 7) -> torch.Tensor:
    """1 - correlation of the luminances in windows, where the crop has contrast, at four scales."""

    def mean(x: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(x, window, stride=1)

    losses = []
    for x, y in zip(pyramid(luminance(painted), 4), pyramid(luminance(crop), 4), strict=True):
        mean_x, mean_y = mean(x), mean(y)
        var_x = (mean(x * x) - mean_x**2).clamp_min(0) + 4e-4
        var_y = (mean(y * y) - mean_y**2).clamp_min(0) + 4e-4
        correlation = (mean(x * y) - mean_x * mean_y + 4e-4) / (var_x * var_y).sqrt()
        losses.append(((1 - correlation) * var_y / (var_y + 2e-3)).mean())
    return torch.stack(losses).mean()


def tone(painted: torch.Tensor, crop: torch.Tensor) -> torch.Tensor:
    """Difference of the luminances at an eighth of the size, each brought to mean 0 and spread 1."""

    def standard(x: torch.Tensor) -> torch.Tensor:
        coarse = functional.avg_pool2d(luminance(x), 8)
        return (coarse - coarse.mean()) / (coarse.std() + 0.05)

    return (standard(painted) - standard(crop)).abs().mean()


class Vgg:
    """VGG-16 up to its fourth block, with torchvision's weights, and the Gram matrices of a painting."""

    name = "VGG-16"
    WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))

    def __init__(self, weights: Mapping[str, torch.Tensor], painting: torch.Tensor) -> None:
        layers: list[nn.Module] = []
        self.ends: list[int] = []
        inputs = 3
        for widths in self.WIDTHS:
            for width in widths:
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                inputs = width
            self.ends.append(len(layers) - 1)
            layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers).eval().requires_grad_(False)
        names = {f"features.{name}": name for name in self.layers.state_dict()}
        self.layers.load_state_dict({name: weights[long] for long, name in names.items()})
        self.wanted = [self._gram(block) for block in self.blocks(painting)]

    def blocks(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The last responses of each block to (1, 3, y, x) in 0..1."""
        x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
            :, None, None
        ]
        found = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.ends:
                found.append(x)
        return found

    @staticmethod
    def _gram(block: torch.Tensor) -> torch.Tensor:
        flat = block[0].flatten(1)
        return flat @ flat.T / flat.numel()

    def __call__(self, painted: torch.Tensor, crop: torch.Tensor) -> Style:
        """Gram matrices against the painting's, relative to their size; second block against the crop's."""
        blocks = self.blocks(painted)
        pairs = zip(blocks, self.wanted, strict=True)
        style = torch.stack([(self._gram(b) - w).square().sum() / w.square().sum() for b, w in pairs]).sum()
        with torch.no_grad():
            kept = self.blocks(crop)[1]
        content = (blocks[1] - kept).square().mean() / kept.square().mean()
        return style, content


def judge_of(painting: torch.Tensor, vgg: Path | None, tone_weight: float) -> Judge:
    """By VGG if its weights are in the file given, or where torchvision would have put them; else without it."""
    path = vgg or Path(torch.hub.get_dir()) / "checkpoints" / VGG_FILE
    if vgg is None and not path.is_file():
        return Slices(painting, tone_weight)
    return Vgg(torch.load(path, map_location="cpu", weights_only=True), painting)


def variation(x: torch.Tensor) -> torch.Tensor:
    """Mean difference of neighbours."""
    return (x[..., 1:] - x[..., :-1]).abs().mean() + (x[..., 1:, :] - x[..., :-1, :]).abs().mean()


# --- training -----------------------------------------------------------------------------


def first_network(start: Path | None) -> StyleNetwork:
    """A network with random weights that paints grey noise, or with those of another style."""
    network = StyleNetwork()
    if start is not None:
        network.load_state_dict(load_file(start))
        return network
    with torch.no_grad():
        network.deconv3.conv2d.bias.fill_(127.5)
        network.deconv3.conv2d.weight *= 30  # a spread that pictures have
    return network


def rate_at(progress: float) -> float:
    """Share of the highest learning rate: a short rise, then a half cosine down to 1 %."""
    rise = 0.02
    if progress < rise:
        return 0.05 + 0.95 * progress / rise
    return 0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * (progress - rise) / (1 - rise)))


def train(network: StyleNetwork, batches: Iterator[torch.Tensor], judge: Judge, given: argparse.Namespace) -> Style:
    """Change the network in place; gives running means of the style and the content loss at the end."""
    network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=given.rate, betas=(0.9, 0.99))
    recent = torch.zeros(2)
    began = time.monotonic()
    for step in range(given.steps):
        for group in optimizer.param_groups:
            group["lr"] = given.rate * rate_at(step / given.steps)
        crop = next(batches)
        with torch.autocast("cpu", torch.bfloat16):
            painted = network.paint(crop * 255)
        painted = painted.float() / 255
        style, content = judge(painted, crop)
        outside = (painted - painted.clamp(0, 1)).abs().mean()
        loss = given.style_weight * style + given.content_weight * content
        loss = loss + given.variation_weight * variation(painted) + 2.0 * outside
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        keep = min(0.98, step / (step + 1))
        recent = keep * recent + (1 - keep) * torch.stack([style.detach(), content.detach()])
        if (step + 1) % 100 == 0:
            each = (time.monotonic() - began) / (step + 1)
            print(f"step {step + 1}  {each:.3f} s each  style {recent[0]:.3f}  content {recent[1]:.3f}", flush=True)
            save(network, given.output / "checkpoint.safetensors")
    return recent[0], recent[1]


def save(network: StyleNetwork, path: Path) -> None:
    """The weights in half precision, which is exact enough for 8-bit pictures."""
    save_file({name: value.detach().half().contiguous() for name, value in network.state_dict().items()}, path)


def card(given: argparse.Namespace, name: str, judge: Judge, losses: Style, minutes: float) -> dict[str, object]:
    """What a user should know."""
    # files by their names: where they lie is nobody's business
    command = [argument if argument == given.painting else Path(argument).name for argument in sys.argv[1:]]
    return {
        "name": name,
        "task": f"paint a picture in the manner of {given.painting or given.style.stem}",
        "painting": given.painting or given.style.name,
        "input": "float32 (1, 3, y, x), RGB as in the file, 0..255; sides of 5 pixels or more",
        "output": "uint8 (1, 3, y, x), RGB",
        "architecture": "Johnson et al. 2016 with instance norm: colours depend on the whole picture",
        "data": "one photograph of the painting, and the content below",
        "data_licence": given.data_licence,
        "held_out": "no figures: a manner has no right answer; what it looks like was judged by eye",
        "content": given.content.name if given.content else "photographs of scikit-image, the sample slide",
        "weights_licence": "BSD-3-Clause",
        "training": {
            "judged_by": judge.name,
            "steps": given.steps,
            "sizes": given.size,
            "painting_short_side": given.short,
            "rate": given.rate,
            "seed": given.seed,
            "weights": {
                "style": given.style_weight,
                "content": given.content_weight,
                "tone": given.tone_weight,
                "variation": given.variation_weight,
            },
            "started_from": given.start.name if given.start else None,
            "last_losses": {"style": round(float(losses[0]), 3), "content": round(float(losses[1]), 3)},
            "minutes": round(minutes, 1),
        },
        "reproduce": f"python examples/train_style.py {shlex.join(command)}",
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--style", type=Path, required=True, help="the painting, an image file")
    parser.add_argument("--content", type=Path, help="folder or zip of images; default: those of the packages")
    parser.add_argument("--name", help="of the result; default: style-FILE")
    parser.add_argument("--painting", help="title, artist, year, for the card")
    parser.add_argument("--data-licence", default="not said", help="of painting and content, for the card")
    parser.add_argument("--output", type=Path, default=Path("weights"), help="folder to write to")
    parser.add_argument("--steps", type=int, default=4000, help="updates, one crop each")
    parser.add_argument("--size", type=int, nargs="+", default=[128], help="sides of the crops")
    parser.add_argument("--short", type=int, default=640, help="pixels on the painting's shorter side: size of strokes")
    parser.add_argument("--style-weight", type=float, default=1.0)
    parser.add_argument("--content-weight", type=float, default=4.0)
    parser.add_argument("--tone-weight", type=float, default=0.5, help="of lightness, within content")
    parser.add_argument("--variation-weight", type=float, default=0.5)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--start", type=Path, help="weights of another style to start from")
    parser.add_argument("--vgg", type=Path, help=f"torchvision's {VGG_FILE}, if it is elsewhere than usual")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def main() -> None:
    """Read, train, write."""
    given = arguments()
    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(given.seed)
    given.output.mkdir(parents=True, exist_ok=True)
    name = given.name or f"style-{given.style.stem}"
    began = time.monotonic()
    judge = judge_of(read_painting(given.style, given.short), given.vgg, given.tone_weight)
    network = first_network(given.start)
    batches = crops(read_pictures(given.content), given.size, np.random.default_rng(given.seed))
    losses = train(network, batches, judge, given)
    save(network, given.output / f"{name}.safetensors")
    written = card(given, name, judge, losses, (time.monotonic() - began) / 60)
    (given.output / f"{name}.json").write_text(json.dumps(written, indent=2) + "\n")
    (given.output / "checkpoint.safetensors").unlink(missing_ok=True)
    print(f"{name}: judged by {judge.name}, style {losses[0]:.3f}, content {losses[1]:.3f}")


if __name__ == "__main__":
    main()
