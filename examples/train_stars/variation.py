"""Crops of annotated images, each with another place, size, turn, staining, light and camera."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from images import Picture
from torch.nn import functional

from napari_seamless.postprocess.polygons.from_labels import perfect_output

CROP = 192
"""Side of a crop, in pixels after scaling."""
MARGIN = 64
"""Pixels around a crop within which nuclei count for its targets."""
SCALES = {"stained": (0.5, 1.8), "fluorescence": (0.4, 2.0)}
"""How much smaller or larger a crop is made."""
WITH_NUCLEI = 0.9
"""Share of crops that must have some."""

Batch = tuple[torch.Tensor, torch.Tensor]
"""float32 (n, c, CROP, CROP) and targets (n, 1 + rays, CROP / 2, CROP / 2)."""


class Crops:
    """Batches by the number of the step, so that a training that goes on sees what it would have seen."""

    def __init__(self, pictures: Sequence[Picture], kind: str, count: int, seed: int) -> None:
        by_source: dict[str, list[Picture]] = defaultdict(list)
        for picture in pictures:
            by_source[picture.source].append(picture)
        self._sources = [by_source[source] for source in sorted(by_source)]
        # the square root: large sources weigh more, but a few images of another laboratory are not forgotten
        self._weights = np.sqrt([sum(p.labels.size for p in source) for source in self._sources])
        self._kind, self._count, self._seed = kind, count, seed

    def batch(self, step: int) -> Batch:
        random = np.random.default_rng((self._seed, step))
        limits = np.cumsum(self._weights / self._weights.sum())[:-1]
        draws = (np.arange(self._count) + random.random()) / self._count  # evenly: batches are alike
        chosen = [self._sources[s] for s in np.searchsorted(limits, draws)]
        pairs = [crop(some[random.integers(len(some))], self._kind, random) for some in chosen]
        return torch.stack([p for p, _ in pairs]), torch.stack([t for _, t in pairs])


def crop(picture: Picture, kind: str, random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """One crop (c, CROP, CROP) and its targets."""
    scale = float(np.exp(random.uniform(*np.log(SCALES[kind]))))
    pixels, labels = _cut(picture, scale, random)
    turns, flip = int(random.integers(4)), bool(random.integers(2))
    pixels, labels = torch.rot90(pixels, turns, (1, 2)), np.rot90(labels, turns)
    if flip:
        pixels, labels = pixels.flip(2), labels[:, ::-1]
    pixels = vary_stain(pixels, random) if kind == "stained" else vary_light(pixels, random)
    inner = slice(MARGIN // 2, (MARGIN + CROP) // 2)
    return vary_camera(pixels, random), torch.from_numpy(perfect_output(labels)[:, inner, inner])


def _cut(picture: Picture, scale: float, random: np.random.Generator) -> tuple[torch.Tensor, np.ndarray]:
    """A square of the image, scaled, and its labels with MARGIN more on every side; zeros beyond the image."""
    side, wide = round(CROP / scale), round(MARGIN / scale)
    for _ in range(8):
        corner = [int(random.integers(min(n - side, 0), max(n - side, 0) + 1)) for n in picture.labels.shape]
        if _window(picture.labels, corner, side).any() or random.random() > WITH_NUCLEI:
            break
    pixels = torch.from_numpy(_window(picture.pixels, corner, side))[None]
    labels = _window(picture.labels, [at - wide for at in corner], side + 2 * wide)
    full = CROP + 2 * MARGIN
    nearest = ((np.arange(full) + 0.5) * len(labels) / full).astype(int)
    scaled = functional.interpolate(pixels, size=(CROP, CROP), mode="bilinear", antialias=True)[0]
    return scaled, labels[np.ix_(nearest, nearest)]


def _window(image: np.ndarray, corner: Sequence[int], side: int) -> np.ndarray:
    """A square of an image (..., y, x) that begins at this corner; zeros beyond the image."""
    window = np.zeros((*image.shape[:-2], side, side), image.dtype)
    spans = [(max(at, 0), min(at + side, n)) for at, n in zip(corner, image.shape[-2:], strict=True)]
    inside = tuple(slice(low - at, high - at) for (low, high), at in zip(spans, corner, strict=True))
    window[(..., *inside)] = image[(..., *(slice(low, high) for low, high in spans))]
    return window


def vary_stain(x: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """Another staining and scanner: mix and scale the optical densities of the channels (0 is white, 1 black)."""
    density = -torch.log((1 - x).clamp(1 / 256, 1))
    mix = np.eye(3) + random.normal(0.0, 0.08, (3, 3))
    mix *= np.exp(random.uniform(-0.6, 0.6)) * np.exp(random.normal(0.0, 0.12, (3, 1)))
    density = torch.einsum("ij,jyx->iyx", torch.from_numpy(mix).float(), density)
    if random.random() < 0.35:
        density = density + _counterstain(random)
    white = random.uniform(0.85, 1.03)
    return (1 - white * torch.exp(-density)).clamp(0, 1)


def _counterstain(random: np.random.Generator) -> torch.Tensor:
    """Optical density (3, CROP, CROP) of clouds and fibres, pink to purple as by eosin."""
    cells = tuple(random.integers(3, 60, size=2))
    noise = torch.from_numpy(random.normal(random.uniform(-0.5, 1.5), 1.0, cells)).float()
    amount = functional.interpolate(noise[None, None], size=(CROP, CROP), mode="bicubic")[0]
    colour = random.uniform((0.05, 0.9, 0.1), (0.7, 1.1, 0.9)) * random.uniform(0.05, 0.5)
    return amount.clamp(0.0, 1.8) * torch.from_numpy(colour).float()[:, None, None]


def vary_light(x: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """Another exposure, contrast and background, as percentiles leave them."""
    x = x.clamp(min=0) ** random.uniform(0.6, 1.5)
    if random.random() < 0.3:
        cells = torch.from_numpy(random.uniform(0.0, 0.3, (3, 3))).float()
        x = x + functional.interpolate(cells[None, None], size=(CROP, CROP), mode="bicubic")[0]
    return x * np.exp(random.uniform(-0.7, 0.7)) + random.uniform(-0.08, 0.12)


def vary_camera(x: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """Blur or sharpening, noise, and now and then the loss of colour."""
    if random.random() < 0.4:
        blurred = _blur(x, random.uniform(0.4, 1.4))
        x = blurred if random.random() < 0.5 else x + random.uniform(0.3, 1.2) * (x - blurred)
    if random.random() < 0.3:
        x = x + torch.from_numpy(random.normal(0.0, random.uniform(0.004, 0.04), tuple(x.shape))).float()
    if random.random() < 0.05:
        x = x.mean(dim=0, keepdim=True).expand_as(x)
    return x.contiguous()


def _blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    steps = torch.arange(-3.0, 4.0)
    taps = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    padded = functional.pad(x[None], (3, 3, 3, 3), mode="reflect")
    return functional.conv2d(padded, kernel.expand(len(x), 1, 7, 7), groups=len(x))[0]
