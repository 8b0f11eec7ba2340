"""Saving a result as an OME-Zarr of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr

from napari_seamless.errors import BadRequest, OutputExists, OutputUnwritable, RunCancelled
from napari_seamless.geometry import Region, cells_of
from napari_seamless.io.writers.ome_zarr import save_ome_zarr
from napari_seamless.store import Store, StoreSpec, create_store, open_store


def result(path: Path | None, kind: Any = "labels", chunks: int | None = None) -> Store:
    """A result of 9 chunks on level 0 and 4 on level 1, the first `chunks` of them finished."""
    shape = (1200, 1100)
    channels, dtype = (None, np.uint8) if kind == "labels" else (2, np.uint16)
    spec = StoreSpec(shape, channels, np.dtype(dtype), kind, "source", "program", provenance={"model": "m"})
    store = create_store(path, spec)
    rng = np.random.default_rng(0)
    for cell in list(cells_of(Region.from_shape(spec.grid.counts)))[:chunks]:
        region = spec.grid.region(cell)
        store.write(region, rng.integers(0, 3, (channels or 1, *region.shape)).astype(dtype))
        store.commit(region)
    return store


def assert_same_pixels(a: Store, b: Store) -> None:
    assert len(a.levels) == len(b.levels) == 2
    for level, shape in enumerate(a.info.levels.shapes):
        np.testing.assert_array_equal(a.read(Region.from_shape(shape), level), b.read(Region.from_shape(shape), level))


@pytest.mark.parametrize("kind", ["labels", "image"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_copy_has_all_levels_and_no_journal(tmp_path: Path, kind: str, in_memory: bool) -> None:
    store = result(None if in_memory else tmp_path / "live.zarr", kind)
    path = save_ome_zarr(store, tmp_path / "out" / "copy.ome.zarr")
    assert not list(path.rglob(".seamless"))
    yaozarrs.validate_zarr_store(str(path))
    copy = open_store(path)
    assert copy.finished.all()
    assert copy.provenance == {"model": "m"}
    assert_same_pixels(copy, store)
    assert [f.name for f in path.parent.iterdir()] == ["copy.ome.zarr"]


def test_a_copy_of_a_partial_result_says_so_and_can_be_continued(tmp_path: Path) -> None:
    path = save_ome_zarr(result(tmp_path / "live.zarr", chunks=4), tmp_path / "copy.ome.zarr")
    assert zarr.open_group(path).attrs["napari-seamless"]["complete"] is False  # type: ignore[index,call-overload]
    whole = result(None)
    with open_store(path) as copy:
        assert np.count_nonzero(copy.finished) == 4
        for cell in zip(*np.nonzero(~copy.finished), strict=True):
            region = copy.grid.region(tuple(map(int, cell)))
            copy.write(region, whole.read(region))
            copy.commit(region)
    again = open_store(path)
    assert again.finished.all()
    assert_same_pixels(again, whole)


def test_progress_counts_the_chunks_of_all_levels(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    save_ome_zarr(result(None), tmp_path / "a.zarr", on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, 13) for k in range(1, 14)]


def test_a_cancelled_copy_leaves_nothing_behind_and_the_earlier_result_in_place(tmp_path: Path) -> None:
    store = result(None)
    path = save_ome_zarr(result(None, chunks=2), tmp_path / "a.zarr")

    def cancel(done: int, total: int) -> None:
        if done == 5:
            raise RunCancelled("the user closed the window")

    with pytest.raises(RunCancelled, match="closed the window"):
        save_ome_zarr(store, path, overwrite=True, on_progress=cancel)
    assert np.count_nonzero(open_store(path).finished) == 2
    assert [f.name for f in tmp_path.iterdir()] == ["a.zarr"]


def test_a_copy_takes_the_place_of_an_earlier_one_only_when_asked_to(tmp_path: Path) -> None:
    path = save_ome_zarr(result(None, chunks=2), tmp_path / "a.zarr")
    with pytest.raises(OutputExists, match="holds an earlier result; choose another path or overwrite it"):
        save_ome_zarr(result(None), path)
    save_ome_zarr(result(None), path, overwrite=True)
    assert open_store(path).finished.all()


def test_a_folder_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "thesis.txt").write_text("precious")
    with pytest.raises(OutputExists, match="never overwritten; choose another path"):
        save_ome_zarr(result(None), tmp_path / "a.zarr", overwrite=True)
    assert (tmp_path / "a.zarr" / "thesis.txt").read_text() == "precious"


def test_a_result_is_not_saved_onto_itself(tmp_path: Path) -> None:
    store = result(tmp_path / "a.zarr")
    with pytest.raises(BadRequest, match="cannot be saved onto itself"):
        save_ome_zarr(store, tmp_path / "x" / ".." / "a.zarr", overwrite=True)
    assert_same_pixels(store, result(None))


def test_paths_that_are_no_ome_zarr_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"ends in \.zarr; got 'a\.tif'; try a\.ome\.zarr"):
        save_ome_zarr(result(None), tmp_path / "a.tif")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputUnwritable, match="Not a directory; choose another output path"):
        save_ome_zarr(result(None), tmp_path / "file" / "a.zarr")
