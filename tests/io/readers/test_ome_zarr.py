"""OME-Zarr and plain zarr against the arrays that were written."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_seamless.errors import BadRequest, InputDamaged, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.io.readers import open_image
from ome_zarr_images import ome_zarr
from sources_oracle import assert_reads_equal, texture


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["yx", "cyx", "zyx", "czyx", "tczyx"])
def test_every_level_of_an_ome_zarr_image_is_read(axes: str, version: str, tmp_path: Path) -> None:
    shapes = {"t": 2, "c": 3, "z": 6, "y": 50, "x": 70}
    base = texture(*(shapes[a] for a in axes), dtype="uint16")
    levels = [base, np.ascontiguousarray(base[..., ::2, ::2])]
    ome_zarr(tmp_path / "image.ome.zarr", levels, axes, version)
    source = open_image(tmp_path / "image.ome.zarr")
    assert source.info.name == "cells"
    assert source.info.pixel_size == tuple({"z": 1.0}.get(a, 0.5) for a in axes if a in "zyx")
    for k, level in enumerate(levels):
        first = level[0] if "t" in axes else level
        assert_reads_equal(source, first if "c" in axes else first[None], k, count=3)
    source.close()


def test_channels_have_names_and_red_green_blue_is_seen(tmp_path: Path) -> None:
    colours = ("FF0000", "00FF00", "0000FF")
    channels = [{"label": name, "color": colour} for name, colour in zip("rgb", colours, strict=True)]
    ome_zarr(tmp_path / "a.zarr", [texture(3, 20, 20)], "cyx", "0.4", omero={"channels": channels})
    ome_zarr(tmp_path / "b.zarr", [texture(3, 20, 20)], "cyx", "0.4", omero={"channels": channels[::-1]})
    coloured, other = open_image(tmp_path / "a.zarr"), open_image(tmp_path / "b.zarr")
    assert (coloured.info.rgb, coloured.info.channel_names) == (True, ("r", "g", "b"))
    assert (other.info.rgb, other.info.channel_names) == (False, ("b", "g", "r"))


def test_labels_of_an_image_open_by_their_own_path(tmp_path: Path) -> None:
    labels = texture(30, 40)
    ome_zarr(tmp_path / "image.zarr", [texture(30, 40)], "yx", "0.5")
    ome_zarr(tmp_path / "image.zarr" / "labels" / "nuclei", [labels], "yx", "0.5", **{"image-label": {}})
    source = open_image(tmp_path / "image.zarr" / "labels" / "nuclei")
    assert_reads_equal(source, labels[None], count=3)


def test_the_image_inside_a_bioformats2raw_folder_is_found(tmp_path: Path) -> None:
    values = texture(30, 40)
    zarr.open_group(str(tmp_path / "raw.zarr"), mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    ome_zarr(tmp_path / "raw.zarr" / "0", [values], "yx", "0.4")
    assert_reads_equal(open_image(tmp_path / "raw.zarr"), values[None], count=3)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_plain_array_opens_with_axes(zarr_format: Any, tmp_path: Path) -> None:
    values = texture(9, 30, 40)
    zarr.save_array(str(tmp_path / "plain.zarr"), values, zarr_format=zarr_format)
    assert_reads_equal(open_image(tmp_path / "plain.zarr", axes="zyx"), values[None], count=3)
    with pytest.raises(BadRequest, match=r'axes="zyx"'):
        open_image(tmp_path / "plain.zarr")


def test_dimension_names_of_zarr_3_say_the_axes(tmp_path: Path) -> None:
    array = zarr.create_array(str(tmp_path / "named.zarr"), shape=(9, 30, 40), dtype="u1", dimension_names=list("zyx"))
    array[...] = texture(9, 30, 40)
    assert_reads_equal(open_image(tmp_path / "named.zarr"), texture(1, 9, 30, 40), count=3)


def test_a_zarr_source_travels_and_its_identity_follows_the_metadata(tmp_path: Path) -> None:
    ome_zarr(tmp_path / "a.zarr", [texture(20, 20)], "yx", "0.5")
    source = open_image(tmp_path / "a.zarr")
    copy = pickle.loads(pickle.dumps(source))
    assert copy.info == source.info
    assert_reads_equal(copy, texture(1, 20, 20), count=2)
    ome_zarr(tmp_path / "a.zarr", [texture(20, 20)], "yx", "0.5", omero={"channels": []})
    assert open_image(tmp_path / "a.zarr").info.identity != source.info.identity


def test_a_group_that_is_no_image_names_what_is_in_it(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "group.zarr"), mode="w")
    group.create_array("raw", shape=(5, 5), dtype="u1")
    with pytest.raises(
        InputUnreadable, match=r"has no multiscales metadata; give the path of an image or array in it \(raw\)"
    ):
        open_image(tmp_path / "group.zarr")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_of_a_plate_and_its_parts_images_are_named(version: str, tmp_path: Path) -> None:
    wells, path = ("B/2", "A/1"), tmp_path / "plate.zarr"
    described: dict[str, dict[str, Any]] = {
        "": {"plate": {"wells": [{"path": well} for well in wells]}},
        "A": {},
        "B": {},
    }
    described |= {well: {"well": {"images": [{"path": "0"}, {"path": "1"}]}} for well in wells}
    for part, attributes in described.items():
        group = zarr.open_group(str(path / part), mode="a", zarr_format=3 if version == "0.5" else 2)
        group.attrs.update({"ome": attributes} if version == "0.5" else attributes)
    for image in (f"{well}/{k}" for well in wells for k in range(2)):
        ome_zarr(path / image, [texture(20, 20)], "yx", version)
    for part, named in (("", "B/2/0, B/2/1, A/1/0, A/1/1"), ("A", "1/0, 1/1"), ("A/1", "0, 1")):
        with pytest.raises(InputUnreadable, match=rf"give the path of an image or array in it \({named}\)"):
            open_image(path / part)
        assert open_image(path / part / named.split(",")[0]).info.levels.shapes == ((20, 20),)


def test_a_chunk_that_is_cut_off_is_reported(tmp_path: Path) -> None:
    ome_zarr(tmp_path / "a.zarr", [texture(64, 64)], "yx", "0.5")
    chunk = tmp_path / "a.zarr" / "s0" / "c" / "1" / "1"
    chunk.write_bytes(chunk.read_bytes()[:20])
    source = open_image(tmp_path / "a.zarr")
    np.testing.assert_array_equal(source.read(Region.of((0, 16), (0, 64)))[0], texture(64, 64)[:16])
    with pytest.raises(InputDamaged, match=r"every chunk must decode; a.zarr, level 0, y\[20, 30\)"):
        source.read(Region.of((20, 30), (20, 30)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ('{"zarr_format":3', "zarr metadata must be valid"),
        (
            '{"zarr_format":3,"node_type":"group","attributes":{"ome":{"multiscales":[{}]}}}',
            "must follow the specification",
        ),
        (
            '{"zarr_format":3,"node_type":"group","attributes":{"ome":{"multiscales":[{"axes":[],"datasets":[{"path":"gone"}]}]}}}',
            "must follow the specification.*gone",
        ),
    ],
)
def test_broken_metadata_is_refused(change: str, sentence: str, tmp_path: Path) -> None:
    ome_zarr(tmp_path / "a.zarr", [texture(20, 20)], "yx", "0.5")
    (tmp_path / "a.zarr" / "zarr.json").write_text(change)
    with pytest.raises(InputDamaged, match=sentence):
        open_image(tmp_path / "a.zarr")


def test_a_region_outside_is_a_bad_request_not_damage(tmp_path: Path) -> None:
    ome_zarr(tmp_path / "a.zarr", [texture(20, 20)], "yx", "0.5")
    with pytest.raises(BadRequest, match="must lie inside the image"):
        open_image(tmp_path / "a.zarr").read(Region.of((0, 21), (0, 5)))
