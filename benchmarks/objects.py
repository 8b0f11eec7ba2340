"""How long does it take to make objects of a network's output, tile by tile, and how much does it keep?

Real label images are laid side by side and made into what a network that is right but for some noise would give. Times
are of one thread, of proposing, settling and painting, in milliseconds per million pixels.

    python benchmarks/objects.py folder/of/label/images --size 2048
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from itertools import cycle, product
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.measure import label

from napari_seamless.geometry import Region
from napari_seamless.postprocess.flood import DistanceFlood, HoverFlood
from napari_seamless.postprocess.flood.from_labels import perfect_distances, perfect_places
from napari_seamless.postprocess.polygons.from_labels import perfect_output
from napari_seamless.postprocess.polygons.step import StarPolygons
from napari_seamless.postprocess.step import Domain, PostprocessStep, Settled, TileOutput, cells_in
from napari_seamless.testing.step_run import in_order_of, square_tiles

Array = np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="label images, PNG")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--tiles", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--orders", nargs="+", default=["raster", "random"])
    options = parser.parse_args()
    labels = mosaic(sorted(options.folder.glob("*.png")), options.size)
    print(f"{labels.shape}, {labels.max()} nuclei, {np.mean(labels > 0):.0%} of pixels")
    kinds: dict[str, tuple[PostprocessStep, Callable[[Array], Array]]] = {
        "distances": (DistanceFlood(), distances_of),
        "hover": (HoverFlood(), places_of),
        "polygons": (StarPolygons(), stars_of),
    }
    for name, (step, output_of) in kinds.items():
        output = output_of(labels)
        timed(step, output[:, :256, :256], (256 // step.grid * step.grid,) * 2, 128, "raster")  # compiles
        for size in options.tiles:
            for order in options.orders:
                parts, objects, state = timed(step, output, labels.shape, size, order)
                shares = " + ".join(f"{1e9 * part / labels.size:4.0f}" for part in parts)
                whole = 1e9 * sum(parts) / labels.size
                print(
                    f"{name:10} tile {size:5} {order:7} {shares} = {whole:4.0f} ms/Mpx, {objects} objects, "
                    f"state at most {state / 1e6:.2f} MB"
                )


def mosaic(files: list[Path], size: int) -> Array:
    """Label images (y, x) of the commonest shape beside each other, again from the first if there are too few."""
    parts = [np.asarray(Image.open(file)).astype(np.int64) for file in files]
    ((height, width), _), *_ = Counter(part.shape for part in parts).most_common(1)
    same = cycle(part for part in parts if part.shape == (height, width))
    canvas, count = np.zeros((size + height, size + width), np.int64), 0
    for top, left in product(range(0, size, height), range(0, size, width)):
        part = next(same)
        canvas[top : top + height, left : left + width] = np.where(part, part + count, 0)
        count += int(part.max())
    return np.asarray(label(canvas[:size, :size], background=0, connectivity=1), np.int64)


def distances_of(labels: Array) -> Array:
    maps = perfect_distances(labels)
    return (maps * [[[0.9]], [[1]], [[1]]] + 0.5 * noise(maps.shape)).clip(0, 1).astype(np.float32)


def places_of(labels: Array) -> Array:
    maps = perfect_places(labels)
    return (maps * [[[0.9]], [[1]], [[1]]] + 0.5 * noise(maps.shape)).astype(np.float32)


def stars_of(labels: Array) -> Array:
    output = perfect_output(labels)
    output[0] = (output[0] + 0.8 * noise(output.shape[1:]) * (output[0] > 0)).clip(0, 1)
    output[1:] *= 1 + 0.8 * noise(output[1:].shape)
    return output.clip(0)


def noise(shape: tuple[int, ...]) -> Array:
    random = np.random.default_rng(0)
    return ndimage.gaussian_filter(random.normal(size=shape), (*[0] * (len(shape) - 2), 2, 2))


def timed(
    step: PostprocessStep, output: Array, shape: tuple[int, ...], size: int, order: str
) -> tuple[list[float], int, int]:
    """Seconds of proposing, settling and painting; how many objects; the largest state, in bytes."""
    domain = Domain.whole(shape)
    numbers = tuple(barrier.of(output, domain) for barrier in step.barriers)
    settler, parts, objects, state = step.begin(domain), [0.0, 0.0, 0.0], 0, 0

    def given(write: Region) -> TileOutput:
        tile = domain.tile(write, step.halo)
        return TileOutput(domain, tile, output[(slice(None), *cells_in(tile.read, step.grid).slices())], numbers)

    def take(settled: Settled) -> None:
        nonlocal objects
        objects += len(settled.objects)
        start = time.process_time()
        for one in settled.paintable:
            step.paint(one, None)
        parts[2] += time.process_time() - start

    for write in in_order_of(square_tiles(domain.region, size), order):
        tile = given(write)
        start = time.process_time()
        candidates = step.propose(tile)
        parts[0] += time.process_time() - start
        start = time.process_time()
        settled = settler.settle(candidates)
        parts[1] += time.process_time() - start
        take(settled)
        state = max(state, settler.state_bytes)
    take(settler.flush())
    return parts, objects, state


if __name__ == "__main__":
    main()
