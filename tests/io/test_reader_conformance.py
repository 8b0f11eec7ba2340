"""Every source of this package keeps the promises of the Source protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_seamless.interfaces import Source
from napari_seamless.io.readers import MirrorTiled, open_image
from napari_seamless.testing.conformance import SourceConformance
from sources_oracle import texture


class TestArrays(SourceConformance):
    def make_source(self, tmp_path: Path) -> Source:  # noqa: ARG002
        return open_image([texture(60, 70, 3), texture(30, 35, 3)])


class TestTiff(SourceConformance):
    def make_source(self, tmp_path: Path) -> Source:
        with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
            options = {"tile": (32, 32), "compression": "zlib", "metadata": {"axes": "CZYX"}}
            tiff.write(texture(2, 5, 130, 99), subifds=1, **options)
            tiff.write(texture(2, 5, 65, 49), subfiletype=1, tile=(32, 32), compression="zlib")
        return open_image(tmp_path / "a.ome.tif")


class TestRawTiff(SourceConformance):
    def make_source(self, tmp_path: Path) -> Source:
        tifffile.imwrite(tmp_path / "a.tif", texture(50, 60, 3), photometric="rgb")
        return open_image(tmp_path / "a.tif")


class TestZarr(SourceConformance):
    def make_source(self, tmp_path: Path) -> Source:
        zarr.save_array(str(tmp_path / "a.zarr"), texture(6, 30, 40))
        return open_image(tmp_path / "a.zarr", axes="zyx")


class TestPicture(SourceConformance):
    def make_source(self, tmp_path: Path) -> Source:
        Image.fromarray(texture(30, 40, 3)).save(tmp_path / "a.png")
        return open_image(tmp_path / "a.png")


class TestMirrorTiled(SourceConformance):
    def make_source(self, tmp_path: Path) -> Source:  # noqa: ARG002
        return MirrorTiled(open_image([texture(60, 70, 3), texture(30, 35, 3)]), (1500, 1300))


class TestOpenSlide(SourceConformance):
    def make_source(self, tmp_path: Path) -> Source:
        pytest.importorskip("openslide")
        from napari_seamless.io.readers.openslide import OpenSlideSource

        with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
            base = np.ascontiguousarray(texture(300, 400, 3))
            tiff.write(base, tile=(64, 64), compression="jpeg", photometric="rgb", metadata=None)
        return OpenSlideSource(tmp_path / "a.tif")
