"""Does memory grow with the image? The same run over slides of 10^6 to 10^10 pixels, with one budget.

    python benchmarks/memory.py                              a threshold over means of 3 x 3, up to 100 000 x 100 000
    python benchmarks/memory.py --places 5           only 5 x 5 squares of each large one, from corner to corner
    python benchmarks/memory.py --model nuclei --sizes 1e6 1e7 1e8

The slides are BigTIFFs of JPEG tiles, made from the sample slide's: 30 GB of pixels on few megabytes of disk. Each run
is a process of its own that writes a whole OME-Zarr to a temporary folder; the peak of its resident memory is what the
kernel says at its end. What a run may take is what the process took before its first tile, the budget, and ALLOWED:
decoded tiles of the slide (268 MB), chunks of the result on their way to the disk and after it (201 MB), its coarsest
level (67 MB), what libraries take at their first use, and holes in the heap.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any

import psutil
from reading import slide_of

SIZES = (1e6, 1e7, 1e8, 1e9, 1e10)
ALLOWED = 700e6
BUDGET = 250_000_000
SQUARE = 2048


def threshold() -> Any:
    """A network that is quick even on one core: whether the mean of 3 x 3 pixels and all colours is dark."""
    import torch

    class Threshold(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (torch.nn.functional.avg_pool2d(x.mean(1, keepdim=True), 3, 1, 1) < 180).to(torch.uint8)

    return Threshold()


def run(model: str, pixels: float, tile: int | None, places: int | None) -> None:
    """Run over a slide of so many pixels, or squares of it one after the other, and print what it took as JSON.

    The result, its levels and its journal are those of the whole slide, whatever is made of it.
    """
    import napari_seamless as ns

    edge = isqrt(round(pixels))
    course: list[int] = []
    over = Event()
    watch = Thread(target=_watch, args=(over, course), daemon=True)
    with tempfile.TemporaryDirectory() as folder:
        slide = ns.open_image(slide_of(edge, Path(folder) / "slide.tif"))
        prepared = ns.prepare(threshold() if model == "threshold" else model, slide)
        before, began = psutil.Process().memory_info().rss, perf_counter()
        watch.start()
        output = Path(folder) / "result.ome.zarr"
        reports = []
        for region in _squares(edge, places):
            handle = ns.start(prepared, region=region, tile=tile, budget=BUDGET, device="cpu", output=output)
            handle.wait()
            reports.append(handle.result().report)
    over.set()
    watch.join()
    quarters = [max(course[k * len(course) // 4 : (k + 1) * len(course) // 4 or 1]) for k in range(4)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    taken = {"edge": edge, "before": before, "peak": peak, "quarters": quarters, "seconds": perf_counter() - began}
    tiles, made = (sum(getattr(report, what) for report in reports) for what in ("tiles", "pixels"))
    last = reports[-1]
    print(json.dumps(taken | {"tiles": tiles, "tile": last.tile[-1], "made": made, "predicted": last.bytes}))


def _squares(edge: int, places: int | None) -> list[Any]:
    """The whole, or squares of SQUARE pixels an edge: in the corners, along the edges and between."""
    from napari_seamless.geometry import Region

    if places is None or edge <= places * SQUARE:
        return [Region.from_shape((edge, edge))]
    starts = [round(k * (edge - SQUARE) / (places - 1)) for k in range(places)]
    return [Region.of((y, y + SQUARE), (x, x + SQUARE)) for y in starts for x in starts]


def _watch(over: Event, course: list[int]) -> None:
    """The resident memory, ten times a second."""
    process = psutil.Process()
    while not over.wait(0.1) or len(course) < 4:
        course.append(process.memory_info().rss)


def measured(model: str, sizes: Sequence[float], tile: int | None, places: int | None) -> list[dict[str, Any]]:
    """What a run over each size took, each in a process of its own."""
    found = []
    for pixels in sizes:
        given = ["--run", str(pixels), "--model", model] + (["--tile", str(tile)] if tile else [])
        given += ["--places", str(places)] if places else []
        done = subprocess.run([sys.executable, __file__, *given], capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        taken = found[-1]
        course = " ".join(f"{q / 1e6:.0f}" for q in taken["quarters"])
        print(
            f"| {pixels:.0e} | {taken['edge']} x {taken['edge']} "
            f"| {taken['made']:.2g} "
            f"| {taken['tiles']} of {taken['tile']} | {taken['before'] / 1e6:.0f} MB | {taken['peak'] / 1e6:.0f} MB "
            f"| {course} | {taken['seconds']:.0f} s | {taken['made'] / taken['seconds'] / 1e6:.1f} |",
            flush=True,
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="threshold", help="a name of a model, or threshold")
    parser.add_argument("--sizes", type=float, nargs="+", default=SIZES, help="pixels of each slide")
    parser.add_argument("--tile", type=int)
    parser.add_argument("--places", type=int, help=f"so many squares of {SQUARE} pixels along each side, not the whole")
    parser.add_argument("--run", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options.model, options.run, options.tile, options.places)
        return
    print("| pixels | slide | made | tiles | before the first tile | peak | peak in each quarter, MB | time | MP/s |")
    print("|---|---|---|---|---|---|---|---|---|")
    found = measured(options.model, options.sizes, options.tile, options.places)
    most = max(taken["peak"] - taken["before"] for taken in found)
    print(f"\nat most {most / 1e6:.0f} MB above the start, with a budget of {BUDGET / 1e6:.0f} MB", end="")
    print(f" (allowed: {(BUDGET + ALLOWED) / 1e6:.0f} MB)")
    sys.exit(most > BUDGET + ALLOWED)


if __name__ == "__main__":
    main()
