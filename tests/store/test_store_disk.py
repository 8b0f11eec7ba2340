"""Results on disk: continued after any end, written from other processes, and never in the way of somebody's files."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from zarr.storage import MemoryStore

from napari_seamless.errors import (
    BadRequest,
    InputDamaged,
    InputNotFound,
    InputUnreadable,
    OutputExists,
    OutputUnwritable,
)
from napari_seamless.geometry import Region, cells_of
from napari_seamless.store import Store, StoreSpec, create_store, open_store, resume_or_create
from napari_seamless.store import spec as spec_module
from napari_seamless.store.metadata import groups_of
from napari_seamless.store.zarr_arrays import create_arrays

Array = NDArray[Any]


@pytest.fixture(autouse=True)
def _small_last_level() -> Iterator[None]:
    """Pyramids of several levels from images of a hundred pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spec_module, "LAST_LEVEL_EDGE", 12)
        yield


def spec_for(shape: tuple[int, ...] = (90, 70), kind: Any = "labels", **more: Any) -> StoreSpec:
    facts: dict[str, Any] = {
        "channels": None,
        "dtype": np.uint8,
        "chunk": 16,
        "source_identity": "s",
        "program_hash": "p",
    }
    return StoreSpec(shape=shape, kind=kind, **{**facts, **more})


def picture(spec: StoreSpec) -> Array:
    pixels = np.random.default_rng(0).integers(0, 4, (spec.channels or 1, *spec.shape)).astype(spec.dtype)
    pixels[..., :20] = 0  # so that whole chunks are empty
    return pixels


def chunks_of(spec: StoreSpec) -> list[Region]:
    return [spec.grid.region(cell) for cell in cells_of(Region.from_shape(spec.grid.counts))]


def fill(store: Store, pixels: Array, regions: list[Region]) -> None:
    for region in regions:
        store.write(region, pixels[(slice(None), *region.slices())])
        store.commit(region)


def unfinished(store: Store) -> list[Region]:
    return [
        store.grid.region(cell) for cell in cells_of(Region.from_shape(store.grid.counts)) if not store.finished[cell]
    ]


def files(path: Path) -> dict[str, bytes]:
    """Every chunk file of every level."""
    found = (f for f in path.rglob("*") if f.is_file() and "c" in f.parts and ".seamless" not in f.parts)
    return {str(f.relative_to(path)): f.read_bytes() for f in found}


def undisturbed(path: Path, spec: StoreSpec) -> dict[str, bytes]:
    with create_store(path, spec) as store:
        fill(store, picture(spec), chunks_of(spec))
    return files(path)


def assert_pixels_agree(a: Store, b: Store) -> None:
    for level, shape in enumerate(a.info.levels.shapes):
        np.testing.assert_array_equal(a.read(Region.from_shape(shape), level), b.read(Region.from_shape(shape), level))


KINDS = pytest.mark.parametrize(
    "spec_facts",
    [{"kind": "labels"}, {"kind": "image", "channels": 3}, {"kind": "labels", "shape": (20, 50, 41)}],
    ids=["labels", "rgb", "volume"],
)


@KINDS
@pytest.mark.parametrize("ending", ["closed", "dropped", "flushed then dropped"])
def test_a_resumed_result_is_the_uninterrupted_one_byte_for_byte(
    tmp_path: Path, spec_facts: dict[str, Any], ending: str
) -> None:
    spec = spec_for(**spec_facts)
    expected = undisturbed(tmp_path / "whole.ome.zarr", spec)
    path = tmp_path / "cut.ome.zarr"
    first = create_store(path, spec, cache_bytes=2_000)
    regions = chunks_of(spec)
    fill(first, picture(spec), regions[: len(regions) // 2])
    if ending == "closed":
        first.close()
    elif ending == "flushed then dropped":
        first.flush()
        fill(first, picture(spec), regions[len(regions) // 2 : len(regions) // 2 + 3])
    del first
    second = resume_or_create(path, spec)
    assert second.finished.any()
    assert not second.finished.all()
    fill(second, picture(spec), unfinished(second))
    second.close()
    assert files(path) == expected
    assert_pixels_agree(open_store(path), open_store(tmp_path / "whole.ome.zarr"))


def test_after_a_crash_the_coarse_levels_are_right_before_anything_is_written_again(tmp_path: Path) -> None:
    spec = spec_for()
    regions = chunks_of(spec)[:12]
    fill(create_store(tmp_path / "crashed.zarr", spec), picture(spec), regions)
    memory = create_store(None, spec)
    fill(memory, picture(spec), regions)
    assert_pixels_agree(open_store(tmp_path / "crashed.zarr"), memory)


def test_a_killed_process_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "killed.ome.zarr"
    spec = spec_for((200, 180), "image", channels=3)
    code = f"""
import sys, time; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
from napari_seamless.store import spec as spec_module
spec_module.LAST_LEVEL_EDGE = 12
from test_store_disk import *
spec = spec_for({spec.shape!r}, "image", channels=3)
store = create_store({str(path)!r}, spec, cache_bytes=10_000)
for region in chunks_of(spec):
    fill(store, picture(spec), [region])
    print(region, flush=True)
    time.sleep(0.01)  # so that it cannot reach the end before it is killed
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for _ in range(40):
        assert child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    resumed = resume_or_create(path, spec)
    assert 40 <= np.count_nonzero(resumed.finished) < resumed.finished.size
    fill(resumed, picture(spec), unfinished(resumed))
    resumed.close()
    assert files(path) == undisturbed(tmp_path / "whole.ome.zarr", spec)


def test_a_torn_last_line_of_the_journal_is_a_chunk_computed_again(tmp_path: Path) -> None:
    spec = spec_for()
    path = tmp_path / "torn.zarr"
    fill(create_store(path, spec), picture(spec), chunks_of(spec)[:4])
    (journal,) = path.rglob("journal")
    journal.write_bytes(journal.read_bytes()[:-2])
    store = open_store(path)
    assert np.count_nonzero(store.finished) == 3
    fill(store, picture(spec), unfinished(store))
    store.close()
    assert open_store(path).finished.all()
    assert files(path) == undisturbed(tmp_path / "whole.zarr", spec)


@pytest.mark.parametrize(
    "line", ["nonsense", "+0:1", "+9:1 0:1", "+0:99 0:1", "+0:1 0:1 0:1", "0:1 0:1", "+0:2 1+0:1 0:1"]
)
def test_a_damaged_line_of_the_journal_claims_nothing(tmp_path: Path, line: str) -> None:
    path = tmp_path / "damaged.zarr"
    fill(create_store(path, spec_for()), picture(spec_for()), chunks_of(spec_for())[:1])
    (journal,) = path.rglob("journal")
    journal.write_text(line + "\n")
    assert not open_store(path).finished.any()


def test_a_journal_that_the_disk_cut_short_in_a_line_goes_on_behind_the_last_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, path, write = spec_for(), tmp_path / "full.zarr", os.write
    store = create_store(path, spec)
    fill(store, picture(spec), chunks_of(spec)[:3])
    (journal,) = path.rglob("journal")
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, line: write(file, line[: len(line) // 2]))
        with pytest.raises(OutputUnwritable, match="the disk is full"):
            fill(store, picture(spec), chunks_of(spec)[3:4])
    assert journal.read_bytes().endswith(b"\n")
    store.close()
    assert np.count_nonzero(open_store(path).finished) == 3


def test_opening_a_closed_result_changes_no_file(tmp_path: Path) -> None:
    undisturbed(tmp_path / "a.zarr", spec_for())
    before = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*")}
    store = open_store(tmp_path / "a.zarr")
    store.read(Region.of((0, 90), (0, 70)))
    store.close()
    assert {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*")} == before


def test_empty_chunks_take_no_file_and_a_chunk_that_became_empty_loses_its_own(tmp_path: Path) -> None:
    spec = spec_for((32, 32))
    path = tmp_path / "a.zarr"
    with create_store(path, spec) as store:
        fill(store, np.ones((1, 32, 32), np.uint8), chunks_of(spec))
        fill(store, np.zeros((1, 32, 32), np.uint8), chunks_of(spec)[:3])
    assert len([f for f in files(path) if "labels/result/0/" in f]) == 1


# -- two stores of one result


def test_one_run_at_a_time_writes_a_result_and_anybody_may_look(tmp_path: Path) -> None:
    spec, path = spec_for(), tmp_path / "a.zarr"
    running = create_store(path, spec)
    fill(running, picture(spec), chunks_of(spec)[:5])
    for make in (create_store, resume_or_create):
        with pytest.raises(OutputExists, match="written by one run at a time; another one is writing"):
            make(path, spec_for(program_hash="other"), overwrite=True)
    with pytest.raises(OutputExists, match="wait until it ends, cancel it, or choose another path"):
        resume_or_create(path, spec)
    looking = open_store(path)
    assert np.count_nonzero(looking.finished) == 5
    np.testing.assert_array_equal(looking.levels[0], running.levels[0])
    with pytest.raises(
        OutputUnwritable, match=r"written by one run at a time; another one is writing \S*a\.zarr; wait"
    ):
        fill(looking, picture(spec), chunks_of(spec)[5:6])
    fill(running, picture(spec), chunks_of(spec)[5:9])
    running.close()
    with pytest.raises(OutputUnwritable, match=r"another run wrote \S*a\.zarr since it was opened here; open it again"):
        fill(looking, picture(spec), chunks_of(spec)[9:10])
    with open_store(path) as again:
        fill(again, picture(spec), unfinished(again))
    assert files(path) == undisturbed(tmp_path / "whole.zarr", spec)


def test_a_closed_store_can_go_on(tmp_path: Path) -> None:
    spec, path = spec_for(), tmp_path / "a.zarr"
    store = create_store(path, spec)
    for part in (chunks_of(spec)[:3], chunks_of(spec)[3:]):
        fill(store, picture(spec), part)
        store.close()
    assert files(path) == undisturbed(tmp_path / "whole.zarr", spec)


# -- other processes


def test_a_pickled_store_writes_chunks_elsewhere_and_the_driver_takes_them_in(tmp_path: Path) -> None:
    spec = spec_for()
    expected = undisturbed(tmp_path / "whole.zarr", spec)
    store = create_store(tmp_path / "a.zarr", spec)
    region = chunks_of(spec)[7]
    worker_code = f"""
import sys, pickle; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
from napari_seamless.store import spec as spec_module
spec_module.LAST_LEVEL_EDGE = 12
from test_store_disk import *
writer = pickle.loads({pickle.dumps(store)!r})
spec = spec_for()
for region in chunks_of(spec):
    writer.write(region, picture(spec)[(slice(None), *region.slices())])
"""
    subprocess.run([sys.executable, "-c", worker_code], check=True)
    assert not store.finished.any()
    for region in chunks_of(spec):
        store.commit(region)
    store.close()
    assert files(tmp_path / "a.zarr") == expected
    assert_pixels_agree(store, open_store(tmp_path / "whole.zarr"))


def test_a_worker_cannot_commit_and_can_be_sent_on(tmp_path: Path) -> None:
    writer = pickle.loads(pickle.dumps(create_store(tmp_path / "a.zarr", spec_for())))
    again = pickle.loads(pickle.dumps(writer))
    with pytest.raises(BadRequest, match="is committed in the process that drives the run"):
        again.commit(chunks_of(spec_for())[0])


def test_a_result_in_memory_refuses_to_travel() -> None:
    with pytest.raises(
        BadRequest, match=r"in memory cannot be written from another process.*give the run an output path"
    ):
        pickle.dumps(create_store(None, spec_for()))


# -- what is at the output path


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"source_identity": "other"}, "another source image"),
        ({"program_hash": "other"}, r"another program \(model, weights or settings\)"),
        ({"shape": (90, 71)}, r"the shape \(90, 70\) instead of \(90, 71\)"),
        ({"dtype": np.uint16}, "uint8 pixels instead of uint16"),
        ({"chunk": 32}, "chunks of 16 instead of 32 pixels"),
        ({"kind": "image"}, "the kind labels instead of image"),
        ({"kind": "image", "channels": 2}, "None channels instead of 2"),
    ],
)
def test_another_run_does_not_continue_a_result_and_says_what_differs(
    tmp_path: Path, changes: dict[str, Any], difference: str
) -> None:
    path = tmp_path / "a.zarr"
    undisturbed(path, spec_for())
    other = spec_for(**{"shape": (90, 70), "kind": "labels", **changes})
    with pytest.raises(OutputExists, match=f"has {difference}.*; .*choose another path or overwrite it"):
        resume_or_create(path, other)
    assert open_store(path).finished.all()
    assert not resume_or_create(path, other, overwrite=True).finished.any()


def test_a_result_goes_on_with_the_same_image_in_another_file_if_somebody_says_that_it_is_the_same(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.zarr"
    undisturbed(path, spec_for())
    copied = spec_for(source_identity="copied")
    with pytest.raises(OutputExists, match="repaired or copied again, say so"):
        resume_or_create(path, copied)
    assert resume_or_create(path, copied, same_image=True).finished.all()
    again = resume_or_create(path, copied)
    assert again.finished.all()
    assert (again.provenance["source"], again.provenance["earlier_source"]) == ("copied", spec_for().source_identity)
    again.close()
    with pytest.raises(OutputExists, match="has another program"):
        resume_or_create(path, spec_for(source_identity="third", program_hash="other"), same_image=True)


def test_overwriting_begins_anew_even_with_the_same_run(tmp_path: Path) -> None:
    undisturbed(tmp_path / "a.zarr", spec_for())
    assert not resume_or_create(tmp_path / "a.zarr", spec_for(), overwrite=True).finished.any()


def test_creating_over_an_earlier_result_needs_leave(tmp_path: Path) -> None:
    undisturbed(tmp_path / "a.zarr", spec_for())
    with pytest.raises(OutputExists, match="holds an earlier result; choose another path or overwrite it"):
        create_store(tmp_path / "a.zarr", spec_for())
    other = spec_for(program_hash="other")
    with create_store(tmp_path / "a.zarr", other, overwrite=True) as store:
        fill(store, picture(other), chunks_of(other)[:-1])
        assert open_store(tmp_path / "a.zarr").program_hash == "p"  # until the new one is complete
        fill(store, picture(other), chunks_of(other)[-1:])
    assert [f.name for f in tmp_path.iterdir()] == ["a.zarr"]
    assert open_store(tmp_path / "a.zarr").program_hash == "other"
    assert_pixels_agree(store, open_store(tmp_path / "a.zarr"))


def foreign_folder(path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("precious")


def foreign_file(path: Path) -> None:
    path.write_text("precious")


def foreign_zarr(path: Path) -> None:
    zarr.create_group(path, attributes={"ome": {"version": "0.5"}})


def own_result_with_a_guest(path: Path) -> None:
    undisturbed(path, spec_for())
    (path / "notes.txt").write_text("precious")


def own_labels_with_a_guest(path: Path) -> None:
    undisturbed(path, spec_for())
    (path / "labels" / "by hand").mkdir()


def link_to_own_result(path: Path) -> None:
    undisturbed(path.with_name("real.zarr"), spec_for())
    path.symlink_to(path.with_name("real.zarr"))


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "put",
    [foreign_folder, foreign_file, foreign_zarr, own_result_with_a_guest, own_labels_with_a_guest, link_to_own_result],
)
def test_what_is_not_ours_is_never_touched(tmp_path: Path, put: Any, overwrite: bool) -> None:
    path = tmp_path / "a.zarr"
    put(path)
    before = {f: f.read_bytes() if f.is_file() else b"" for f in tmp_path.rglob("*")}
    other = spec_for(program_hash="other")
    for make in (create_store, resume_or_create):
        with pytest.raises(OutputExists, match="holds something else, which is never overwritten; choose another path"):
            make(path, other, overwrite=overwrite)
    assert {f: f.read_bytes() if f.is_file() else b"" for f in tmp_path.rglob("*")} == before


def test_an_empty_folder_is_a_free_path_and_missing_parents_are_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert resume_or_create(tmp_path / "empty", spec_for()).path == tmp_path / "empty"
    assert create_store(tmp_path / "x" / "y" / "a.zarr", spec_for()).path.exists()  # type: ignore[union-attr]


def test_opening_what_is_no_result_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="there is nothing at"):
        open_store(tmp_path / "nothing.zarr")
    foreign_zarr(tmp_path / "theirs.zarr")
    with pytest.raises(InputUnreadable, match=r"only results of this package.*open it as an image"):
        open_store(tmp_path / "theirs.zarr")
    undisturbed(tmp_path / "a.zarr", spec_for())
    (tmp_path / "a.zarr" / "labels" / "result" / "1" / "zarr.json").unlink()
    with pytest.raises(InputDamaged, match="an array for every level"):
        open_store(tmp_path / "a.zarr")


# -- a disk that says no


def test_an_output_below_a_file_is_unwritable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputUnwritable, match=r"must be written to .*a\.zarr, but Not a directory; choose another"):
        create_store(tmp_path / "file" / "a.zarr", spec_for())


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder with a finished result, where this process may not write (root becomes nobody for a while)."""
    folder = Path(tempfile.mkdtemp())
    undisturbed(folder / "a.zarr", spec_for())
    for inner in (folder, *(f for f in folder.rglob("*") if f.is_dir())):
        inner.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    for inner in (folder, *(f for f in folder.rglob("*") if f.is_dir())):
        inner.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such permission")
def test_a_read_only_folder_can_be_read_and_not_written(read_only: Path) -> None:
    for make in (create_store, resume_or_create):
        with pytest.raises(OutputUnwritable, match="Permission denied; choose another output path"):
            make(read_only / "b.zarr", spec_for())
    store = open_store(read_only / "a.zarr")
    np.testing.assert_array_equal(store.read(Region.of((0, 90), (0, 70))), picture(spec_for()))
    with pytest.raises(OutputUnwritable, match="Permission denied; choose another output path"):
        fill(store, picture(spec_for()), chunks_of(spec_for())[-1:])
    store.close()


class FullDisk(MemoryStore):
    """A disk with room for so many more chunk files."""

    room = 10**9

    async def set(self, key: str, value: Any, byte_range: Any = None) -> None:
        if "/c/" in key or key.startswith("c/"):
            type(self).room -= 1
            if type(self).room < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await super().set(key, value, byte_range)


def test_a_full_disk_ends_a_run_with_one_sentence_and_keeps_what_was_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_for(kind="image")
    arrays = create_arrays(FullDisk(), spec, groups_of(spec))
    store = Store(spec, arrays, np.zeros(spec.grid.counts, bool), cache_bytes=600)
    monkeypatch.setattr(FullDisk, "room", 9)
    pixels = np.ones((1, *spec.shape), np.uint8)
    with pytest.raises(OutputUnwritable, match="the disk is full; free some space and run the same command again"):
        fill(store, pixels, chunks_of(spec))
    committed = np.count_nonzero(store.finished)
    assert 0 < committed < store.finished.size
    monkeypatch.setattr(FullDisk, "room", 10**9)
    fill(store, pixels, unfinished(store))
    memory = create_store(None, spec)
    fill(memory, pixels, chunks_of(spec))
    assert_pixels_agree(store, memory)


@pytest.mark.skipif(sys.platform == "win32", reason="no file-size limit to set")
def test_a_real_refusal_of_the_operating_system_leaves_a_result_that_can_be_continued(tmp_path: Path) -> None:
    path = tmp_path / "limited.zarr"
    code = f"""
import sys, resource; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
from napari_seamless.store import spec as spec_module
spec_module.LAST_LEVEL_EDGE = 12
from test_store_disk import *
spec = spec_for((64, 64), "image")
store = create_store({str(path)!r}, spec)
fill(store, np.zeros((1, 64, 64), np.uint8), chunks_of(spec)[:5])
resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))
try:
    fill(store, np.random.default_rng(0).integers(1, 255, (1, 64, 64)).astype(np.uint8), chunks_of(spec)[5:])
except OutputUnwritable as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "but File too large; choose another output path" in done.stdout
    assert np.count_nonzero(open_store(path).finished) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="no file-size limit to set")
def test_a_result_that_could_not_be_repaired_is_repaired_when_it_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, path = spec_for(), tmp_path / "crashed.zarr"
    expected = undisturbed(tmp_path / "whole.zarr", spec)
    fill(create_store(path, spec), picture(spec), chunks_of(spec)[:12])

    def refuse(_: Store) -> None:
        raise OutputUnwritable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "repair", refuse)
        store = open_store(path)
    assert not store.is_current
    np.testing.assert_array_equal(
        store.read(chunks_of(spec)[7]), picture(spec)[(slice(None), *chunks_of(spec)[7].slices())]
    )
    fill(store, picture(spec), unfinished(store))
    store.close()
    assert store.is_current
    assert files(path) == expected
