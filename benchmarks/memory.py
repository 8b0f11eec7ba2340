"""Does memory grow with the image? The same run over a small and a large part of a 100 000 x 100 000 slide.

    python benchmarks/memory.py                     the `stain` model on 4 000 and 20 000 pixels square
    python benchmarks/memory.py --model nuclei --large 8000

The slide is the sample slide, mirrored again and again: 30 GB that are on no disk. Each run is a process of its own
that writes an OME-Zarr to a temporary folder; the peak of its resident memory is what the kernel says at its end.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Event, Thread
from time import perf_counter

import psutil

SLIDE = 100_000
ALLOWED = 300e6


def run(model: str, edge: int, tile: int | None) -> None:
    """Run over `edge` pixels square in the middle of the slide, and print what it took as JSON."""
    import napari_seamless as ns
    from napari_seamless.sources.samples import MirrorTiled, sample_slide

    slide = MirrorTiled(ns.open_image(sample_slide()), (SLIDE, SLIDE))
    prepared = ns.prepare(model, slide)
    before, began = psutil.Process().memory_info().rss, perf_counter()
    lo = (SLIDE - edge) // 2 // 1024 * 1024
    region = ns.Region.of((lo, lo + edge), (lo, lo + edge))
    course: list[int] = []
    over = Event()
    watch = Thread(target=_watch, args=(over, course), daemon=True)
    watch.start()
    with tempfile.TemporaryDirectory() as folder:
        handle = ns.start(prepared, region=region, tile=tile, device="cpu", output=Path(folder) / "result.ome.zarr")
        handle.wait()
        report = handle.result().report
    over.set()
    watch.join()
    quarters = [max(course[k * len(course) // 4 : (k + 1) * len(course) // 4 or 1]) for k in range(4)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    taken = {"before": before, "peak": peak, "quarters": quarters, "seconds": perf_counter() - began}
    print(json.dumps(taken | {"tiles": report.tiles, "tile": report.tile[-1], "predicted": report.bytes}))


def _watch(over: Event, course: list[int]) -> None:
    """The resident memory, ten times a second."""
    process = psutil.Process()
    while not over.wait(0.1) or len(course) < 4:
        course.append(process.memory_info().rss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="stain")
    parser.add_argument("--small", type=int, default=4_000)
    parser.add_argument("--large", type=int, default=20_000)
    parser.add_argument("--tile", type=int)
    parser.add_argument("--run", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options.model, options.run, options.tile)
        return
    peaks = []
    for edge in (options.small, options.large):
        given = ["--run", str(edge), "--model", options.model] + (["--tile", str(options.tile)] if options.tile else [])
        done = subprocess.run([sys.executable, __file__, *given], capture_output=True, text=True, check=True)
        taken = json.loads(done.stdout.splitlines()[-1])
        peaks.append(taken["peak"])
        course = " ".join(f"{q / 1e6:.0f}" for q in taken["quarters"])
        print(
            f"{options.model}, {edge:6} x {edge}: peak {taken['peak'] / 1e6:5.0f} MB "
            f"({taken['before'] / 1e6:.0f} MB before the first tile; largest in each quarter of the run {course}), "
            f"{taken['tiles']} tiles of {taken['tile']}, {taken['seconds']:.0f} s, "
            f"{edge**2 / taken['seconds'] / 1e6:.1f} megapixels a second",
            flush=True,
        )
    print(f"difference {(peaks[1] - peaks[0]) / 1e6:.0f} MB (allowed: {ALLOWED / 1e6:.0f} MB)")
    sys.exit(peaks[1] - peaks[0] > ALLOWED)


if __name__ == "__main__":
    main()
