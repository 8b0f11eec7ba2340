"""What an image says of the way in which it is stored."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import dask.array as da
import pytest
import tifffile
from PIL import Image

from napari_seamless.io.readers import image_objects, open_image, raster, sample_slide, tiff_stack
from sources_oracle import texture

Sizes = namedtuple("Sizes", "Z Y X")


def notices(what: object) -> tuple[str, ...]:
    source = open_image(what)
    source.close()
    return source.info.notices


def test_a_large_image_in_compressed_strips_is_said_to_be_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_stack, "LARGE", 10_000)
    tifffile.imwrite(
        tmp_path / "strips.tif", texture(120, 130, 3), photometric="rgb", rowsperstrip=40, compression="lzw"
    )
    tifffile.imwrite(tmp_path / "plain.tif", texture(120, 130), rowsperstrip=120)  # rows are read where they lie
    tifffile.imwrite(tmp_path / "tiles.tif", texture(120, 130), tile=(32, 32), compression="lzw")
    tifffile.imwrite(tmp_path / "small.tif", texture(12, 13), compression="lzw")
    assert notices(tmp_path / "strips.tif") == (
        "strips.tif is stored in strips of 40 x 130 pixels (0.0 MB each), which are decoded whole for every view and "
        "tile; save it as tiled TIFF or OME-Zarr to make reading many times faster",
    )
    assert [notices(tmp_path / f"{name}.tif") for name in ("plain", "tiles", "small")] == [(), (), ()]


def test_a_large_picture_says_what_memory_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(texture(100, 200, 3)).save(tmp_path / "a.png")
    assert notices(tmp_path / "a.png") == ()
    monkeypatch.setattr(raster, "LARGE", 50_000)
    assert "a.png was decoded whole and takes 0 MB of memory; convert it to" in notices(tmp_path / "a.png")[0]


def test_large_planes_of_bioio_are_said_to_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    image = SimpleNamespace(
        dims=SimpleNamespace(order="YX", Y=100, X=200),
        physical_pixel_sizes=Sizes(None, 0.5, 0.5),
        get_image_dask_data=lambda _: da.zeros((100, 200), dtype="u1"),
    )
    assert notices(image) == ()
    monkeypatch.setattr(image_objects, "LARGE", 10_000)
    assert "planes of 100 x 200 pixels, each of which is read whole" in notices(image)[0]


def test_a_slide_has_nothing_to_say() -> None:
    assert notices(sample_slide()) == ()
