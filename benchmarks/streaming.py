"""A training step on images that do not fit: plain torch against tiles with exact streaming gradients.

    python benchmarks/streaming.py                                512, 1024, 2048 both ways; then 8192 ours alone
    python benchmarks/streaming.py --sizes 1024 --large 16384 --budget 2GB --widths 16 32 64 128

A step is forwards, backwards and AdamW, of a U-Net without norms (`--widths`, 8 16 32 64), on the sample slide,
mirrored to the size asked for; the loss is the cross-entropy of dark pixels. Each step is a process of its own with one
thread; the peak of its resident memory is what the kernel says at its end, less what it had before the image was
touched. What the whole image would take is predicted as a tile's memory is, without computing it. Both ways of one size
are timed one after the other. The error is the largest difference of any parameter's gradient, as a share of that
parameter's largest.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def unit(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU()
    )


class UNet(nn.Module):
    """Ronneberger et al. 2015, small."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.down = nn.ModuleList(unit(i, o) for i, o in pairwise((3, *widths)))
        self.back = nn.ModuleList(unit(i + o, i) for i, o in pairwise(widths))
        self.head = nn.Conv2d(widths[0], 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x / 255
        skips = []
        for k, layer in enumerate(self.down):
            x = layer(F.max_pool2d(x, 2) if k else x)
            skips.append(x)
        for skip, layer in zip(skips[-2::-1], reversed(self.back), strict=True):
            x = layer(torch.cat([skip, F.interpolate(x, scale_factor=2.0)], 1))
        return self.head(x)  # type: ignore[no-any-return]


class Dark:
    """Which pixels of an image are dark, found out where it is asked for."""

    def __init__(self, image: Any) -> None:
        self.image, self.shape = image, image.shape[1:]

    def __getitem__(self, where: Any) -> np.ndarray[Any, Any]:
        from napari_seamless import Region

        box = Region.of(*((s.start, s.stop) for s in where[-2:]))
        return (self.image.read(box).float().mean(0) < 180).numpy().astype(np.int64)[None]


def step(way: str, size: int, budget: str, widths: Sequence[int], output: str | None) -> dict[str, Any]:
    """One step, in this process."""
    import napari_seamless as ns
    from napari_seamless.io.readers.samples import MirrorTiled, sample_slide
    from napari_seamless.training.gradients.images import LevelImage

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = UNet(widths)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    image = LevelImage(MirrorTiled(ns.open_image(sample_slide()), (size, size)))
    facts: dict[str, Any] = {"way": way, "size": size}
    if way == "streamed":
        stream = ns.StreamedGradient(network, budget=budget)
        facts |= {"tile": stream.edges_for(image.shape)[-1], "predicted": stream.predicted_bytes(image.shape)}
        stream.tile = size
        facts["whole"] = stream.predicted_bytes(image.shape)
        stream.tile = None
    before, began, cpu = psutil.Process().memory_info().rss, perf_counter(), process_time()
    if way == "streamed":
        loss = stream.loss(image, Dark(image), F.cross_entropy)
    else:
        whole = ns.Region.of((0, size), (0, size))
        loss = F.cross_entropy(network(image.read(whole).float()[None]), torch.from_numpy(Dark(image)[whole.slices()]))
    loss.backward()
    if output is not None:
        torch.save({name: p.grad for name, p in network.named_parameters()}, output)
    optimiser.step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    took = {"seconds": perf_counter() - began, "cpu": process_time() - cpu, "loss": loss.item()}
    return facts | took | {"before": before, "peak": peak}


def measured(way: str, size: int, options: argparse.Namespace, output: Path) -> dict[str, Any]:
    """One step, in a process of its own."""
    widths = [str(n) for n in options.widths]
    given = [
        "--way",
        way,
        "--sizes",
        str(size),
        "--budget",
        options.budget,
        "--output",
        str(output),
        "--widths",
        *widths,
    ]
    done = subprocess.run([sys.executable, __file__, *given], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    tile = f"{found['tile']}, {found['predicted'] / 1e6:.0f} MB" if "tile" in found else ""
    tile += f" (whole: {found['whole'] / 1e6:.0f} MB)" if "whole" in found else ""
    print(
        f"| {size} | {way} | {tile} | {(found['peak'] - found['before']) / 1e6:.0f} MB | {found['peak'] / 1e6:.0f} MB "
        f"| {found['seconds']:.1f} s | {found['cpu']:.1f} s | {found['loss']:.6f} |",
        end="",
        flush=True,
    )
    return found


def error(first: Path, second: Path) -> float:
    """The largest difference of gradients, as a share of a parameter's largest."""
    a, b = (torch.load(path, weights_only=True) for path in (first, second))
    return max(float((a[name] - b[name]).abs().max() / b[name].abs().max()) for name in b)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[512, 1024, 2048], help="sizes that fit both ways")
    parser.add_argument("--large", type=int, nargs="*", default=[8192], help="sizes for ours alone")
    parser.add_argument("--budget", default="500MB")
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16, 32, 64], help="channels of each level")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(step(options.way, options.sizes[0], options.budget, options.widths, options.output)))
        return
    print("| size | way | tile, predicted | above the start | peak memory | time | processor | loss | error |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        files = {way: Path(folder) / way for way in ("plain", "streamed")}
        for size in options.sizes:
            found = {}
            for way, file in files.items():
                found[way] = measured(way, size, options, file)
                print(f" {error(file, files['plain']):.1e} |", flush=True)
            plain, ours = (found[way]["peak"] - found[way]["before"] for way in ("plain", "streamed"))
            ratio = found["streamed"]["cpu"] / found["plain"]["cpu"]
            print(f"\n{size}: {1 - ours / plain:.1%} less memory, {ratio:.2f} times the processor time\n", flush=True)
        for size in options.large:
            measured("streamed", size, options, files["streamed"])
            print(" |", flush=True)


if __name__ == "__main__":
    main()
