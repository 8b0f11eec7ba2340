"""What the numbers of a TIFF file mean, and which of its images is taken: right, told, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import napari_seamless as ns
from napari_seamless.errors import InputDamaged, InputUnreadable
from napari_seamless.geometry import Region

STEP = np.arange(32 * 32, dtype=np.uint32).reshape(32, 32)


def whole(path: Path, **options: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    source = ns.open_image(path, **options)
    pixels = source.read(Region.from_shape(source.info.levels.shape(0)))
    source.close()
    return pixels, source.info.notices


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_where_white_is_zero_pixels_are_those_that_another_program_shows(tmp_path: Path, dtype: str) -> None:
    stored = (STEP * (np.iinfo(dtype).max // 1024)).astype(dtype)
    tifffile.imwrite(tmp_path / "w.tif", stored, photometric="miniswhite", metadata=None)
    pixels, (notice,) = whole(tmp_path / "w.tif")
    np.testing.assert_array_equal(pixels[0], np.iinfo(dtype).max - stored)
    assert "WhiteIsZero" in notice
    if dtype == "uint8":
        np.testing.assert_array_equal(pixels[0], np.asarray(Image.open(tmp_path / "w.tif").convert("L")))


def test_of_12_bits_a_value_of_4095_is_turned_into_0(tmp_path: Path) -> None:
    stored = (STEP * 4).astype(np.uint16)
    stored[0, 0] = 4095
    options: Any = {"photometric": "miniswhite", "bitspersample": 12, "metadata": None}
    tifffile.imwrite(tmp_path / "w.tif", stored, **options)
    pixels, _ = whole(tmp_path / "w.tif")
    assert (pixels[0, 0, 0], pixels[0, 0, 1]) == (0, 4095 - 4)


def test_a_scanned_page_of_one_bit_has_white_paper(tmp_path: Path) -> None:
    ink = np.zeros((32, 40), bool)
    ink[4:8] = True
    tifffile.imwrite(tmp_path / "p.tif", ink, photometric="miniswhite", metadata=None)
    pixels, _ = whole(tmp_path / "p.tif")
    np.testing.assert_array_equal(pixels[0], ~ink)


def test_colours_of_a_palette_become_red_green_and_blue(tmp_path: Path) -> None:
    numbers = (STEP // 128).astype(np.uint8)
    picture = Image.fromarray(numbers, mode="P")
    palette = np.random.default_rng(0).integers(0, 255, (256, 3)).astype(np.uint8)
    picture.putpalette(palette.tobytes())
    picture.save(tmp_path / "p.tif")
    pixels, (notice,) = whole(tmp_path / "p.tif")
    np.testing.assert_array_equal(np.moveaxis(pixels, 0, -1), palette[numbers])
    info = ns.open_image(tmp_path / "p.tif").info
    assert (info.rgb, info.channels, info.dtype) == (True, 3, np.uint8)
    assert "palette" in notice


def test_a_table_of_colours_of_imagej_leaves_the_values(tmp_path: Path) -> None:
    table = np.zeros((3, 256), np.uint16)
    table[1] = np.arange(256) << 8
    values = (STEP % 256).astype(np.uint8)
    tifffile.imwrite(tmp_path / "g.tif", values, photometric="palette", colormap=table, metadata={"axes": "YX"})
    with tifffile.TiffFile(tmp_path / "g.tif") as file:
        assert not file.is_imagej
    description = "ImageJ=1.53t\nimages=1\n"
    options: Any = {"photometric": "palette", "colormap": table, "description": description, "metadata": None}
    tifffile.imwrite(tmp_path / "j.tif", values, **options)
    pixels, notices = whole(tmp_path / "j.tif")
    np.testing.assert_array_equal(pixels[0], values)
    assert any("its values are read" in notice for notice in notices)


def test_other_colours_are_told(tmp_path: Path) -> None:
    inks: Any = {"photometric": "separated", "metadata": None, "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((32, 32, 4), np.uint8), **inks)
    assert any("CMYK" in notice for notice in whole(tmp_path / "c.tif")[1])


def slide_behind_a_thumbnail(path: Path) -> np.ndarray:
    slide = np.random.default_rng(0).integers(0, 255, (1200, 1600, 3), np.uint8)
    with tifffile.TiffWriter(path) as writer:
        writer.write(slide[::16, ::16], photometric="rgb", metadata=None)
        writer.write(slide, photometric="rgb", tile=(256, 256), metadata=None)
        writer.write(slide[::4, ::4], photometric="rgb", tile=(256, 256), metadata=None, subfiletype=1)
    return slide


def test_the_largest_image_is_taken_and_the_others_are_listed(tmp_path: Path) -> None:
    slide = slide_behind_a_thumbnail(tmp_path / "s.tif")
    source = ns.open_image(tmp_path / "s.tif")
    assert source.info.levels.shapes == ((1200, 1600), (300, 400))
    assert (source.info.scenes, source.info.scene) == (("75 x 100", "1200 x 1600"), "1200 x 1600")
    assert any("holds 2 images" in notice for notice in source.info.notices)
    part = source.read(Region.of((5, 25), (7, 37)))
    np.testing.assert_array_equal(np.moveaxis(part, 0, -1), slide[5:25, 7:37])
    source.close()
    thumbnail = ns.open_image(tmp_path / "s.tif", scene=0)
    assert (thumbnail.info.levels.shapes, thumbnail.info.notices) == (((75, 100),), ())
    thumbnail.close()


def test_of_an_ome_tiff_the_largest_image_is_taken_too(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        writer.write(np.zeros((30, 40), np.uint8), metadata={"axes": "YX", "Name": "label"})
        writer.write(np.ones((300, 400), np.uint8), metadata={"axes": "YX", "Name": "slide"})
    info = ns.open_image(tmp_path / "a.ome.tif").info
    assert (info.scene, info.levels.shapes) == ("slide", ((300, 400),))


def test_pages_that_say_nothing_are_told_to_be_channels(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "p.tif") as writer:
        for value in (1, 2):
            writer.write(np.full((30, 40), value, np.uint8), metadata=None)
    pixels, notices = whole(tmp_path / "p.tif")
    assert len(pixels) == 2
    assert any("2 pages" in notice and "channels" in notice for notice in notices)


def test_a_set_of_files_with_one_missing_is_refused(tmp_path: Path) -> None:
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="40" SizeY="30" SizeZ="2" SizeC="1" SizeT="1">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
        '<TiffData IFD="0" FirstZ="0" PlaneCount="1"><UUID FileName="a.ome.tif">urn:uuid:a</UUID></TiffData>'
        '<TiffData IFD="0" FirstZ="1" PlaneCount="1"><UUID FileName="b.ome.tif">urn:uuid:b</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", np.ones((30, 40), np.uint8), description=xml, metadata=None, ome=False)
    with pytest.raises(InputDamaged, match="a set of planes must be complete"):
        ns.open_image(tmp_path / "a.ome.tif")


def test_arrays_of_one_size_are_no_levels() -> None:
    planes = [np.zeros((30, 40), np.uint8)] * 3
    with pytest.raises(InputUnreadable, match=r"levels, each smaller .* numpy\.stack"):
        ns.open_image(planes)


def philips(path: Path, spacing: tuple[float, ...]) -> None:
    part = (
        '<DataObject ObjectType="PixelDataRepresentation"><Attribute Name="DICOM_PIXEL_SPACING" Group="0x0028" '
        'Element="0x0030" PMSVR="IDoubleArray">&quot;{0}&quot; &quot;{0}&quot;</Attribute></DataObject>'
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport"><Attribute '
        'Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE" PMSVR="IDataObjectArray"><Array>'
        + "".join(part.format(size) for size in spacing)
        + "</Array></Attribute></DataObject>"
    )
    with tifffile.TiffWriter(path) as writer:
        for k in range(len(spacing)):
            options: Any = {"description": xml if k == 0 else f"level={k}", "software": "Philips DP v1.0"}
            page = np.zeros((1024 >> k, 1024 >> k, 3), np.uint8)
            writer.write(page, photometric="rgb", tile=(512, 512), metadata=None, subfiletype=int(k > 0), **options)


@pytest.mark.parametrize("spacing", [(0.00025, 0.0005), (0.00025,)])
def test_a_philips_slide_says_its_pixel_size_in_millimetres(tmp_path: Path, spacing: tuple[float, ...]) -> None:
    philips(tmp_path / "s.tiff", spacing)
    info = ns.open_image(tmp_path / "s.tiff").info
    assert info.pixel_size == pytest.approx((0.25, 0.25))
    assert info.format == ("Philips TIFF" if len(spacing) > 1 else "TIFF")


def test_an_aperio_slide_may_have_a_decimal_comma(tmp_path: Path) -> None:
    description = "Aperio Image Library v11.2.1\n46000x32914 [0,0 46000x32893] (240x240)|AppMag = 20|MPP = 0,4990"
    options: Any = {"description": description, "metadata": None, "photometric": "rgb"}
    tifffile.imwrite(tmp_path / "s.svs", np.zeros((64, 64, 3), np.uint8), tile=(32, 32), **options)
    assert ns.open_image(tmp_path / "s.svs").info.pixel_size == pytest.approx((0.499, 0.499))


@pytest.mark.parametrize(
    ("resolution", "unit", "size"),
    [
        ((72, 72), "INCH", None),
        ((1, 1), "CENTIMETER", None),
        ((40000, 40000), "NONE", None),
        ((101600, 101600), "INCH", 0.25),
        ((40000, 20000), "CENTIMETER", 0.25),
    ],
)
def test_a_resolution_is_a_pixel_size_where_it_has_a_unit_and_is_not_for_printers(
    tmp_path: Path, resolution: tuple[int, int], unit: str, size: float | None
) -> None:
    options: Any = {"resolution": resolution, "resolutionunit": unit, "metadata": None}
    tifffile.imwrite(tmp_path / "r.tif", np.zeros((8, 8), np.uint8), **options)
    found = ns.open_image(tmp_path / "r.tif").info.pixel_size
    assert (found and found[1]) == (None if size is None else pytest.approx(size))
