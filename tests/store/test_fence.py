"""Only the run that has a result now writes into it: not the workers of one that died, and nothing once it is gone."""

from __future__ import annotations

import asyncio
import gc
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from zarr.core.buffer import Buffer, default_buffer_prototype

from napari_seamless.errors import OutputUnwritable
from napari_seamless.geometry import Region
from napari_seamless.store import Store, StoreSpec, fence, open_store, resume_or_create
from napari_seamless.store.chunk_writer import RemoteWriter
from napari_seamless.store.disk_store import DiskStore

SHAPE = (128, 192)
WHOLE = Region.from_shape(SHAPE)
FIRST, SECOND = Region.of((0, 64), (0, 64)), Region.of((0, 64), (64, 128))
TAKEN_OVER = "was removed, or taken over by another run; nothing more is written there; run the same command again"


def spec(program: str = "program", shard: int | None = None) -> StoreSpec:
    return StoreSpec(SHAPE, None, np.dtype(np.uint16), "image", "source", program, chunk=64, shard=shard)


def pixels(value: int, region: Region = FIRST) -> np.ndarray:
    return np.full((1, *region.shape), value, np.uint16)


def write(store: Store, region: Region, value: int) -> None:
    store.write(region, pixels(value))
    store.commit(region)


def worker_of_a_dead_run(path: Path, value: int = 1) -> RemoteWriter:
    """What a worker in another process still holds when the process that drove the run was killed."""
    store = resume_or_create(path, spec())
    write(store, FIRST, value)
    worker: RemoteWriter = pickle.loads(pickle.dumps(store))
    del store
    gc.collect()  # lets go of the lock as the end of the process does, without closing anything
    return worker


NEXT: dict[str, Callable[[Path], Store]] = {
    "continues": lambda path: resume_or_create(path, spec()),
    "replaces": lambda path: resume_or_create(path, spec("another program"), True),
}


@pytest.mark.parametrize("how", NEXT)
@pytest.mark.parametrize("late", [5, 0])
def test_a_worker_whose_run_is_dead_writes_nothing_into_what_came_later(how: str, late: int, tmp_path: Path) -> None:
    worker = worker_of_a_dead_run(tmp_path / "a.zarr")
    store = NEXT[how](tmp_path / "a.zarr")
    for region in (FIRST, SECOND):
        write(store, region, 7)
    for _ in range(2):
        with pytest.raises(OutputUnwritable, match=TAKEN_OVER):
            worker.write(FIRST, pixels(late))
        store.accept()
        store.close()
    there = open_store(tmp_path / "a.zarr")
    assert (there.read(FIRST) == 7).all()
    assert (there.read(SECOND) == 7).all()


def test_a_chunk_that_is_on_its_way_when_another_run_takes_over_does_not_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = worker_of_a_dead_run(tmp_path / "a.zarr")
    later: list[Store] = []
    move = fence.Fence._move

    def taken_over(self: fence.Fence, partial: Path, path: Path) -> None:
        if not later:
            later.append(resume_or_create(tmp_path / "a.zarr", spec()))
            write(later[0], SECOND, 7)
        move(self, partial, path)

    monkeypatch.setattr(fence.Fence, "_move", taken_over)
    with pytest.raises(OutputUnwritable, match=TAKEN_OVER):
        worker.write(SECOND, pixels(5))
    later[0].close()
    assert (open_store(tmp_path / "a.zarr").read(SECOND) == 7).all()


def test_a_worker_writes_for_the_run_that_it_belongs_to_also_shards_and_zeros(tmp_path: Path) -> None:
    store = resume_or_create(tmp_path / "a.zarr", spec(shard=128))
    worker: RemoteWriter = pickle.loads(pickle.dumps(store))
    shard = Region.of((0, 128), (0, 128))
    for value in (3, 0, 4):
        worker.write(shard, pixels(value, shard))
        store.commit(shard)
    store.close()
    assert (open_store(tmp_path / "a.zarr").read(shard) == 4).all()


def test_what_is_left_by_a_run_that_ended_holds_nothing_of_its_writers(tmp_path: Path) -> None:
    worker_of_a_dead_run(tmp_path / "a.zarr")
    assert list(tmp_path.rglob("writer-*"))
    with resume_or_create(tmp_path / "a.zarr", spec()) as store:
        write(store, SECOND, 2)
    assert not list(tmp_path.rglob("writer-*"))
    assert not list(tmp_path.rglob("*.partial"))


def test_a_result_that_is_removed_while_it_is_written_is_not_made_again_in_part(tmp_path: Path) -> None:
    store = resume_or_create(tmp_path / "a.zarr", spec())
    worker: RemoteWriter = pickle.loads(pickle.dumps(store))
    write(store, FIRST, 1)
    shutil.rmtree(tmp_path / "a.zarr")
    for attempt in (
        lambda: store.write(SECOND, pixels(2)),
        lambda: worker.write(SECOND, pixels(2)),
        lambda: store.report({"run": 1}),
        lambda: store.keep("roi.geojson", b"{}"),
        store.close,
    ):
        with pytest.raises(OutputUnwritable):
            attempt()
        assert not (tmp_path / "a.zarr").exists()
    with pytest.raises(OutputUnwritable, match=r"while it is there; .* was removed"):
        pickle.loads(pickle.dumps(worker))


def _zarr_writes(place: DiskStore, key: str, content: Buffer) -> dict[str, Callable[[], object]]:
    return {
        "set": lambda: asyncio.run(place.set(key, content)),
        "set_sync": lambda: place.set_sync(key, content),
        "set_if_not_exists": lambda: asyncio.run(place.set_if_not_exists(f"{key}-new", content)),
        "set, of a copy": lambda: place.with_read_only(False).set_sync(key, content),
        "set, metadata": lambda: place.set_sync("zarr.json", content),
        "delete": lambda: asyncio.run(place.delete(key)),
        "delete_sync": lambda: place.delete_sync(key),
        "delete_dir": lambda: asyncio.run(place.delete_dir(key.rpartition("/")[0])),
        "clear": lambda: asyncio.run(place.clear()),
    }


def test_each_of_zarrs_ways_to_write_or_remove_ends_with_the_run(tmp_path: Path) -> None:
    """zarr chooses between the ways that wait and those that do not, and newer versions choose otherwise."""
    with resume_or_create(tmp_path / "a.zarr", spec()) as store:
        write(store, FIRST, 3)
    (chunk,) = (tmp_path / "a.zarr").glob("**/0/c/0/0")
    place = DiskStore(tmp_path / "a.zarr")
    place.fence = fence.Fence(tmp_path / "a.zarr", "of a run that has ended", "a.zarr")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    content = default_buffer_prototype().buffer.from_bytes(b"late")
    for how, attempt in _zarr_writes(place, chunk.relative_to(place.root).as_posix(), content).items():
        with pytest.raises(OutputUnwritable, match=TAKEN_OVER):
            attempt()
        assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before, how


def test_each_of_zarrs_ways_to_write_or_remove_works_while_the_run_lasts(tmp_path: Path) -> None:
    content = default_buffer_prototype().buffer.from_bytes(b"new")
    for how in _zarr_writes(DiskStore(tmp_path), "c/0", content):
        place = DiskStore(tmp_path / "b")
        place.set_sync("c/0", content)
        place.fence = fence.Fence.raised(tmp_path / "right", "b")
        _zarr_writes(place, "c/0", content)[how]()
        found = {file.relative_to(place.root).as_posix() for file in place.root.rglob("*") if file.is_file()}
        assert found == WRITTEN.get(how, {"c/0"})
        shutil.rmtree(tmp_path / "b")


WRITTEN: dict[str, set[str]] = {
    "set_if_not_exists": {"c/0", "c/0-new"},
    "set, metadata": {"c/0", "zarr.json"},
    **{how: set() for how in ("delete", "delete_sync", "delete_dir", "clear")},
}
