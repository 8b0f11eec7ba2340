"""TIFF regions against whole images read by tifffile."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_seamless.errors import BadRequest, InputDamaged, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.io.readers import file_access, open_image, sample_slide
from napari_seamless.io.readers.tiff import TiffSource
from sources_oracle import assert_reads_equal, random_regions, texture

RGB = {"photometric": "rgb"}


@dataclass(frozen=True)
class Case:
    name: str
    shape: tuple[int, ...]
    dtype: str = "uint8"
    options: dict[str, Any] = field(default_factory=dict)
    last: bool = False  # colours come last in what tifffile gives back


CASES = [
    Case("tiled deflate", (173, 201), options={"tile": (32, 48), "compression": "zlib"}),
    Case("tiled LZW with predictor", (173, 201), "uint16", {"tile": (64, 16), "compression": "lzw", "predictor": True}),
    Case("tiled zstd float", (90, 70), "float32", {"tile": (32, 32), "compression": "zstd", "predictor": True}),
    Case("tiled uncompressed", (100, 131), "uint16", {"tile": (32, 32)}),
    Case("tiled JPEG RGB", (150, 170, 3), options={"tile": (64, 64), "compression": "jpeg", **RGB}, last=True),
    Case("tiled JPEG grey", (150, 170), options={"tile": (64, 64), "compression": "jpeg"}),
    Case("tiled JPEG 2000", (150, 170, 3), options={"tile": (64, 64), "compression": "jpeg2000", **RGB}, last=True),
    Case("strips LZW", (173, 201, 3), options={"rowsperstrip": 7, "compression": "lzw", **RGB}, last=True),
    Case("strips uncompressed", (173, 201), "int16", {"rowsperstrip": 7}),
    Case("one strip uncompressed", (173, 201, 3), options={"rowsperstrip": 173, **RGB}, last=True),
    Case("big endian strips", (61, 40), "uint16", {"byteorder": ">"}),
    Case("big endian tiles", (61, 40), "float32", {"byteorder": ">", "tile": (16, 16)}),
    Case("BigTIFF", (61, 40), "uint32", {"bigtiff": True, "tile": (16, 16)}),
    Case(
        "planar tiles",
        (3, 100, 90),
        options={"tile": (32, 32), "planarconfig": "separate", "compression": "zlib", **RGB},
    ),
    Case("planar strips", (3, 100, 90), options={"planarconfig": "separate", "rowsperstrip": 9, **RGB}),
    Case("smaller than a tile", (5, 3), options={"tile": (32, 32), "compression": "zlib"}),
    Case("one pixel", (1, 1)),
    Case("bilevel", (50, 60), "bool", {"rowsperstrip": 10}),
    Case("12 bits packed", (50, 60), "uint16", {"rowsperstrip": 10, "bitspersample": 12}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_any_region_has_the_pixels_of_the_whole_image(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    values = texture(*case.shape, dtype="uint8" if case.dtype == "bool" else case.dtype)
    if "bitspersample" in case.options:
        values >>= 4
    tifffile.imwrite(path, values > 127 if case.dtype == "bool" else values, **case.options)
    whole = tifffile.imread(path)
    source = open_image(path)
    assert_reads_equal(source, np.moveaxis(whole, -1, 0) if case.last else whole.reshape(-1, *whole.shape[-2:]))
    source.close()


def test_a_slide_reads_as_tifffile_reads_it_whole() -> None:
    source = open_image(sample_slide())
    assert source.info.format == "Aperio SVS"
    assert source.info.rgb
    assert source.info.pixel_size == (0.499, 0.499)
    assert len(source.info.levels) == 1  # thumbnail, label and macro are no levels
    assert_reads_equal(source, np.moveaxis(tifffile.imread(sample_slide()), 2, 0), count=25)
    source.close()


def test_four_threads_read_the_same_pixels_as_one() -> None:
    whole = np.moveaxis(tifffile.imread(sample_slide()), 2, 0)
    source = TiffSource(sample_slide(), cache_bytes=4 << 20)  # so small that pieces are thrown out all the time
    wrong: list[Region] = []

    def read(seed: int) -> None:
        for region in random_regions(whole.shape[1:], 10, seed):
            if not np.array_equal(source.read(region), whole[(slice(None), *region.slices())]):
                wrong.append(region)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    source.close()


def test_a_source_that_travelled_to_another_process_reads_the_same() -> None:
    source = open_image(sample_slide())
    copy = pickle.loads(pickle.dumps(source))
    region = Region.of((100, 400), (1500, 1900))
    np.testing.assert_array_equal(copy.read(region), source.read(region))
    assert copy.info == source.info
    copy.close()
    source.close()


def test_a_caller_may_write_into_what_it_read() -> None:
    source = open_image(sample_slide())
    region = Region.of((0, 100), (0, 100))
    first = source.read(region)
    before = first.copy()
    first[...] = 7
    np.testing.assert_array_equal(source.read(region), before)
    source.close()


def pyramid(path: Path, base: np.ndarray, levels: int, **options: Any) -> list[np.ndarray]:
    """An image with its levels in SubIFDs."""
    images = [np.ascontiguousarray(base[..., :: 2**k, :: 2**k]) for k in range(levels)]
    with tifffile.TiffWriter(path, ome=path.name.endswith(".ome.tif")) as tiff:
        tiff.write(images[0], subifds=levels - 1, tile=(32, 32), **options)
        for image in images[1:]:
            tiff.write(image, subfiletype=1, tile=(32, 32), **{k: v for k, v in options.items() if k != "metadata"})
    return images


def test_channels_and_planes_of_an_ome_tiff_pyramid_are_found_at_every_level(tmp_path: Path) -> None:
    path = tmp_path / "stack.ome.tif"
    metadata = {
        "axes": "CZYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 250, "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 1.5, "PhysicalSizeZUnit": "µm",
        "Channel": {"Name": ["nuclei", "membrane"]},
    }  # fmt: skip
    images = pyramid(path, texture(2, 5, 130, 99, dtype="uint16"), 3, compression="zlib", metadata=metadata)
    source = open_image(path)
    assert source.info.format == "OME-TIFF"
    assert source.info.pixel_size == (1.5, 0.25, 0.25)
    assert source.info.channel_names == ("nuclei", "membrane")
    for level, image in enumerate(images):
        assert_reads_equal(source, image, level)
    source.close()


def test_the_first_time_point_is_read(tmp_path: Path) -> None:
    path = tmp_path / "movie.ome.tif"
    values = texture(3, 2, 4, 40, 50)
    tifffile.imwrite(path, values.transpose(0, 2, 1, 3, 4), metadata={"axes": "TZCYX"}, tile=(16, 16))
    source = open_image(path)
    assert_reads_equal(source, values[0])
    source.close()


def test_an_ome_tiff_in_several_files_is_one_image(tmp_path: Path) -> None:
    values = texture(2, 40, 50)
    planes = "".join(
        f'<TiffData FirstC="{c}" IFD="0"><UUID FileName="c{c}.ome.tif">urn:uuid:{c}</UUID></TiffData>' for c in range(2)
    )
    for c in range(2):
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{c}"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="50" SizeY="40" SizeZ="1" SizeC="2"'
            ' SizeT="1">'
            f'<Channel ID="Channel:0:0"/><Channel ID="Channel:0:1"/>{planes}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / f"c{c}.ome.tif", values[c], description=xml, metadata=None, tile=(16, 16))
    source = open_image(tmp_path / "c0.ome.tif")
    assert_reads_equal(source, values)
    source.close()


def test_an_rgb_ome_tiff_pyramid_has_three_channels(tmp_path: Path) -> None:
    path = tmp_path / "rgb.ome.tif"
    base = texture(120, 140, 3)
    images = [base, np.ascontiguousarray(base[::2, ::2])]
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(images[0], subifds=1, tile=(32, 32), compression="jpeg", metadata={"axes": "YXS"}, **RGB)
        tiff.write(images[1], subfiletype=1, tile=(32, 32), compression="jpeg", **RGB)
    with tifffile.TiffFile(path) as tiff:
        wholes = [np.moveaxis(level.asarray(), 2, 0) for level in tiff.series[0].levels]
    source = open_image(path)
    assert source.info.rgb
    for level, whole in enumerate(wholes):
        assert_reads_equal(source, whole, level)
    source.close()


@pytest.mark.parametrize("steps", [(1, 2, 4), (1, 4, 8), (1, 8), (1, 3, 24)])
@pytest.mark.parametrize("reduced", [True, False])
def test_pages_of_decreasing_size_are_levels(steps: tuple[int, ...], reduced: bool, tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    images = [texture(480 // step, 960 // step, 3) for step in steps]
    with tifffile.TiffWriter(path) as tiff:
        for k, image in enumerate(images):
            tiff.write(image, tile=(64, 64), subfiletype=1 if k and reduced else 0, metadata=None, **RGB)
        tiff.write(texture(60, 60, 3), tile=(64, 64), metadata=None, **RGB)
        tiff.write(texture(120, 240, 3), metadata=None, **RGB)  # a thumbnail, in strips
    source = open_image(path)
    assert len(source.info.levels) == len(images)
    for level, image in enumerate(images):
        assert_reads_equal(source, np.moveaxis(image, 2, 0), level, count=3)
    source.close()


def test_a_slide_pyramid_has_its_levels_without_thumbnail_and_label(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.svs"
    description = "Aperio Image Library v11.2.1 \r\n2000x1601 |AppMag = 20|MPP = 0.2510"
    options = {"metadata": None, "description": description, "compression": "jpeg", **RGB}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(texture(1601, 2000, 3), tile=(256, 256), **options)
        tiff.write(texture(400, 500, 3, seed=1), **options)
        tiff.write(texture(400, 500, 3), tile=(256, 256), **options)
        tiff.write(texture(100, 125, 3), tile=(256, 256), **options)
        tiff.write(texture(50, 70, 3), subfiletype=1, **options)
    with tifffile.TiffFile(path) as tiff:
        wholes = [np.moveaxis(level.asarray().squeeze(), 2, 0) for level in tiff.series[0].levels]
    source = open_image(path)
    assert source.info.levels.shapes == ((1601, 2000), (400, 500), (100, 125))
    assert source.info.pixel_size == (0.251, 0.251)
    for level, whole in enumerate(wholes):
        assert_reads_equal(source, whole, level, count=4)
    source.close()


def test_alpha_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rgba.tif"
    values = texture(50, 60, 4)
    tifffile.imwrite(path, values, photometric="rgb", extrasamples=["unassalpha"], tile=(16, 16))
    source = open_image(path)
    assert_reads_equal(source, np.moveaxis(values[:, :, :3], 2, 0))
    source.close()


def test_tiles_that_were_never_written_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    values = texture(96, 96)
    values[32:64] = 0
    values[:32, 64:] = 0
    tiles = (values[y : y + 32, x : x + 32] for y in (0, 32, 64) for x in (0, 32, 64))
    tifffile.imwrite(
        path,
        (t if t.any() else None for t in tiles),
        shape=values.shape,
        dtype="uint8",
        tile=(32, 32),
        compression="zlib",
    )
    with tifffile.TiffFile(path) as tiff:
        assert 0 in tiff.pages[0].databytecounts
    source = open_image(path)
    assert_reads_equal(source, values[None])
    source.close()


def test_an_imagej_stack_is_a_volume_with_its_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    values = texture(6, 50, 40, dtype="uint16")
    metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(path, values, imagej=True, resolution=(4, 4), metadata=metadata)
    source = open_image(path)
    assert source.info.pixel_size == (2.0, 0.25, 0.25)
    assert_reads_equal(source, values[None])
    source.close()


def test_an_imagej_hyperstack_of_one_directory_has_all_its_planes(tmp_path: Path) -> None:
    path = tmp_path / "hyperstack.tif"
    values = texture(2, 5, 3, 20, 30)
    tifffile.imwrite(path, values, imagej=True, metadata={"axes": "TZCYX"}, truncate=True)
    source = open_image(path)
    assert_reads_equal(source, values[0].transpose(1, 0, 2, 3))
    source.close()


def test_a_tiled_volume_is_read_through_its_depth(tmp_path: Path) -> None:
    path = tmp_path / "volume.tif"
    values = texture(20, 50, 40)
    tifffile.imwrite(path, values, tile=(8, 16, 16), volumetric=True, compression="zlib")
    source = open_image(path)
    assert_reads_equal(source, values[None])
    source.close()


def test_nameless_pages_are_refused_until_axes_say_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    values = texture(7, 30, 20)
    tifffile.imwrite(path, values, photometric="minisblack")
    with pytest.raises(BadRequest, match=r'the pages of a TIFF file must say what they are.*axes="zyx"'):
        open_image(path)
    with pytest.raises(BadRequest, match="one letter for each axis"):
        open_image(path, axes="yx")
    for axes, expected in (("zyx", values[None]), ("cyx", values), ("tyx", values[:1])):
        source = open_image(path, axes=axes)
        assert_reads_equal(source, expected, count=3)
        source.close()


def test_printer_resolution_is_not_taken_for_a_pixel_size(tmp_path: Path) -> None:
    sizes = []
    for name, resolution in (("screen.tif", (72, 72)), ("microscope.tif", (50800, 50800))):
        tifffile.imwrite(tmp_path / name, texture(10, 10), resolution=resolution, resolutionunit="INCH")
        source = open_image(tmp_path / name)
        sizes.append(source.info.pixel_size)
        source.close()
    assert sizes == [None, (0.5, 0.5)]


@pytest.mark.parametrize("nonsense", ["many", "-1", "0", "inf", ""])
def test_a_pixel_size_that_makes_no_sense_does_not_stop_an_image(nonsense: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "good.ome.tif", texture(10, 10), metadata={"axes": "YX", "PhysicalSizeX": 0.5})
    data = (tmp_path / "good.ome.tif").read_bytes()
    (tmp_path / "bad.ome.tif").write_bytes(data.replace(b'SizeX="0.5"', f'SizeX="{nonsense}"'.ljust(11).encode()))
    source = open_image(tmp_path / "bad.ome.tif")
    assert source.info.pixel_size is None
    assert_reads_equal(source, texture(1, 10, 10), count=2)
    source.close()


def test_pieces_under_two_reads_are_decoded_once(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, texture(64, 64), tile=(32, 32), compression="zlib")
    source = TiffSource(path)
    before = source.read(Region.of((0, 40), (0, 40)))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\0" * size)  # whoever decodes again now gets nothing
    np.testing.assert_array_equal(source.read(Region.of((0, 40), (0, 40))), before)
    source.close()


def test_the_cache_stays_within_its_limit() -> None:
    source = TiffSource(sample_slide(), cache_bytes=1_000_000)
    source.read(Region.from_shape(source.info.levels.shape(0)))
    assert 0 < source._cache.bytes <= 1_000_000
    source.close()


CUTS = [round(k * 1_938_955 / 20) for k in range(20)]


@pytest.mark.parametrize("size", CUTS)
def test_a_truncated_slide_never_gives_wrong_pixels(size: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.svs"
    path.write_bytes(sample_slide().read_bytes()[:size])
    with pytest.raises(InputUnreadable, match=r"empty|ends at byte \d+|TIFF"):
        read_all(path)


def read_all(path: Path) -> None:
    source = open_image(path)
    try:
        source.read(Region.from_shape(source.info.levels.shape(0)))
    finally:
        source.close()


def test_what_a_truncated_file_still_holds_is_read(tmp_path: Path) -> None:
    whole_path, path = tmp_path / "whole.tif", tmp_path / "cut.tif"
    values = texture(256, 256)
    tifffile.imwrite(whole_path, values, tile=(64, 64), compression="zlib")
    path.write_bytes(whole_path.read_bytes()[:-5000])  # tifffile writes the directory first
    source = open_image(path)
    np.testing.assert_array_equal(source.read(Region.of((0, 128), (0, 128)))[0], values[:128, :128])
    with pytest.raises(InputDamaged, match=r"ends at byte \d+, but piece \(0, 3, 3\).*lies at bytes"):
        source.read(Region.of((250, 256), (250, 256)))
    source.close()


def test_every_length_of_a_truncated_stack_is_noticed(tmp_path: Path) -> None:
    whole_path, path = tmp_path / "whole.tif", tmp_path / "cut.tif"
    with tifffile.TiffWriter(whole_path) as tiff:
        for k in range(4):
            tiff.write(texture(16, 16, seed=k), tile=(16, 16), compression="zlib", metadata=None, contiguous=False)
    data = whole_path.read_bytes()
    for size in range(1, len(data), 7):
        path.write_bytes(data[:size])
        with pytest.raises(InputUnreadable, match=r"ends at byte|begin as a TIFF|empty"):
            read_all(path)


def overwrite(at: int, data: bytes) -> Callable[[bytes], bytes]:
    return lambda old: old[:at] + data + old[at + len(data) :]


def test_a_tile_of_noise_is_reported_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "noise.svs"
    with tifffile.TiffFile(sample_slide()) as tiff:
        offset = tiff.pages[0].dataoffsets[0]
    path.write_bytes(overwrite(offset, b"\0" * 3000)(sample_slide().read_bytes()))
    source = open_image(path)
    with pytest.raises(
        InputDamaged, match=rf"must decode; noise.svs, piece \(0, 0, 0\).* y\[0, 240\).*, byte {offset}"
    ):
        source.read(Region.of((0, 10), (0, 10)))
    source.close()


def test_a_hole_in_a_jpeg_tile_is_not_painted_grey(tmp_path: Path) -> None:
    path = tmp_path / "hole.svs"
    with tifffile.TiffFile(sample_slide()) as tiff:
        offset, count = tiff.pages[0].dataoffsets[5], tiff.pages[0].databytecounts[5]
    path.write_bytes(overwrite(offset + count // 2, bytes(count - count // 2))(sample_slide().read_bytes()))
    source = open_image(path)
    with pytest.raises(InputDamaged, match=rf"piece \(0, 0, 5\).*, byte {offset}, ends in zeros"):
        source.read(Region.of((0, 10), (1200, 1300)))
    source.close()


def test_random_damage_of_the_directory_is_refused_in_our_words_or_harmless(tmp_path: Path) -> None:
    whole_path, path = tmp_path / "whole.tif", tmp_path / "bad.tif"
    tifffile.imwrite(whole_path, texture(40, 40), tile=(16, 16), compression="zlib", metadata=None)
    data = whole_path.read_bytes()
    for at in range(4, 300):
        path.write_bytes(overwrite(at, bytes([data[at] ^ 0xFF]))(data))
        try:
            source = open_image(path)
        except (InputUnreadable, BadRequest):
            continue
        try:
            if np.prod(source.info.levels.shape(0)) < 1e6:
                source.read(Region.from_shape(source.info.levels.shape(0)))
        except InputUnreadable:
            pass
        finally:
            source.close()


def test_a_closed_source_says_so() -> None:
    source = open_image(sample_slide())
    source.close()
    with pytest.raises(InputUnreadable, match="was closed; open it again"):
        source.read(Region.of((0, 10), (0, 10)))


@pytest.mark.parametrize("bounds", [((-1, 5), (0, 5)), ((0, 5), (0, 2221)), ((2960, 2968), (0, 5))])
def test_a_region_outside_the_image_is_refused(bounds: tuple[tuple[int, int], tuple[int, int]]) -> None:
    source = open_image(sample_slide())
    with pytest.raises(BadRequest, match="a region must lie inside the image"):
        source.read(Region.of(*bounds))
    with pytest.raises(BadRequest, match="level must be between 0 and 0"):
        source.read(Region.of((0, 1), (0, 1)), 1)
    source.close()


def test_an_identity_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "copy.svs"
    shutil.copy(sample_slide(), path)
    with path.open("ab") as file:
        first = open_image(path)
        file.write(b"more")
    second = open_image(path)
    assert first.info.identity != second.info.identity
    first.close()
    second.close()


def test_what_is_decoded_is_counted_and_a_piece_thrown_out_counts_again(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, texture(64, 64), tile=(32, 32), compression="zlib")
    for cache, redundancy in ((1 << 20, 1.0), (1024, 2.0)):
        source = TiffSource(path, cache_bytes=cache)
        assert (source.reads.decoded, source.reads.redundancy) == (0, 1.0)
        for _ in range(2):
            source.read(Region.of((0, 64), (0, 40)))
        assert source.reads.needed == 4 * 32 * 32
        assert source.reads.redundancy == redundancy
        source.close()


def test_threads_that_want_the_same_piece_decode_it_once() -> None:
    source = TiffSource(sample_slide())
    region = Region.of((0, 700), (0, 700))
    threads = [threading.Thread(target=source.read, args=(region,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.reads.redundancy == 1.0
    source.close()


def test_a_disk_that_hesitates_is_asked_again_and_one_that_fails_is_reported_with_the_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, failures = os.pread, [2]

    def failing(handle: int, size: int, offset: int) -> bytes:
        if failures[0] > 0:
            failures[0] -= 1
            raise OSError(errno.EIO, "Input/output error")
        return real(handle, size, offset)

    monkeypatch.setattr(file_access, "RETRIES", (0.0, 0.0))
    source, region = open_image(sample_slide()), Region.of((500, 700), (1000, 1100))
    expected = source.read(region)
    source.close()
    source = open_image(sample_slide())
    monkeypatch.setattr(file_access.os, "pread", failing)
    np.testing.assert_array_equal(source.read(region), expected)
    failures[0] = 1000
    with pytest.raises(InputDamaged, match=r"Input/output error.*while level 0, y\[2000, 2100\) x\[0, 100\)"):
        source.read(Region.of((2000, 2100), (0, 100)))
    failures[0] = 0
    source.close()
