"""A result is continued for the same pixels only, whatever kind of image they are of; and the same are not made again.

Every kind of source is edited in place between two runs on one output, with its metadata, and where it can be done its
times, left as they are.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import torch
import zarr
from dask import delayed

import napari_seamless as ns
from folder_server import serving
from napari_seamless.errors import ImageChanged, OutputExists
from napari_seamless.io.readers.samples import sample_slide
from watched_source import WatchedSource

SHAPE = (700, 300)
HALF = ns.Region.of((0, 300), (0, 300))


class Same(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 1.0


class Normalised(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.instance_norm(x)


@dataclass(frozen=True)
class Edited:
    """An image, how to open it again, and how to edit it in place."""

    image: Any
    edit: Callable[[], object]


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 200, SHAPE).astype(np.uint8)


def in_place(array: Any) -> None:
    array[5:9, 20:30] = array[600:610, 20:30] = 255


def keeping_times(path: Path, change: Callable[[], object]) -> None:
    """As a tool does that puts modification times back."""
    before = path.stat()
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def numpy_array(_folder: Path) -> Edited:
    array = pixels()
    return Edited(array, partial(in_place, array))


def layer(_folder: Path) -> Edited:
    array = pixels()
    shown = SimpleNamespace(data=array, name="i", multiscale=False, scale=(1.0, 1.0), rgb=False, units=())
    return Edited(shown, partial(in_place, array))


def mapped(folder: Path) -> Edited:
    np.save(folder / "a.npy", pixels())
    array = np.load(folder / "a.npy", mmap_mode="r+")
    return Edited(array, partial(in_place, array))


def dask_array(_folder: Path) -> Edited:
    array = pixels()
    lazy = da.map_blocks(lambda block_info: array[tuple(slice(*s) for s in block_info[None]["array-location"])],
                         chunks=((256, 256, 188), (300,)), dtype=np.uint8, meta=np.empty((0, 0), np.uint8))  # fmt: skip
    return Edited(lazy, partial(in_place, array))


def zarr_folder(folder: Path, **options: Any) -> Edited:
    array = zarr.create_array(folder / "a.zarr", shape=SHAPE, chunks=(64, 100), dtype="u1", **options)
    array[:] = pixels()
    return Edited(folder / "a.zarr", partial(in_place, array))


def zarr_object(folder: Path) -> Edited:
    made = zarr_folder(folder)
    return Edited(zarr.open_array(folder / "a.zarr", mode="r"), made.edit)


def set_of_tiffs(folder: Path) -> Edited:
    names, ids = ("a.ome.tif", "b.ome.tif"), [f"urn:uuid:00000000-0000-0000-0000-00000000000{k}" for k in (1, 2)]
    planes = "".join(
        f'<TiffData FirstC="{k}" FirstZ="0" FirstT="0" IFD="0" PlaneCount="1"><UUID FileName="{name}">{ids[k]}</UUID>'
        "</TiffData>"
        for k, name in enumerate(names)
    )

    def write(k: int, values: np.ndarray) -> None:
        xml = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{ids[k]}">'
            f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="{SHAPE[1]}" '
            f'SizeY="{SHAPE[0]}" SizeC="2" SizeZ="1" SizeT="1"><Channel ID="Channel:0:0"/><Channel ID="Channel:0:1"/>'
            f"{planes}</Pixels></Image></OME>"
        )
        tifffile.imwrite(folder / names[k], values, description=xml.encode(), metadata=None)

    for k in range(2):
        write(k, pixels())
    return Edited(folder / names[0], lambda: keeping_times(folder / names[1], lambda: write(1, pixels() + np.uint8(1))))


def slide(folder: Path) -> Edited:
    shutil.copyfile(sample_slide(), folder / "a.svs")
    with tifffile.TiffFile(folder / "a.svs") as opened:
        offset, count = (opened.pages[0].dataoffsets[3], opened.pages[0].databytecounts[3])
        other = (opened.pages[0].dataoffsets[4], opened.pages[0].databytecounts[4])

    def swap() -> None:
        with (folder / "a.svs").open("r+b") as file:
            file.seek(other[0])
            tile = file.read(min(count, other[1]))
            file.seek(offset)
            file.write(tile)

    return Edited(folder / "a.svs", lambda: keeping_times(folder / "a.svs", swap))


def picture(folder: Path) -> Edited:
    from PIL import Image

    def write(values: np.ndarray) -> None:
        Image.fromarray(values).save(folder / "a.bmp")

    write(pixels())
    changed = pixels()
    in_place(changed)
    return Edited(folder / "a.bmp", lambda: keeping_times(folder / "a.bmp", lambda: write(changed)))


def plain_tiff(folder: Path) -> Edited:
    tifffile.imwrite(folder / "a.tif", pixels())
    edit = partial(in_place, tifffile.memmap(folder / "a.tif", mode="r+"))
    return Edited(folder / "a.tif", lambda: keeping_times(folder / "a.tif", edit))


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with serving(tmp_path) as server:
        yield server.url


KINDS: dict[str, Callable[[Path], Edited]] = {
    "numpy": numpy_array,
    "napari layer": layer,
    "numpy memmap": mapped,
    "dask": dask_array,
    "zarr": zarr_folder,
    "zarr 2": partial(zarr_folder, zarr_format=2),
    "zarr, sharded": partial(zarr_folder, shards=(128, 200)),
    "zarr array": zarr_object,
    "TIFF": plain_tiff,
    "OME-TIFF of two files": set_of_tiffs,
    "SVS": slide,
    "BMP": picture,
}


def run(network: torch.nn.Module, image: Any, output: Path, **options: Any) -> Any:
    return ns.run(network, image, output=output, scheduler="serial", tile=256, device="cpu", **options)


def check_kind(made: Edited, output: Path, network: torch.nn.Module) -> str:
    """What becomes of the second run, after the edit: "anew" or "refused"."""
    run(network, made.image, output, region=HALF)
    run(network, made.image, output)
    assert run(network, made.image, output).report.tiles == 0, "the same pixels are not made again"
    made.edit()
    try:
        found = run(network, made.image, output)
    except OutputExists as refusal:
        return "refused" if "another source image" in str(refusal) else str(refusal)
    expected = run(network, made.image, output.with_name("fresh.ome.zarr"))
    assert np.array_equal(np.asarray(found), np.asarray(expected))
    assert "has other pixels" in " ".join(found.report.notices)
    return "anew"


EXPECTED = {"numpy memmap": "anew", "dask": "anew", "zarr": "anew", "zarr 2": "anew", "zarr, sharded": "anew",
            "zarr array": "anew"}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_image_gives_new_pixels_or_is_refused(kind: str, tmp_path: Path) -> None:
    assert check_kind(KINDS[kind](tmp_path), tmp_path / "out.ome.zarr", Same()) == EXPECTED.get(kind, "refused")


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_what_was_measured_of_other_pixels_is_measured_anew(kind: str, tmp_path: Path) -> None:
    assert check_kind(KINDS[kind](tmp_path), tmp_path / "out.ome.zarr", Normalised()) == EXPECTED.get(kind, "refused")


def test_a_zarr_at_an_address_is_told_by_what_was_read(address: str, tmp_path: Path) -> None:
    made = zarr_folder(tmp_path)
    assert check_kind(Edited(f"{address}/a.zarr", made.edit), tmp_path / "out.ome.zarr", Same()) == "anew"


def test_only_the_chunks_whose_pixels_changed_are_made_again(tmp_path: Path) -> None:
    made = zarr_folder(tmp_path)
    run(Same(), made.image, tmp_path / "out.ome.zarr")
    made.edit()  # in two tiles of three
    assert run(Same(), made.image, tmp_path / "out.ome.zarr").report.tiles == 2


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "TIFF"])
def test_an_image_that_changes_during_a_run_is_never_finished(kind: str, tmp_path: Path) -> None:
    made = KINDS[kind](tmp_path)
    prepared = ns.prepare(Same(), made.image)
    started = ns.start(prepared, tile=64, device="cpu", scheduler="serial", output=tmp_path / "out.ome.zarr")
    while started.progress().done < 64 * 64 * 3:
        pass
    started.pause()
    made.edit()
    started.resume()
    with pytest.raises(ImageChanged, match="the image changed"):
        started.wait(60)
    assert started.progress().state == "failed"
    stored = started.store.provenance["run"]
    assert stored["state"] == "failed"
    assert "the image changed" in " ".join(stored["notices"])


def far_down(array: Any) -> None:
    """In one tile of many, which is none of the first that are looked at again."""
    array[600:610, 20:30] = 255


def test_one_chunk_that_a_server_changes_during_a_run_is_found_among_many(address: str, tmp_path: Path) -> None:
    zarr_folder(tmp_path)
    array = zarr.open_array(tmp_path / "a.zarr", mode="r+")
    started = ns.start(ns.prepare(Same(), f"{address}/a.zarr"), tile=64, device="cpu", scheduler="serial")
    while started.progress().done < 0.95 * prod(SHAPE):
        sleep(0.001)
    started.pause()
    far_down(array)
    started.resume()
    with pytest.raises(ImageChanged, match="the image changed"):
        started.wait(60)


def test_what_a_server_has_not_touched_lately_is_as_it_was_and_is_not_read_again(address: str, tmp_path: Path) -> None:
    zarr_folder(tmp_path)
    for file in (tmp_path / "a.zarr").rglob("*"):
        os.utime(file, (1e9, 1e9))
    source = WatchedSource(ns.open_image(f"{address}/a.zarr"))
    result = ns.run(Same(), source, tile=64, device="cpu", scheduler="serial")
    assert result.report.state == "finished"
    assert not result.notices
    assert source.reads <= result.report.tiles + 5, "each tile once, and what the check of exactness reads"


def test_of_an_array_of_which_nobody_says_when_it_changed_the_report_says_how_much_was_read_again() -> None:
    lazy = da.from_array(np.tile(pixels(), (1, 2)), chunks=50)
    result = ns.run(Same(), lazy, tile=64, device="cpu", scheduler="serial")
    (notice,) = result.report.notices
    said = re.fullmatch(r"(\d+) of the (\d+) parts that were read of the image were read again .* not known", notice)
    assert said
    assert 4 <= int(said[1]) < int(said[2]) == result.report.tiles


def test_overwriting_computes_anew(tmp_path: Path) -> None:
    array = pixels()
    run(Same(), array, tmp_path / "out.ome.zarr")
    assert run(Same(), array, tmp_path / "out.ome.zarr", overwrite=True).report.tiles > 0


def test_an_opened_file_that_is_another_one_now_is_refused(tmp_path: Path) -> None:
    made = plain_tiff(tmp_path)
    prepared = ns.prepare(Same(), made.image)
    made.edit()
    with pytest.raises(ImageChanged, match="open it again"):
        ns.start(prepared, scheduler="serial")


@pytest.mark.parametrize("place", ["a.zarr", "a.zarr/out.ome.zarr", ".", "link.zarr"])
def test_an_output_in_or_around_its_image_is_refused_before_anything_is_deleted(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    run(Same(), pixels(), folder / "a.zarr")
    (folder / "link.zarr").symlink_to(folder / "a.zarr")
    output = Path(os.path.relpath(folder / place))
    before = sorted(p for p in folder.rglob("*"))
    with pytest.raises(OutputExists, match="apart from the image"):
        run(Same(), folder / "a.zarr", output, overwrite=True)
    assert sorted(p for p in folder.rglob("*")) == before


def of_xarray(path: Path) -> object:
    xarray = pytest.importorskip("xarray")
    return xarray.DataArray(da.from_zarr(zarr.open_array(path / "0", mode="r")) + 1, dims=("c", "y", "x"))


def of_lazy_xarray(path: Path) -> object:
    xarray = pytest.importorskip("xarray")
    values = xarray.Dataset({"0": (("y", "x"), pixels())})
    values.to_zarr(path, mode="w", zarr_format=3, consolidated=False)
    return xarray.open_zarr(path, chunks=None, consolidated=False)["0"]


THROUGH: dict[str, Callable[[Path], object]] = {
    "zarr.Array": lambda path: zarr.open_array(path / "0", mode="r"),
    "dask": lambda path: da.from_zarr(str(path / "0")),
    "computed by dask": lambda path: (da.from_zarr(str(path / "0"))[:, 3:].rechunk(50) + 1).astype(np.float32),
    "delayed": lambda path: da.from_delayed(
        delayed(zarr.open_array)(str(path / "0"), mode="r"), (1, 1400, 1200), np.dtype(np.float32)
    ),
    "xarray": of_xarray,
    "lazy xarray": of_lazy_xarray,
    "a result": ns.open_result,
    "levels of a result": lambda path: list(ns.open_result(path).levels[:1]),
    "a result as dask": lambda path: run(Same(), np.tile(pixels(), (2, 4)), path).to_dask(),
    "a layer": lambda path: Layer(da.from_zarr(str(path / "0")), name="a"),
    "a layer that was opened": lambda path: Layer(pixels(), name="a", path=str(path)),
}


class Layer(SimpleNamespace):
    """A layer of napari, as far as an image is read from it."""

    def __init__(self, data: Any, name: str, path: str | None = None) -> None:
        super().__init__(data=data, name=name, multiscale=False, scale=(1, 1), source=SimpleNamespace(path=path))


@pytest.mark.parametrize("kind", THROUGH)
def test_an_output_is_not_where_a_lazy_image_reads_from(kind: str, tmp_path: Path) -> None:
    run(Same(), np.tile(pixels(), (2, 4)), tmp_path / "a.zarr")
    image = THROUGH[kind](tmp_path / "a.zarr")
    before = sorted(tmp_path.rglob("*"))
    for place in ("a.zarr", "a.zarr/0/out.ome.zarr", "."):
        with pytest.raises(OutputExists, match="an output must lie apart from the image"):
            run(Same(), image, tmp_path / place, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_lazy_image_of_other_files_may_be_written_beside_them(tmp_path: Path) -> None:
    run(Same(), pixels(), tmp_path / "a.zarr")
    image = da.from_zarr(str(tmp_path / "a.zarr" / "0")) + 1
    assert run(Same(), image, tmp_path / "b.zarr").report.state == "finished"


def test_an_export_never_takes_the_place_of_its_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels())
    for what in (tmp_path / "a.ome.tif", run(Same(), tmp_path / "a.ome.tif", tmp_path / "o.ome.zarr").store):
        with pytest.raises(OutputExists, match="apart from the image"):
            ns.export(what, tmp_path / "a.ome.tif", overwrite=True)
    assert np.array_equal(tifffile.imread(tmp_path / "a.ome.tif"), pixels())
