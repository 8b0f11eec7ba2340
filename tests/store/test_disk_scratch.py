"""What lies on disk between two passes is read as it was written, or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seamless.errors import InputDamaged
from napari_seamless.store.disk_scratch import DiskScratch

SHAPES = [(1, 3, 90, 200), (1, 2, 5, 40, 70), (6, 9), (7,)]


def filled(folder: Path, shape: tuple[int, ...], dtype: str = "float32") -> tuple[DiskScratch, np.ndarray[Any, Any]]:
    """A scratch with one array, written in pieces that fit no grid."""
    pixels = np.random.default_rng(0).normal(size=shape).astype(dtype)
    scratch = DiskScratch(folder)
    scratch.create("a", shape, dtype)
    edges = [sorted({0, n // 3, 2 * n // 3, n}) if k > 1 else [0, n] for k, n in enumerate(shape)]
    for corner in np.ndindex(*(len(e) - 1 for e in edges)):
        at = tuple(slice(e[k], e[k + 1]) for e, k in zip(edges, corner, strict=True))
        scratch.write("a", at, pixels[at])
    return scratch, pixels


@pytest.mark.parametrize("shape", SHAPES)
def test_any_part_is_read_as_it_was_written_here_and_in_other_processes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    scratch, pixels = filled(tmp_path, shape)
    elsewhere = pickle.loads(pickle.dumps(scratch))

    @settings(max_examples=25, deadline=None)
    @given(st.data())
    def parts(data: st.DataObject) -> None:
        spans = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
        at = tuple(slice(lo, hi) for lo, hi in spans)
        for reader in (scratch, elsewhere):
            np.testing.assert_array_equal(reader.read("a", at), pixels[at])

    parts()
    scratch.remove()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_flipped_bit_is_found_wherever_it_is_read_and_harms_nothing_else(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    scratch, pixels = filled(tmp_path, shape)
    (file,) = scratch.folder.glob("*.raw")
    written = bytearray(file.read_bytes())
    place = len(written) * 2 // 3
    written[place] ^= 4
    file.write_bytes(bytes(written))
    stored = np.moveaxis(np.zeros(shape), 1, -1) if len(shape) > 2 else np.zeros(shape)
    stored = stored.copy()
    stored.reshape(-1)[place // pixels.itemsize] = 1
    turned = np.moveaxis(stored, -1, 1) if len(shape) > 2 else stored
    (hit,) = np.argwhere(turned)
    with pytest.raises(InputDamaged, match="saved activations are read as they were written"):
        scratch.read("a", tuple(slice(int(k), int(k) + 1) for k in hit))
    with pytest.raises(InputDamaged, match="run again, with another scratch folder"):
        scratch.read("a", tuple(slice(None) for _ in shape))
    if len(shape) > 2:
        elsewhere = (slice(None), slice(None), *(slice(0, n // 3) for n in shape[2:]))
        np.testing.assert_array_equal(scratch.read("a", elsewhere), pixels[elsewhere])


def test_a_piece_that_is_written_twice_counts_as_the_second_time(tmp_path: Path) -> None:
    scratch, pixels = filled(tmp_path, (1, 3, 90, 200))
    half = (slice(None), slice(None), slice(10, 70), slice(20, 150))
    scratch.write("a", half, pixels[half] + 1)
    pixels[half] += 1
    whole = tuple(slice(None) for _ in pixels.shape)
    np.testing.assert_array_equal(scratch.read("a", whole), pixels)
