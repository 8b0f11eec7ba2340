"""Broken files: a few hundred of those that `fuzzing.py` makes by the thousand, and the worst ones by hand."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import tifffile
import zarr

import fuzzing
from napari_seamless.errors import InputDamaged, InputUnreadable, SeamlessError
from napari_seamless.geometry import Region
from napari_seamless.io.readers import open_image, tiff_parsed, tiff_stack
from napari_seamless.io.readers.axes import AxisLayout
from napari_seamless.io.readers.tiff_colours import Meaning
from ome_zarr_images import ome_zarr
from sources_oracle import texture

PARTS = 6


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.filterwarnings("ignore")  # of other libraries, about broken files
def test_a_broken_file_is_refused_in_one_sentence_or_read_as_it_is_stored(part: int, tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for number, what, result in fuzzing.cases(tmp_path, seed=4, first=1000 * part, count=40):
        assert result in fuzzing.GOOD, f"case {number} of seed 4: {what}: {result}"
        seen[result] += 1
    assert seen["refused"] > seen.total() / 3


def test_a_failure_would_be_noticed(tmp_path: Path) -> None:
    good = texture(40, 50)
    tifffile.imwrite(tmp_path / "good.tif", good, tile=(16, 16), compression="zlib")
    base = fuzzing.Base(tmp_path / "good.tif", (good[None],))
    assert fuzzing.outcome(base.path, base) == "unharmed"
    assert fuzzing.outcome(base.path, fuzzing.Base(base.path, (good[None] + 1,))) == "as stored"
    (tmp_path / "bad.tif").write_bytes(base.path.read_bytes()[:300])
    assert fuzzing.outcome(tmp_path / "bad.tif", base) == "refused"


@pytest.mark.parametrize("photometric", ["miniswhite", "palette"])
def test_a_failure_would_be_noticed_where_pixels_are_turned_into_what_a_viewer_shows(
    photometric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = np.random.default_rng(0).integers(0, 2**16, (3, 256)).astype(np.uint16)
    table = {"colormap": colours} if photometric == "palette" else {}
    tifffile.imwrite(tmp_path / "a.tif", texture(40, 50, dtype="uint8"), photometric=photometric, **table)
    base = fuzzing.Base(tmp_path / "a.tif", ())
    assert fuzzing.outcome(base.path, base) == "as stored"
    right = Meaning.shown
    monkeypatch.setattr(Meaning, "shown", lambda self, pixels: right(self, pixels) ^ 1)
    assert fuzzing.outcome(base.path, base).startswith("silent: other pixels")


@pytest.mark.parametrize("problem", tiff_parsed.DAMAGE)
def test_a_fault_of_this_package_is_not_taken_for_a_damaged_file(
    problem: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise problem("a fault of ours")

    tifffile.imwrite(tmp_path / "a.tif", texture(40, 50), tile=(16, 16))
    monkeypatch.setattr(tiff_stack, "_page_order", broken)
    with pytest.raises(problem, match="a fault of ours"):
        open_image(tmp_path / "a.tif")


def test_a_fault_of_this_package_is_not_taken_for_a_damaged_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise TypeError("a fault of ours")

    zarr.save_array(str(tmp_path / "a.zarr"), texture(20, 30))
    source = open_image(tmp_path / "a.zarr")
    monkeypatch.setattr(AxisLayout, "arranged", broken)
    with pytest.raises(TypeError, match="a fault of ours"):
        source.read(Region.from_shape((20, 30)))


def test_a_fault_of_tifffile_is_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("tags contradict each other")

    tifffile.imwrite(tmp_path / "a.tif", texture(40, 50), tile=(16, 16))
    monkeypatch.setattr(tifffile.TiffFile, "series", property(broken))
    with pytest.raises(InputDamaged, match=r"must be consistent; a\.tif: ZeroDivisionError tags contradict"):
        open_image(tmp_path / "a.tif")


def damaged_levels(path: Path, shapes: list[tuple[int, int]]) -> None:
    ome_zarr(path, [texture(*shape) for shape in shapes], "yx", "0.5")


@pytest.mark.parametrize(
    "shapes", [[(10, 10), (40, 40)], [(40, 40), (10, 10), (20, 20)], [(40, 40), (20, 50)]], ids=repr
)
def test_levels_in_the_wrong_order_are_refused(shapes: list[tuple[int, int]], tmp_path: Path) -> None:
    damaged_levels(tmp_path / "a.zarr", shapes)
    with pytest.raises(InputUnreadable, match=r"levels of an image must be given finest first.*sort them"):
        open_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("size", [-1, -(2**40), 0, 0.5, None, "many", 1e300])
def test_a_size_that_cannot_be_is_refused(size: Any, tmp_path: Path) -> None:
    zarr.save_array(str(tmp_path / "a.zarr"), texture(20, 30))
    path = tmp_path / "a.zarr" / "zarr.json"
    metadata = json.loads(path.read_text())
    metadata["shape"][0] = size
    path.write_text(json.dumps(metadata))
    with pytest.raises(SeamlessError, match=r"zarr metadata must be valid|at least one level with pixels"):
        open_image(tmp_path / "a.zarr")


def test_a_trillion_pixels_of_zarr_cost_what_is_read(tmp_path: Path) -> None:
    zarr.create_array(str(tmp_path / "a.zarr"), shape=(10**6, 10**6), chunks=(512, 512), dtype="u1", fill_value=9)
    source = open_image(tmp_path / "a.zarr")
    assert (source.read(Region.of((10**6 - 5, 10**6), (0, 5))) == 9).all()


def test_a_tiff_that_claims_a_trillion_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, texture(40, 50), tile=(16, 16), compression="zlib", bigtiff=True)
    for tag in ("ImageWidth", "ImageLength"):
        with tifffile.TiffFile(path, mode="r+") as tiff:
            tiff.pages[0].tags[tag].overwrite(10**6, dtype="I")
    with pytest.raises(InputUnreadable, match="must say where each piece lies"):
        open_image(path)


def test_a_level_that_is_missing_or_of_another_type_is_refused(tmp_path: Path) -> None:
    damaged_levels(tmp_path / "a.zarr", [(40, 40), (20, 20)])
    shutil.rmtree(tmp_path / "a.zarr" / "s1")
    zarr.save_array(str(tmp_path / "a.zarr" / "s1"), np.zeros((20, 20), "f4"))
    with pytest.raises(InputUnreadable, match="same axes, channels and data type"):
        open_image(tmp_path / "a.zarr")
    shutil.rmtree(tmp_path / "a.zarr" / "s1")
    with pytest.raises(InputUnreadable, match=r"must follow the specification.*s1"):
        open_image(tmp_path / "a.zarr")


def test_a_chunk_that_says_it_holds_less_than_nothing_is_damaged(tmp_path: Path) -> None:
    codec = numcodecs.Blosc(cname="lz4")
    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=(20, 30), dtype="u1", zarr_format=2, compressors=codec)
    array[...] = texture(20, 30)
    (chunk,) = (path for path in (tmp_path / "a.zarr").iterdir() if path.name[0] != ".")
    held = bytearray(chunk.read_bytes())
    held[7] = 255  # the highest byte of how many there are
    chunk.write_bytes(held)
    with pytest.raises(InputDamaged, match=r"every chunk must decode; a\.zarr, level 0"):
        open_image(tmp_path / "a.zarr").read(Region.from_shape((20, 30)))
