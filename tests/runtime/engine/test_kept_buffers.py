"""Large buffers stay for the next layer, and do not add up from tile to tile."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

from napari_seamless.runtime.engine.allocator import GROWTH, KeptBuffers

MEGABYTE = 2**20
# in a process of its own: the heap of a long one has holes of any size, which a buffer may fall into
TWO_TILES = """
import json
import torch
from napari_seamless.runtime.engine.allocator import KeptBuffers, keep_large_buffers, resident

kept = KeptBuffers(keep_large_buffers())
sizes = [resident()]
for megabytes in (300, 600):
    torch.ones(megabytes << 20, dtype=torch.uint8)  # freed at once
    kept.settle()
    sizes.append(resident())
print(json.dumps(sizes))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc")
def test_what_one_tile_has_needed_is_kept_and_what_tiles_leave_beyond_it_is_given_back() -> None:
    said = subprocess.run([sys.executable, "-c", TWO_TILES], capture_output=True, text=True, check=True).stdout
    before, after_one, after_two = json.loads(said)
    assert after_one > before + 200 * MEGABYTE
    assert after_two < before + GROWTH


def test_where_buffers_are_not_kept_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_seamless.runtime.engine.allocator.resident", lambda: pytest.fail("was asked"))
    KeptBuffers(keeping=False).settle()
