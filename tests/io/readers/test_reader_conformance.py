"""Every source of this package keeps the promises of the Source protocol."""

from __future__ import annotations

from pathlib import Path

import pytest
import tifffile
import zarr
from PIL import Image

from napari_seamless.interfaces import Source
from napari_seamless.io.readers import MirrorTiled, open_image
from napari_seamless.io.readers.formats import FORMATS, ImageFormat, reader_of
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


class TestEveryFormat(SourceConformance):
    """Every line of the table, on an example of the reader's own."""

    @pytest.fixture(params=FORMATS, ids=lambda one: one.title, autouse=True)
    def _choose(self, request: pytest.FixtureRequest) -> None:
        self.format: ImageFormat = request.param
        if self.format.package:
            pytest.importorskip(self.format.package)

    def make_source(self, tmp_path: Path) -> Source:
        reader = reader_of(self.format)
        return reader.open_file(reader.write_example(tmp_path), None, None)


@pytest.mark.parametrize("one", [one for one in FORMATS if one.suffixes], ids=lambda one: one.title)
def test_an_example_is_opened_by_the_reader_that_the_table_names(one: ImageFormat, tmp_path: Path) -> None:
    if one.package:
        pytest.importorskip(one.package)
    reader = reader_of(one)
    path = reader.write_example(tmp_path)
    assert path.name.endswith(one.suffixes)
    opened, own = open_image(path), reader.open_file(path, None, None)
    assert type(opened) is type(own)
    assert opened.info == own.info


def test_titles_and_suffixes_come_once_in_the_table() -> None:
    assert len({one.title for one in FORMATS}) == len(FORMATS)
    suffixes = [suffix for one in FORMATS for suffix in one.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert suffixes == [suffix.lower() for suffix in suffixes]


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.title)
def test_what_a_line_of_the_table_names_is_in_the_table(one: ImageFormat) -> None:
    assert set(one.in_napari) <= set(one.suffixes)
    assert set(one.then) <= {other.title for other in FORMATS}
    assert bool(one.install) == bool(one.package)
