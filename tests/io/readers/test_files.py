"""Pictures, OpenSlide, bioio, and paths that are no image."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_seamless.errors import InputDamaged, InputNotFound, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.io.readers import open_image, raster, sample_slide
from napari_seamless.io.readers.raster import RasterSource
from sources_oracle import assert_reads_equal, texture


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".gif"])
def test_a_picture_has_the_pixels_that_pillow_sees(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture{suffix}"
    Image.fromarray(texture(60, 70, 3)).save(path)
    with Image.open(path) as image:
        whole = np.moveaxis(np.array(image.convert("RGB")), 2, 0)
    source = open_image(path)
    assert source.info.rgb
    assert_reads_equal(source, whole, count=4)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_pixel_becomes_grey_or_red_green_blue(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.png")
    values = texture(30, 40, dtype="uint16") if mode == "I;16" else texture(30, 40, 3)
    image = Image.fromarray(values) if mode == "I;16" else Image.fromarray(values).convert(mode)
    image.save(path)
    source = open_image(path)
    grey = mode in ("L", "1", "LA", "I;16")
    assert (source.info.channels, source.info.rgb) == ((1, False) if grey else (3, True))
    if mode == "I;16":
        np.testing.assert_array_equal(source.read(Region.of((0, 30), (0, 40)))[0], values)


def test_colour_of_16_bits_keeps_them(tmp_path: Path) -> None:
    values = texture(20, 30, 3, dtype="uint16")
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(values))
    assert_reads_equal(open_image(tmp_path / "deep.png"), np.moveaxis(values, 2, 0), count=3)


def test_a_picture_travels(tmp_path: Path) -> None:
    Image.fromarray(texture(20, 30)).save(tmp_path / "a.png")
    copy = pickle.loads(pickle.dumps(open_image(tmp_path / "a.png")))
    assert_reads_equal(copy, texture(1, 20, 30), count=2)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_half_a_picture_is_damaged(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"half{suffix}"
    Image.fromarray(texture(200, 200, 3)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputDamaged, match=f"a picture must be complete to be read; half{suffix}"):
        open_image(path)


def test_a_picture_too_large_for_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(texture(100, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(raster, "LARGEST", 9_999)
    with pytest.raises(
        InputUnreadable, match=r"may have 9999 pixels at most; a.png has 10000; convert it to a tiled TIFF"
    ):
        RasterSource(tmp_path / "a.png")


def test_what_pillow_takes_for_a_bomb_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(texture(100, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6_000)
    assert open_image(tmp_path / "a.png").info.levels.shape(0) == (100, 100)  # Pillow only warns up to twice its limit
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)
    with pytest.raises(InputUnreadable, match=r"larger than Pillow allows.*tiled TIFF or to OME-Zarr"):
        open_image(tmp_path / "a.png")


def test_openslide_reads_the_slide_as_our_own_reader_does() -> None:
    pytest.importorskip("openslide")
    from napari_seamless.io.readers.openslide import OpenSlideSource

    slide, own = OpenSlideSource(sample_slide()), open_image(sample_slide())
    assert slide.info.levels.shape(0) == own.info.levels.shape(0)
    assert slide.info.pixel_size == own.info.pixel_size
    copy = pickle.loads(pickle.dumps(slide))
    for region in (Region.of((100, 400), (50, 600)), Region.of((2960, 2967), (2200, 2220))):
        np.testing.assert_array_equal(slide.read(region), own.read(region))
        np.testing.assert_array_equal(copy.read(region), own.read(region))
    for source in (slide, copy, own):
        source.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ome-types, in bioio's plug-in
def test_bioio_reads_what_it_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("bioio")
    from napari_seamless.io.readers.bioio import BioioSource

    values = texture(2, 5, 30, 40, dtype="uint16")
    metadata = {"axes": "CZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(tmp_path / "a.ome.tif", values, metadata=metadata)
    source = BioioSource(tmp_path / "a.ome.tif")
    assert source.info.pixel_size == (2.0, 0.5, 0.5)
    assert_reads_equal(source, values, count=3)
    assert_reads_equal(pickle.loads(pickle.dumps(source)), values, count=1)


def test_nothing_at_a_path_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"nothing is at .*missing.svs; check the path"):
        open_image(tmp_path / "missing.svs")
    with pytest.raises(FileNotFoundError, match="nothing is at"):
        open_image(str(tmp_path / "missing"))


@pytest.mark.parametrize("name", ["notes.txt", "notes.png", "notes.czi", "notes.tif"])
@pytest.mark.parametrize("content", [b"", b"these are no pixels at all\n" * 10])
def test_what_is_no_image_names_what_was_tried(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputUnreadable, match=r"zarr: .*TIFF: .*picture: .*OpenSlide: .*bioio: "):
        open_image(tmp_path / name)


def test_a_path_that_the_system_refuses_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(InputUnreadable, match=r"a path must be readable; .*File name too long"):
        open_image(tmp_path / ("a" * 5000))


def test_an_empty_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(InputUnreadable, match="zarr: not a folder with zarr metadata in it; TIFF: not a file"):
        open_image(tmp_path)


def test_a_slide_format_without_openslide_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slide.ndpi").write_bytes(sample_slide().read_bytes()[:1000])
    without(monkeypatch, "openslide")
    with pytest.raises(InputUnreadable, match=r'OpenSlide: not installed; pip install "napari-seamless\[slides\]"'):
        open_image(tmp_path / "slide.ndpi")


def test_an_unknown_format_without_bioio_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "image.lif").write_bytes(bytes(1000))
    without(monkeypatch, "bioio")
    with pytest.raises(InputUnreadable, match=r'bioio: not installed; pip install "napari-seamless\[bioio\]"'):
        open_image(tmp_path / "image.lif")


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """As if `package` were not installed."""
    from napari_seamless.io.readers import formats

    real: Any = formats.find_spec
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == package else real(name))
