"""What an image says of itself is the same after it was saved: every reader with every writer, and any unit.

Each source is an image of another reader that says as much as its format can: pixel size, unit, place, names and
colours of channels. A writer may use another unit, as long as lengths are the same.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import napari_seamless as ns
from napari_seamless.interfaces import ImageInfo
from napari_seamless.io.readers import formats as readers
from napari_seamless.io.writers import formats as writers
from napari_seamless.units import UNITS, micrometres_in, symbol_of

NAMES, COLOURS = ("nuclei", "actin"), ("#0000ff", "#12fe01")
PIXELS = np.arange(2 * 6 * 8, dtype=np.uint16).reshape(2, 6, 8)
LABELS = np.kron(np.array([[0, 1], [2, 0]], np.uint8), np.ones((8, 8), np.uint8))
PICTURES = [one for one in writers.FORMATS if "image" in one.kinds]


def in_micrometres(info: ImageInfo) -> tuple[Any, Any]:
    """Pixel size and origin in micrometres, or the origin in pixels."""
    factor = micrometres_in(info.unit)
    origin = info.origin or (0.0,) * info.ndim
    if info.pixel_size is None or factor is None:
        return None, origin
    return tuple(s * factor for s in info.pixel_size), tuple(o * factor for o in origin)


def assert_the_same(before: ImageInfo, after: ImageInfo) -> None:
    (size, origin), (new_size, new_origin) = in_micrometres(before), in_micrometres(after)
    assert new_size == (None if size is None else pytest.approx(size))
    assert new_origin == pytest.approx(origin)
    assert after.rgb == before.rgb
    if before.channel_names:
        assert after.channel_names == before.channel_names
    if before.channel_colours and not before.rgb:
        assert after.channel_colours == before.channel_colours


def ome_zarr(path: Path, pixels: Any, axes: str, size: dict[str, float], unit: str | None, at: Any = None) -> Path:
    group = zarr.open_group(path, mode="w")
    group.create_array("0", data=pixels)
    described: list[dict[str, Any]] = []
    for letter in axes:
        kind = {"name": letter, "type": "channel" if letter == "c" else "space"}
        described.append(kind | ({"unit": unit} if unit and letter in size else {}))
    steps = [{"type": "scale", "scale": [size.get(letter, 1.0) for letter in axes]}]
    if at is not None:
        steps.append({"type": "translation", "translation": [at.get(letter, 0.0) for letter in axes]})
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [{"axes": described, "datasets": datasets}]}
    if "c" in axes:
        ome["omero"] = {
            "channels": [
                {"label": name, "color": colour[1:].upper(), "window": {"min": 0, "max": 1, "start": 0, "end": 1}}
                for name, colour in zip(NAMES, COLOURS, strict=True)
            ]
        }
    group.attrs["ome"] = ome
    return path


def ome_tiff(path: Path, unit: str = "µm", **more: Any) -> Path:
    size = {f"PhysicalSize{a}": s for a, s in (("X", 0.25), ("Y", 0.5))}
    units = {f"PhysicalSize{a}Unit": unit for a in "XY"}
    at = {f"Position{a}": [n] * 2 for a, n in (("X", 100.0), ("Y", -7.5))} | {
        f"Position{a}Unit": [unit] * 2 for a in "XY"
    }
    signed = [int.from_bytes(bytes.fromhex(c[1:]) + b"\xff", "big", signed=True) for c in COLOURS]
    channels = {"Name": list(NAMES), "Color": signed}
    metadata = {"axes": "CYX", **size, **units, "Plane": at, "Channel": channels, **more}
    tifffile.imwrite(path, PIXELS, metadata=metadata)
    return path


SAYS_ALL: dict[str, Callable[[Path], Path]] = {
    "zarr": lambda folder: ome_zarr(
        folder / "i.ome.zarr", PIXELS, "cyx", {"y": 4, "x": 5}, "angstrom", {"y": 1000, "x": -20}
    ),
    "TIFF": lambda folder: ome_tiff(folder / "i.ome.tif"),
    "bioio": lambda folder: ome_tiff(folder / "i.ome.tif", "nm"),
    "aicsimageio": lambda folder: ome_tiff(folder / "i.ome.tif", "nm"),
}
"""An image of each reader that says something; the others' are the examples that they write."""


def image_of(reader: readers.ImageFormat, folder: Path) -> Any:
    if reader.package and find_spec(reader.package) is None:
        pytest.skip(f"{reader.package} is not installed")
    write = SAYS_ALL.get(reader.title, readers.reader_of(reader).write_example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return readers.open_as(reader, write(folder), None, None)


@pytest.mark.parametrize("writer", PICTURES, ids=lambda one: one.title)
@pytest.mark.parametrize("reader", readers.FORMATS, ids=lambda one: one.title)
def test_every_reader_and_writer_keep_what_an_image_says(
    tmp_path: Path, reader: readers.ImageFormat, writer: writers.OutputFormat
) -> None:
    source = image_of(reader, tmp_path)
    if reader.title in SAYS_ALL:
        assert (source.info.channel_names, source.info.channel_colours) == (NAMES, COLOURS)
        assert source.info.pixel_size
        assert any(source.info.origin)
    saved = ns.export(source, tmp_path / f"out{writer.suffixes[0]}")
    assert_the_same(source.info, ns.open_image(saved).info)
    source.close()


def test_outlines_are_in_pixels_of_the_image_whatever_its_unit_and_place(tmp_path: Path) -> None:
    for at in (None, {"y": 1000.0, "x": -20.0}):
        path = ome_zarr(tmp_path / f"{at is None}.zarr", LABELS, "yx", {"y": 4, "x": 5}, "nanometer", at)
        saved = ns.export(path, tmp_path / f"{at is None}.geojson", kind="labels")
        outlines = [feature["geometry"]["coordinates"][0] for feature in json.loads(saved.read_text())["features"]]
        assert {(min(outline)[0], min(outline)[1]) for outline in outlines} == {(8, 0), (0, 8)}


lengths = st.floats(1e-3, 1e4, allow_nan=False)


@pytest.mark.parametrize("writer", PICTURES, ids=lambda one: one.title)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    unit=st.sampled_from([*(unit.name for unit in UNITS), "pixel", None]),
    size=st.tuples(st.one_of(st.none(), lengths), lengths, lengths),
    at=st.one_of(st.none(), st.tuples(*[st.floats(-1e5, 1e5)] * 3)),
)
def test_any_unit_size_and_place_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    writer: writers.OutputFormat,
    unit: str | None,
    size: tuple[float | None, float, float],
    at: tuple[float, float, float] | None,
) -> None:
    folder = tmp_path_factory.mktemp("units")
    said = {letter: n for letter, n in zip("zyx", size, strict=True) if n is not None}
    place = None if at is None else {letter: n for letter, n in zip("zyx", at, strict=True) if letter in said}
    source = ns.open_image(ome_zarr(folder / "i.zarr", np.zeros((2, 3, 4), np.uint8), "zyx", said, unit, place))
    assert_the_same(source.info, ns.open_image(ns.export(source, folder / f"o{writer.suffixes[0]}")).info)


def test_a_part_of_a_result_says_in_ome_xml_where_it_lies(tmp_path: Path) -> None:
    import torch

    metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(tmp_path / "i.ome.tif", np.ones((400, 400), np.uint8), metadata=metadata)
    result = ns.run(torch.nn.Identity(), tmp_path / "i.ome.tif", output=tmp_path / "o.ome.zarr", scheduler="serial")
    result.save(tmp_path / "part.ome.tif", region=ns.Region.of((100, 200), (50, 250)))
    with tifffile.TiffFile(tmp_path / "part.ome.tif") as file:
        plane = tifffile.xml2dict(file.ome_metadata or "")["OME"]["Image"]["Pixels"]["Plane"]
    assert (plane["PositionX"], plane["PositionY"]) == (25, 50)
    assert (plane["PositionXUnit"], plane["PositionYUnit"]) == (symbol_of("micrometer"),) * 2
    assert ns.open_image(tmp_path / "part.ome.tif").info.origin == (50, 25)


def test_every_plane_of_a_stack_says_its_own_depth(tmp_path: Path) -> None:
    place = {"z": 10.0, "y": 1.0, "x": 2.0}
    pixels = np.zeros((2, 3, 4, 5), np.uint8)
    path = ome_zarr(tmp_path / "i.zarr", pixels, "czyx", {"z": 2.0, "y": 0.5, "x": 0.5}, "micrometer", place)
    saved = ns.export(path, tmp_path / "o.ome.tif")
    with tifffile.TiffFile(saved) as file:
        planes = tifffile.xml2dict(file.ome_metadata or "")["OME"]["Image"]["Pixels"]["Plane"]
    assert [(p["TheC"], p["TheZ"], p["PositionZ"]) for p in planes] == [
        (c, z, 10 + 2 * z) for c in range(2) for z in range(3)
    ]
    assert ns.open_image(saved).info.origin == (10, 1, 2)


def test_a_position_of_which_nobody_knows_the_frame_is_none(tmp_path: Path) -> None:
    metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "Plane": {"PositionX": [9.0]}}
    tifffile.imwrite(tmp_path / "i.ome.tif", np.ones((4, 4), np.uint8), metadata=metadata)
    assert ns.open_image(tmp_path / "i.ome.tif").info.origin == ()


def aperio(path: Path) -> Path:
    said = "Aperio Image Library v11.2.1\n8x6 [0,0 8x6] (16x16)|AppMag = 20|MPP = 0,4990"
    tifffile.imwrite(path, np.zeros((64, 80, 3), np.uint8), tile=(16, 16), description=said, metadata=None)
    return path


def philips(path: Path) -> Path:
    spacing = '<Attribute Name="DICOM_PIXEL_SPACING" Group="0x0028" Element="0x0030" PMSVR="IDoubleArray">'
    xml = (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport"><Attribute '
        'Name="PIM_DP_SCANNED_IMAGES" Group="0x301D" Element="0x1003" PMSVR="IDataObjectArray"><Array><DataObject '
        'ObjectType="DPScannedImage"><Attribute Name="PIM_DP_IMAGE_TYPE" Group="0x301D" Element="0x1004" '
        f'PMSVR="IString">WSI</Attribute>{spacing}"0.0005" "0.00025"</Attribute></DataObject></Array></Attribute>'
        "</DataObject>"
    )
    options: Any = {"tile": (16, 16), "metadata": None, "description": xml, "software": "Philips DP v1.0"}
    tifffile.imwrite(path, np.zeros((64, 80, 3), np.uint8), photometric="rgb", **options)
    return path


def in_inches(path: Path) -> Path:
    metadata = {"axes": "YX", "unit": "inch"}
    tifffile.imwrite(path, PIXELS[0], imagej=True, resolution=(50800, 25400), metadata=metadata)
    return path


def in_pixels(path: Path) -> Path:
    metadata = {"axes": "YX", "unit": "pixel"}
    tifffile.imwrite(path, PIXELS[0], imagej=True, resolution=(1, 1), metadata=metadata)
    return path


def without_depth(path: Path) -> Path:
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, np.zeros((3, 6, 8), np.uint8), metadata=metadata)
    return path


VENDORS: dict[str, tuple[str, Callable[[Path], Path], tuple[float, ...] | None]] = {
    "SVS with a decimal comma": ("a.svs", aperio, (0.499, 0.499)),
    "Philips": ("a.tiff", philips, (0.5, 0.25)),
    "inches": ("a.tif", in_inches, (1.0, 0.5)),
    "pixels": ("a.tif", in_pixels, None),
    "a stack of unknown depth": ("a.ome.tif", without_depth, (0.0, 0.5, 0.25)),
}
"""Files as programs and scanners write them, and micrometres a pixel."""


@pytest.mark.parametrize("writer", PICTURES, ids=lambda one: one.title)
@pytest.mark.parametrize("kind", VENDORS)
def test_the_pixel_size_of_other_programs_files_comes_back(
    kind: str, writer: writers.OutputFormat, tmp_path: Path
) -> None:
    name, write, size = VENDORS[kind]
    source = ns.open_image(write(tmp_path / name))
    assert source.info.pixel_size == (None if size is None else pytest.approx(size))
    assert_the_same(source.info, ns.open_image(ns.export(source, tmp_path / f"out{writer.suffixes[0]}")).info)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(40, 90),
    width=st.integers(40, 90),
    shape_of=st.sampled_from([lambda n: n // 2, lambda n: -(-n // 2), lambda n: -(-n // 32) * 16]),
    step=lengths,
)
def test_a_result_of_a_level_lies_where_the_level_does_however_its_size_was_rounded(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, shape_of: Callable[[int], int], step: float
) -> None:
    """Floored, rounded up, and padded to whole chunks: what the file says of levels counts, not their shapes."""
    folder = tmp_path_factory.mktemp("levels")
    group = zarr.open_group(folder / "i.zarr", mode="w")
    datasets = []
    for level, (rows, columns) in enumerate([(height, width), (shape_of(height), shape_of(width))]):
        group.create_array(str(level), data=np.ones((rows, columns), np.uint8))
        steps = [{"type": "scale", "scale": [step * 2**level] * 2}]
        steps.append({"type": "translation", "translation": [step * (2**level - 1) / 2] * 2})
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    source = ns.open_image(folder / "i.zarr")
    assert source.info.levels.scale(1) == (2, 2)
    saved = [ns.export(source, folder / f"o{suffix}", level=1) for suffix in (".ome.zarr", ".ome.tif")]
    for path in saved:
        size, origin = in_micrometres(ns.open_image(path).info)
        assert size == pytest.approx((2 * step,) * 2)
        assert origin == pytest.approx((step / 2,) * 2)


def test_angstroms_come_back_as_they_went(tmp_path: Path) -> None:
    path = ome_zarr(tmp_path / "i.ome.zarr", np.ones((64, 64), np.uint8), "yx", {"y": 4, "x": 4}, "angstrom")
    size = ns.open_image(ns.export(path, tmp_path / "o.ome.tif")).info.pixel_size
    assert size == pytest.approx((4e-4, 4e-4))
