"""Image files that ask for memory, time or depth: refused before they get it, or read at the cost of what is read."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import bombs
from napari_seamless.errors import LONGEST, InputDamaged, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.io.readers import open_image
from napari_seamless.io.readers.formats import FORMATS, open_as
from napari_seamless.runs.annotations import read_annotations


def corner(path: Path) -> np.ndarray:
    """The first pixels of an image."""
    source = open_image(path)
    try:
        return source.read(Region.of(*((0, min(n, 10)) for n in source.info.levels.shape(0))))
    finally:
        source.close()


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """tifffile writes a line for each thing that is wrong with a file."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@pytest.mark.timeout(60)  # some of them would never come to an end
@pytest.mark.filterwarnings("ignore")  # of other libraries, about broken files
@pytest.mark.parametrize("name", bombs.IMAGES)
def test_a_small_image_file_that_asks_for_much_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    path = bombs.IMAGES[name](tmp_path)
    with pytest.raises(InputUnreadable) as caught:
        corner(path)
    assert len(str(caught.value)) <= LONGEST
    assert str(caught.value).isprintable()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", bombs.HARMLESS)
def test_an_image_that_claims_much_costs_what_is_read_of_it(name: str, tmp_path: Path) -> None:
    pixels = corner(bombs.HARMLESS[name](tmp_path))
    assert pixels.shape[-2:] == (10, 10)
    assert not pixels.any()


@pytest.mark.parametrize("name", bombs.OUTLINES)
def test_outlines_that_lie_in_each_other_without_end_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="GeoJSON"):
        read_annotations(bombs.OUTLINES[name](tmp_path))


def test_pictures_that_are_large_and_full_are_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(np.tile(noise, (190, 190))).save(tmp_path / "full.png", compress_level=0)
    assert open_image(tmp_path / "full.png").info.levels.shape(0) == (12_160, 12_160)


def test_a_large_blank_slide_in_small_tiles_is_read(tmp_path: Path) -> None:
    blank = np.full((16, 256, 256), 255, np.uint8)
    tifffile.imwrite(
        tmp_path / "blank.tif", iter(np.tile(blank, (4, 1, 1))), shape=(2048, 2048), dtype="u1", tile=(256, 256),
        compression="zlib",
    )  # fmt: skip
    assert (corner(tmp_path / "blank.tif") == 255).all()


def test_a_plane_that_its_file_cannot_hold_is_refused_before_bioio_decodes_it(tmp_path: Path) -> None:
    pytest.importorskip("bioio")
    tifffile.imwrite(tmp_path / "wide.tif", np.zeros((32, 32), np.uint8), tile=(16, 16), metadata=None)
    with tifffile.TiffFile(tmp_path / "wide.tif", mode="r+") as tiff:
        tiff.pages[0].tags["ImageWidth"].overwrite(10**8, dtype="I")
    bioio = next(one for one in FORMATS if one.title == "bioio")
    with pytest.raises(InputDamaged, match=r"bioio decodes planes whole, .*; wide.tif has \d+ bytes for 3200000000;"):
        open_as(bioio, tmp_path / "wide.tif", None, None)
