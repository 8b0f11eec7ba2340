"""Large buffers stay for the next layer, and do not add up from tile to tile."""

from __future__ import annotations

import platform

import pytest
import torch

from napari_seamless.engine.allocator import GROWTH, KeptBuffers, keep_large_buffers, resident

MEGABYTE = 2**20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc")
def test_what_one_tile_has_needed_is_kept_and_what_tiles_leave_beyond_it_is_given_back() -> None:
    kept = KeptBuffers(keep_large_buffers())
    before = resident()
    torch.ones(300 * MEGABYTE, dtype=torch.uint8)  # freed at once
    kept.settle()
    assert resident() > before + 200 * MEGABYTE
    torch.ones(600 * MEGABYTE, dtype=torch.uint8)
    kept.settle()
    assert resident() < before + GROWTH


def test_where_buffers_are_not_kept_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_seamless.engine.allocator.resident", lambda: pytest.fail("was asked"))
    KeptBuffers(keeping=False).settle()
