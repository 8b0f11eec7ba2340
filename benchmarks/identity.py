"""What it costs to know that an image is still the same: digests and stamps, against runs without them.

    python benchmarks/identity.py               the sample slide, and an array of 8192 x 8192 in memory
    python benchmarks/identity.py --rounds 9

Both kinds of run are made in turns, in one process, with the same network and tiles; which comes first changes with the
round. A run without is one in which nothing is digested, stamped or looked at again: what each tile read goes
unrecorded, and any image is taken to be the one that was opened. Times are of the processor, which other programs
disturb less than the clock; of each kind the fastest is compared, and the spread of the rounds is the noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import process_time
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

import napari_seamless as ns
from napari_seamless.io.readers import sample_slide

EDGE, TILE = 8192, 1024


@contextmanager
def without_fingerprints() -> Iterator[None]:
    """Runs made meanwhile do not know what they were made of."""
    told: dict[str, Callable[..., Any]] = {
        "napari_seamless.runs.prepared.source_identity": lambda *_: "unknown",
        "napari_seamless.runs.source_check.source_identity": lambda *_: "unknown",
        "napari_seamless.runs.source_check.is_as_opened": lambda *_: True,
        "napari_seamless.runs.source_check.is_told_cheaply": lambda *_: True,
        "napari_seamless.runtime.executor.job.told": lambda *_: "",
    }
    with ExitStack() as stack:
        for name, instead in told.items():
            stack.enter_context(mock.patch(name, instead))
        yield


def network() -> nn.Module:
    """A small one: the larger the network, the less the rest counts."""
    torch.manual_seed(0)
    return nn.Sequential(nn.LazyConv2d(8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
                         nn.Conv2d(8, 1, 1)).eval()  # fmt: skip


def seconds(model: nn.Module, image: Any) -> float:
    """Of one run from an opened image to its report, into memory that is given back."""
    source = ns.open_image(image)
    begin = process_time()
    ns.run(model, source, tile=TILE, scheduler="serial", device="cpu")
    return process_time() - begin


def compare(name: str, image: Any, rounds: int) -> None:
    """Both kinds in turns, and a line about them."""
    model = network()
    with torch.no_grad():
        model(torch.zeros(1, ns.open_image(image).info.channels, 64, 64))
    taken: dict[bool, list[float]] = {True: [], False: []}
    seconds(model, image)
    for number in range(rounds):
        for has_prints in (True, False) if number % 2 else (False, True):
            with ExitStack() as stack:
                if not has_prints:
                    stack.enter_context(without_fingerprints())
                taken[has_prints].append(seconds(model, image))
    best = {kind: min(times) for kind, times in taken.items()}
    spread = {kind: f"{min(times):.2f} to {max(times):.2f} s" for kind, times in taken.items()}
    share = best[True] / best[False] - 1
    print(f"{name}: with {spread[True]}, without {spread[False]}; the fastest differ by {share:+.1%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    compare("sample slide", str(sample_slide()), rounds)
    compare(f"{EDGE} x {EDGE} in memory", np.random.default_rng(0).integers(0, 255, (EDGE, EDGE), np.uint8), rounds)


if __name__ == "__main__":
    main()
