"""By how much the process grew while a run went on, on a CPU, where nobody counts what is torch's."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import napari_seamless as ns
from napari_seamless.runs.memory_growth import MemoryGrowth, growth_on

MEGABYTE = 2**20
# in a process of its own, which has not been as large before
TWO_RUNS = """
import json
import numpy as np
import psutil
import torch
import napari_seamless as ns

def network(channels):
    return torch.nn.Sequential(torch.nn.Conv2d(1, channels, 3), torch.nn.ReLU(), torch.nn.Conv2d(channels, 1, 3))

def run(channels, side):
    image = np.zeros((side, side), np.float32)
    return ns.run(network(channels), image, scheduler="serial", device="cpu", tile=side).report

run(2, 64)
before = psutil.Process().memory_info().rss
large = run(64, 1024)
status = open("/proc/self/status").read().split()
most = int(status[status.index("VmHWM:") + 1]) * 1024
small = run(2, 64)
print(json.dumps([large.growth, large.bytes, most - before, small.growth, large.memory]))
"""
# started by one that is larger than it will ever be
LARGE_PARENT = """
import subprocess
import sys

held = b"1" * (800 << 20)
subprocess.run([sys.executable, "-c", sys.argv[1]], check=True, close_fds=False)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system's own count is read from /proc")
def test_a_run_tells_by_how_much_the_process_grew() -> None:
    command = [sys.executable, "-c", LARGE_PARENT, TWO_RUNS]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    growth, predicted, counted, after, words = json.loads(told)
    assert growth > 64 * 1020**2 * 4, "the activations of the one tile were in memory"
    assert growth == pytest.approx(counted, abs=48 * MEGABYTE)
    assert predicted / 2 < growth < 2 * predicted
    assert after < growth / 4, "the next run, a small one, does not get the record of the one before"
    assert "predicted for tiles at most; the whole process grew by " in words
    assert "measured" not in words


class Sizes:
    """Stands for the system: what is resident now, and the most that ever was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.most = 100, 1000
        monkeypatch.setattr("napari_seamless.runs.memory_growth.resident", lambda: self.now)
        monkeypatch.setattr("napari_seamless.runs.memory_growth.most_resident", lambda: self.most)


def test_the_most_of_all_looks_counts_where_no_record_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = Sizes(monkeypatch)
    growth = MemoryGrowth()
    assert growth.bytes == 0
    for sizes.now in (150, 400, 90):
        growth.look()
    assert growth.bytes == 300


def test_a_record_that_is_broken_counts_though_nobody_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = Sizes(monkeypatch)
    growth = MemoryGrowth()
    sizes.most = 1200
    assert growth.bytes == 1100


def test_what_comes_after_the_end_is_no_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = Sizes(monkeypatch)
    growth = MemoryGrowth()
    sizes.now = 130
    growth.end()
    sizes.now, sizes.most = 5000, 5000
    growth.look()
    assert growth.bytes == 30


def test_every_tile_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(MemoryGrowth, "look", lambda _self: looks.append(1))
    report = ns.run(torch.nn.Conv2d(1, 1, 3), np.zeros((400, 400)), scheduler="serial", tile=64, device="cpu").report
    assert report.tiles > 10
    assert len(looks) >= report.tiles


def test_on_another_device_the_process_is_not_watched() -> None:
    assert growth_on(torch.device("cuda")) is None
