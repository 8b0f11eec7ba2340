"""What docs/durability.md promises, at some places; benchmarks/faults.py tries all of them."""

from __future__ import annotations

import errno
import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_seamless as ns
from napari_seamless import file_lock
from napari_seamless.errors import InputDamaged, OutputExists, OutputUnwritable
from napari_seamless.file_lock import PlaceLock
from napari_seamless.runs.moments import Moments
from napari_seamless.store import open_store
from napari_seamless.store import spec as spec_module

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")

BENCHMARK = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "faults.py"))
Blur, Normed = BENCHMARK["Blur"], BENCHMARK["Normed"]
run: Callable[..., Any] = BENCHMARK["run"]
is_right: Callable[..., bool] = BENCHMARK["is_right"]


@pytest.fixture(autouse=True)
def _two_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec_module, "LAST_LEVEL_EDGE", BENCHMARK["EDGE"] // 2)


def assert_nothing_is_lost(scenario: str, every: int, fewest: int) -> None:
    tally = BENCHMARK["tried"](scenario, every)
    assert tally.lost == 0
    assert tally.tries >= fewest


@pytest.mark.parametrize(
    ("scenario", "every"),
    [("killed: a run", 17), ("killed: a run with shards", 29), ("killed: a run that measures first", 23)],
)
def test_a_run_that_is_killed_at_any_moment_goes_on(scenario: str, every: int) -> None:
    assert_nothing_is_lost(scenario, every, fewest=5)


@pytest.mark.parametrize(
    ("scenario", "every"), [("power cut: a run", 31), ("power cut: a run that measures first", 29)]
)
def test_a_run_whose_power_is_cut_at_any_moment_goes_on(scenario: str, every: int) -> None:
    assert_nothing_is_lost(scenario, every, fewest=5)


@pytest.mark.parametrize(
    ("scenario", "every"), [("killed: a run that overwrites", 29), ("power cut: a run that overwrites", 41)]
)
def test_an_overwritten_result_stays_until_the_new_one_is_complete(scenario: str, every: int) -> None:
    assert_nothing_is_lost(scenario, every, fewest=5)


@pytest.mark.parametrize(("suffix", "every"), [("OME-TIFF", 5), ("GeoJSON", 5), ("OME-Zarr", 25)])
def test_an_export_that_is_killed_at_any_moment_leaves_what_was_there(suffix: str, every: int) -> None:
    assert_nothing_is_lost(f"killed: an export to {suffix}", every, fewest=2)


def test_a_model_whose_adding_is_killed_is_there_whole_or_not_at_all() -> None:
    assert_nothing_is_lost("killed: a model that is added", 1, fewest=8)


def test_of_two_runs_that_are_started_together_one_has_the_output() -> None:
    assert_nothing_is_lost("races: two runs on one output", 21, fewest=10)


def test_processes_that_trust_files_at_once_lose_nothing() -> None:
    assert_nothing_is_lost("races: three processes and the trust list", 10, fewest=4)


@pytest.mark.parametrize(("name", "every"), [("journal", 8), ("moments", 30)])
def test_a_flipped_bit_beside_a_result_is_found(name: str, every: int) -> None:
    assert_nothing_is_lost(f"a flipped bit in the {name}", every, fewest=5)


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("damage", ["empty", "cut short", "gone"])
def test_chunks_whose_files_are_damaged_are_made_again(tmp_path: Path, shards: bool, damage: str) -> None:
    output = tmp_path / "a.ome.zarr"
    run(Blur, output, shards=shards)
    files = [file for file in output.rglob("c/*/*/*") if file.is_file()]
    assert len(files) > 5
    for file in files[::2]:
        if damage == "gone":
            file.unlink()
        else:
            file.write_bytes(b"" if damage == "empty" else file.read_bytes()[:-7])
    assert not open_store(output, repairs=False).finished.all()
    assert is_right(Blur, run(Blur, output, shards=shards))


def test_overwriting_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    output = tmp_path / "a.ome.zarr"
    run(Blur, output)
    prepared = BENCHMARK["prepared"](Normed)
    handle = ns.start(prepared, output=output, overwrite=True, whole=False, follow=True, tile=64, device="cpu")
    handle.retarget(ns.Region.of((0, 10), (0, 10)))
    handle.pause()
    handle.cancel()
    handle.wait()
    made = handle.store.path
    again = ns.start(prepared, output=output, overwrite=True, tile=64, device="cpu", scheduler="serial")
    assert again.store.path == made
    again.wait()
    assert is_right(Normed, open_store(output))


def test_what_a_kill_left_inside_a_result_does_not_make_it_somebody_elses(tmp_path: Path) -> None:
    output = tmp_path / "a.ome.zarr"
    run(Blur, output)
    (output / ".0.seamless-lock").touch()
    (output / ".zarr.json.12ab.partial").touch()
    assert is_right(Blur, run(Blur, output))


def test_an_output_is_locked_while_a_run_measures(tmp_path: Path) -> None:
    output, options = tmp_path / "a.ome.zarr", {"tile": 64, "device": "cpu", "scheduler": "serial"}
    first = ns.start(BENCHMARK["prepared"](Normed), output=output, **options)
    first.pause()
    for overwrite in (False, True):
        with pytest.raises(OutputExists, match="written by one run at a time; another one is writing"):
            ns.start(BENCHMARK["prepared"](Blur), output=output, overwrite=overwrite, **options)
    first.resume()
    first.wait()
    assert is_right(Normed, open_store(output))


def test_a_forked_child_does_not_keep_the_lock_of_its_parent(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    middle = os.fork()
    if middle == 0:  # takes the lock, forks a child that stays, and dies
        lock = PlaceLock(tmp_path / "a")
        lock.take()
        if os.fork() == 0:
            os.close(writing)
            os.read(reading, 1)
        os._exit(0 if lock.is_ours else 1)
    os.close(reading)
    os.waitpid(middle, 0)
    other = PlaceLock(tmp_path / "a")
    assert other.take()
    other.release()
    os.close(writing)


def test_a_forked_child_does_not_have_the_lock_of_its_parent(tmp_path: Path) -> None:
    lock = PlaceLock(tmp_path / "a")
    lock.take()
    child = os.fork()
    if child == 0:
        os._exit(int(lock.is_ours))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lock.is_ours
    lock.release()


def test_where_a_disk_has_no_locks_a_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_file: int, **_how: bool) -> bool:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(file_lock, "lock_descriptor", refuse)
    with pytest.raises(OutputUnwritable, match=r"a disk that has locks.*mount it with locks, or choose another path"):
        run(Blur, tmp_path / "a.ome.zarr")
    assert not (tmp_path / "a.ome.zarr").exists()


def test_a_flipped_bit_in_a_file_of_moments_is_found(tmp_path: Path) -> None:
    states = {"0 norm": (np.array([9.0]), np.array([1.5, 2.5]))}
    path = Moments(states, {"model": "m"}).save(tmp_path / "a.safetensors")
    written = path.read_bytes()
    for place in range(len(written)):
        flipped = bytearray(written)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(flipped))
        with pytest.raises(InputDamaged, match="moments"):
            Moments.load(path)
