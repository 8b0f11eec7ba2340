"""Kill a run at random moments, and start it again until it is finished: is the result that of an undisturbed run?

    python tests/builders/killing.py --kills 20 --seed 0     the command line on the sample slide (about five minutes)

A quarter of the kills come while the program starts, the others while it computes and writes. Every file of the result
is compared: chunks of all levels byte by byte, and the metadata but for what tells of the runs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from time import monotonic, sleep

import numpy as np

from napari_seamless.geometry import Region
from napari_seamless.interfaces import Pixels
from napari_seamless.runtime.executor.driver import Driver, RunEvents
from napari_seamless.runtime.executor.job import TileJob
from napari_seamless.runtime.executor.serial import SerialExecutor
from napari_seamless.runtime.executor.tile_queue import ViewFirstQueue
from napari_seamless.runtime.planning.order import view_first
from napari_seamless.store import StoreSpec, resume_or_create
from napari_seamless.testing.fakes import BoxBlurEngine, GradientSource

SHAPE = (1500, 1100)
PATIENCE = 120.0


class SlowSource(GradientSource):
    """Takes a little time, as a disk does."""

    def read(self, region: Region, level: int = 0) -> Pixels:
        sleep(0.004)
        return super().read(region, level)


def small_run(output: Path) -> None:
    """A run without a network, which starts in a second: 432 tiles, two levels."""
    spec = StoreSpec(SHAPE, None, np.dtype(np.float32), "image", "source", "program", chunk=64)
    store = resume_or_create(output, spec)
    queue = ViewFirstQueue(store.grid, Region.from_shape(SHAPE), store.finished, view_first, 64)
    job = TileJob(SlowSource(SHAPE), 0, BoxBlurEngine(SHAPE), store)
    Driver(job, queue, SerialExecutor(), events=RunEvents(on_end=store.close)).start().wait()


def killed_run(command: Sequence[str], output: Path, kills: int, seed: int, span: float) -> int:
    """Run a command that writes `output`, kill it `kills` times, then let it finish; how many kills hit it alive.

    A kill comes up to `span` seconds after the command has begun to write, or, of every four one, before.
    """
    draw, hits = Random(seed), 0
    for number in range(kills):
        before = size_of(output)
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        began = monotonic()
        while number % 4 and size_of(output) == before and child.poll() is None and monotonic() - began < PATIENCE:
            sleep(0.002)
        sleep(draw.uniform(0, span))
        hits += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
    subprocess.run(command, check=True, capture_output=True)
    return hits


def size_of(output: Path) -> int:
    """Of the journal: grows with every tile that is done. Folders come and go while it looks."""
    found = [Path(folder) / "journal" for folder, _, names in os.walk(output) if "journal" in names]
    return sum(journal.stat().st_size for journal in found if journal.parent.name == ".seamless")


def contents(output: Path) -> dict[str, object]:
    """Every file of a result but the journal's folder."""
    files = [f for f in output.rglob("*") if f.is_file() and ".seamless" not in f.parts]
    return {str(f.relative_to(output)): _told(f) if f.name == "zarr.json" else f.read_bytes() for f in files}


def _told(path: Path) -> object:
    """Metadata without how long it took."""
    found = json.loads(path.read_text())
    found.get("attributes", {}).get("napari-seamless", {}).get("provenance", {}).pop("run", None)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.small is not None:
        small_run(options.small)
        return
    command = [sys.executable, "-m", "napari_seamless"]
    slide = subprocess.run([*command, "sample"], check=True, capture_output=True, text=True).stdout.strip()
    work = [*command, "run", slide, "--model", "stain", "--tile", "128", "--device", "cpu", "--output"]
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder, "whole.ome.zarr"), Path(folder, "killed.ome.zarr")
        subprocess.run([*work, str(whole)], check=True, capture_output=True)
        hits = killed_run([*work, str(killed)], killed, options.kills, options.seed, span=0.6)
        first, second = contents(whole), contents(killed)
        different = [name for name in first.keys() | second.keys() if first.get(name) != second.get(name)]
    print(f"{hits} of {options.kills} kills hit a living run (seed {options.seed}); {len(first)} files, ", end="")
    print("all the same" if not different else f"{len(different)} differ: {different[:5]}")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
