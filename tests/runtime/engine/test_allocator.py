"""Large buffers are reused by the next layer, do not add up from tile to tile, and are let go of with the engine."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

from napari_seamless.runtime.engine.allocator import GROWTH, LargeBuffers, _configured

MEGABYTE = 2**20
# in a process of its own: the heap of a long one has holes of any size, which a buffer may fall into
TWO_TILES = """
import json
import torch
from napari_seamless.runtime.engine.allocator import LargeBuffers, resident

buffers = LargeBuffers(reuse=True)
sizes = [resident()]
for megabytes in (300, 600):
    torch.ones(megabytes << 20, dtype=torch.uint8)  # freed at once
    buffers.trim()
    sizes.append(resident())
print(json.dumps(sizes))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc")
def test_what_one_tile_has_needed_is_reused_and_what_tiles_leave_beyond_it_is_given_back() -> None:
    said = subprocess.run([sys.executable, "-c", TWO_TILES], capture_output=True, text=True, check=True).stdout
    before, after_one, after_two = json.loads(said)
    assert after_one > before + 200 * MEGABYTE
    assert after_two < before + GROWTH


def test_where_buffers_are_not_reused_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_seamless.runtime.engine.allocator.resident", lambda: pytest.fail("was asked"))
    LargeBuffers(reuse=False).trim()


LIVES = """
import json
import torch
from napari_seamless.runtime.engine.allocator import LargeBuffers, resident

def left_by_a_buffer():
    torch.ones(200 << 20, dtype=torch.uint8)  # freed at once
    return resident()

torch.ones(1)
sizes = [resident()]
first, second = LargeBuffers(reuse=True), LargeBuffers(reuse=True)
del first
sizes.append(left_by_a_buffer())
del second
sizes.append(left_by_a_buffer())
print(json.dumps(sizes))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc")
def test_buffers_are_reused_as_long_as_an_engine_lives_and_no_longer() -> None:
    said = subprocess.run([sys.executable, "-c", LIVES], capture_output=True, text=True, check=True).stdout
    before, while_it_lives, afterwards = json.loads(said)
    assert while_it_lives > before + 150 * MEGABYTE
    assert afterwards < before + GROWTH


def test_thresholds_go_back_to_what_the_process_was_started_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "123456")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=0x100:glibc.malloc.perturb=1")
    assert _configured("mmap_threshold") == 123456
    assert _configured("trim_threshold") == 256
    monkeypatch.delenv("GLIBC_TUNABLES")
    assert _configured("trim_threshold") is None
