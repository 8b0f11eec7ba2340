"""A damaged chunk that blosc has packed is an error, and not the end of the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec

from napari_seamless.errors import InputDamaged
from napari_seamless.geometry import Region
from napari_seamless.io.blosc_frames import with_whole_frames
from napari_seamless.io.readers import open_image

PIXELS = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint16)
WHOLE = Region.of((0, 64), (0, 64))
KINDS: dict[str, dict[str, Any]] = {
    "zarr 2": {"zarr_format": 2, "compressors": "auto"},
    "zarr 3": {"zarr_format": 3, "compressors": [BloscCodec()]},
    "shards": {"zarr_format": 3, "compressors": [BloscCodec()], "shards": (64, 64)},
}


def written(path: Path, kind: str) -> zarr.Array[Any]:
    settings = KINDS[kind]
    if kind == "zarr 2":
        from numcodecs import Blosc

        settings = {**settings, "compressors": Blosc()}
    array = zarr.create_array(str(path), shape=(64, 64), chunks=(32, 32), dtype="u2", **settings)
    array[...] = PIXELS
    return array


def chunk_file(folder: Path) -> Path:
    return min(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith((".z", "zarr")))


LIES: dict[str, tuple[slice, str]] = {
    "its length": (slice(12, 16), r"says that it has 1073741824 bytes, and has \d+; copy it"),
    "what it holds": (slice(4, 8), r"says that it holds 1073741824 bytes in \d+; copy it"),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_of_blosc_that_lies_about_its_size_is_damaged(kind: str, lie: str, tmp_path: Path) -> None:
    written(tmp_path / "a.zarr", kind)
    file = chunk_file(tmp_path / "a.zarr")
    place, sentence = LIES[lie]
    content = bytearray(file.read_bytes())
    content[place] = (2**30).to_bytes(4, "little")
    file.write_bytes(content)
    with pytest.raises(InputDamaged, match=f"a chunk of blosc {sentence}"):
        open_image(tmp_path / "a.zarr").read(WHOLE)


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_blosc_are_read_as_before_and_keep_their_identity(kind: str, tmp_path: Path) -> None:
    array = written(tmp_path / "a.zarr", kind)
    careful = with_whole_frames(array)
    np.testing.assert_array_equal(careful[...], PIXELS)
    assert careful.metadata.to_dict() == array.metadata.to_dict()
    assert (careful.path, careful.store, careful.config) == (array.path, array.store, array.config)
    np.testing.assert_array_equal(open_image(tmp_path / "a.zarr").read(WHOLE)[0], PIXELS)


FUZZ = """
import sys
import numpy as np
from numcodecs import Blosc
from napari_seamless.io.blosc_frames import WholeBlosc
for number in range(3000):
    rng = np.random.default_rng(number)
    codec = WholeBlosc(cname=["lz4", "zstd", "zlib", "blosclz"][number % 4], blocksize=int(rng.choice([0, 256])))
    frame = bytearray(codec.encode(rng.integers(0, 50, 5000).astype(np.uint16)))
    at = rng.integers(min(40, len(frame)))
    frame[at : at + rng.integers(1, 2000)] = rng.bytes(rng.integers(1, 2000))
    frame[4:8] = (10_000).to_bytes(4, "little")
    try:
        codec.decode(bytes(frame))
    except (ValueError, RuntimeError):
        continue
"""


def test_no_damage_to_a_frame_ends_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", FUZZ], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
