"""What goes wrong while a run goes on: what can be made is made, what cannot is said, and nothing finished is lost."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from distributed import Client, LocalCluster

import killing
import napari_seamless as ns
from napari_seamless import cli
from napari_seamless.errors import DeviceFull, OutputExists, OutputUnwritable, RegionUnreadable
from napari_seamless.geometry import Grid, Region
from napari_seamless.interfaces import Executor, Source
from napari_seamless.io.readers import sample_slide
from napari_seamless.runtime.engine import TorchEngine
from napari_seamless.runtime.engine.oom_retry import OutOfMemoryRetry, halves
from napari_seamless.runtime.executor import counted_queue, job
from napari_seamless.runtime.executor.dask_executor import DaskExecutor
from napari_seamless.runtime.executor.driver import Driver
from napari_seamless.runtime.executor.job import TileJob
from napari_seamless.runtime.executor.serial import SerialExecutor
from napari_seamless.runtime.executor.tile_queue import ViewFirstQueue
from napari_seamless.runtime.planning.order import view_first
from napari_seamless.store import open_store
from napari_seamless.testing.fakes import (
    BoxBlurEngine,
    DamagedSource,
    FatalEngine,
    FatalSource,
    FileSink,
    GradientSource,
    RecordingSink,
)

SHAPE = (100, 120)
CHUNKS = Grid(SHAPE, (10, 10))
SPOT = Region.of((44, 47), (61, 63))
UNREADABLE = CHUNKS.pixels(CHUNKS.covering(SPOT.grow((3, 3))))  # the blur's halo is 3


@pytest.fixture(params=["serial", "dask"])
def scheduler(request: pytest.FixtureRequest) -> Iterator[Executor]:
    scheduler: Executor = SerialExecutor() if request.param == "serial" else DaskExecutor(threads=2)
    yield scheduler
    scheduler.close()


def over(source: Source, scheduler: Executor, **more: Any) -> tuple[Driver, ViewFirstQueue, RecordingSink]:
    """A run over a source, to its end."""
    sink = RecordingSink(SHAPE)
    queue = ViewFirstQueue(CHUNKS, Region.from_shape(SHAPE), np.zeros(CHUNKS.counts, bool), view_first, 40)
    run = Driver(TileJob(source, 0, BoxBlurEngine(SHAPE), sink), queue, scheduler, **more).start()
    run.wait(60)
    return run, queue, sink


def undisturbed() -> np.ndarray:
    return over(GradientSource(SHAPE), SerialExecutor())[2].pixels


# -- an image that cannot be read everywhere


def test_a_run_leaves_out_the_chunks_that_cannot_be_read_and_makes_all_others(scheduler: Executor) -> None:
    run, queue, sink = over(DamagedSource(GradientSource(SHAPE), SPOT), scheduler)
    now = run.progress()
    assert (now.state, now.failed, now.done) == ("finished", UNREADABLE.size, now.total - UNREADABLE.size)
    assert sum(region.size for region in queue.failed) == UNREADABLE.size
    assert all(UNREADABLE.contains(region) for region in queue.failed)
    expected = undisturbed()
    expected[(slice(None), *UNREADABLE.slices())] = 0
    np.testing.assert_array_equal(sink.pixels, expected)
    assert sink.times.max() == 1


def test_a_read_that_goes_wrong_once_is_tried_again(scheduler: Executor) -> None:
    run, queue, sink = over(DamagedSource(GradientSource(SHAPE), SPOT, times=1), scheduler)
    assert (run.progress().failed, queue.failed) == (0, ())
    np.testing.assert_array_equal(sink.pixels, undisturbed())


def test_an_image_that_is_gone_altogether_ends_the_run(scheduler: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted_queue, "MOST_FAILURES", 5)
    monkeypatch.setattr(job, "SECONDS_BEFORE_SECOND_READ", 0.0)
    with pytest.raises(RegionUnreadable, match=r"the pixels y\[.*cannot be read, tried twice: .*copy the file again"):
        over(DamagedSource(GradientSource(SHAPE), Region.from_shape(SHAPE)), scheduler)


class Blur(torch.nn.Module):
    """A network whose result tells where it looked."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, 3, 1, 1)


class Normed(torch.nn.Module):
    """A network that must measure the whole plane first."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.instance_norm(x)


@pytest.fixture
def damaged() -> DamagedSource:
    return DamagedSource(GradientSource((300, 300), channels=3), Region.of((100, 101), (100, 101)))


def test_a_result_says_which_regions_were_left_out(damaged: DamagedSource, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"16384 pixels of the result were left out, and are 0"):
        result = ns.run(Blur(), damaged, tile=128, device="cpu", scheduler="serial", output=tmp_path / "a.ome.zarr")
    # the pixel lies in one tile of 128, and no halo of one pixel reaches it
    assert result.report.failed == (Region.of((0, 128), (0, 128)),)
    assert result.store.provenance["run"]["failed"] == [[[0, 128], [0, 128]]]
    assert not np.asarray(result)[:, :128, :128].any()
    assert np.asarray(result)[:, 128:].any()


def test_running_again_with_a_repaired_image_makes_just_what_was_left_out(
    damaged: DamagedSource, tmp_path: Path
) -> None:
    facts: dict[str, Any] = {"tile": 128, "device": "cpu", "scheduler": "serial", "output": tmp_path / "a.ome.zarr"}
    with pytest.warns(UserWarning, match="left out"):
        ns.run(Blur(), damaged, **facts)
    again = ns.run(Blur(), GradientSource((300, 300), channels=3), **facts)
    assert (again.report.tiles, again.report.failed) == (1, ())
    whole = ns.run(Blur(), GradientSource((300, 300), channels=3), tile=128, device="cpu", scheduler="serial")
    np.testing.assert_array_equal(np.asarray(again), np.asarray(whole))


def test_what_must_be_measured_over_the_whole_image_cannot_leave_anything_out(damaged: DamagedSource) -> None:
    with pytest.raises(RegionUnreadable, match="cannot be read, tried twice"):
        ns.run(Normed(), damaged, tile=128, device="cpu", scheduler="serial")


def test_the_command_line_says_what_was_left_out_with_an_exit_code_of_its_own(
    damaged: DamagedSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ns, "open_image", lambda *_, **__: damaged, raising=False)
    monkeypatch.setattr(ns, "load_model", lambda *_, **__: Blur(), raising=False)
    code = cli.main(["run", "slide", "-o", str(tmp_path / "a.ome.zarr"), "--tile", "128", "--device", "cpu"])
    said = capsys.readouterr().err
    assert code == 9
    assert "0.02 MP of the result were left out" in said
    assert "0.07 MP are finished and kept" in said


class DisturbedSource(GradientSource):
    """While its last rows are read, something else happens."""

    def __init__(self, disturb: Callable[[], None]) -> None:
        super().__init__((300, 300), channels=3)
        self._disturb = disturb

    def read(self, region: Region, level: int = 0) -> np.ndarray:
        if region.stop[0] == 300:
            self._disturb()
        return super().read(region, level)


def test_the_command_line_does_not_call_kept_what_was_deleted_while_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "a.ome.zarr"
    source = DisturbedSource(lambda: shutil.rmtree(output, ignore_errors=True))
    monkeypatch.setattr(ns, "open_image", lambda *_, **__: source, raising=False)
    monkeypatch.setattr(ns, "load_model", lambda *_, **__: Blur(), raising=False)
    code = cli.main(["run", "slide", "-o", str(output), "--tile", "128", "--device", "cpu", "--scheduler", "serial"])
    said = capsys.readouterr().err
    assert (code, output.exists()) == (7, False)
    assert f"nothing of it is left: {output} was removed" in said
    assert "kept" not in said


@pytest.mark.parametrize(
    "disturb",
    [lambda path: path.unlink(missing_ok=True), lambda path: os.truncate(path, 2000)],
    ids=["gone", "cut off"],
)
def test_the_command_line_does_not_call_kept_what_was_made_of_a_file_that_changed_meanwhile(
    disturb: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = tmp_path / "i.tif"
    tifffile.imwrite(image, np.full((300, 300, 3), 9, "uint8"), photometric="rgb", tile=(64, 64))
    source = ns.open_image(image)
    read = source.read

    def then_disturb(region: Region, level: int = 0) -> np.ndarray:
        pixels = read(region, level)
        if region.stop[0] == 300 and region.stop[1] == 300:
            disturb(image)
        return pixels

    monkeypatch.setattr(source, "read", then_disturb)
    monkeypatch.setattr(ns, "open_image", lambda *_, **__: source, raising=False)
    monkeypatch.setattr(ns, "load_model", lambda *_, **__: Blur(), raising=False)
    output = tmp_path / "a.ome.zarr"
    code = cli.main(["run", "i", "-o", str(output), "--tile", "128", "--device", "cpu", "--scheduler", "serial"])
    said = capsys.readouterr().err
    assert code == 3
    assert "was written to meanwhile, or is gone" in said
    assert "kept" not in said


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """The sample slide with zeros where one of its tiles, in the middle, has its bytes."""
    data = bytearray(sample_slide().read_bytes())
    with tifffile.TiffFile(sample_slide()) as tiff:
        page = tiff.pages.first
        middle = len(page.dataoffsets) // 2
        at, size = page.dataoffsets[middle], page.databytecounts[middle]
    data[at : at + size] = bytes(size)
    (tmp_path / "slide.svs").write_bytes(data)
    return tmp_path / "slide.svs"


def test_what_was_left_out_of_a_damaged_slide_is_named_tried_again_and_made_once_it_is_repaired(
    slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*more: str) -> tuple[int, str]:
        command = (
            f"run {slide} -o {tmp_path}/a.ome.zarr --model stain --tile 512 --device cpu --region 1024:2048,0:2048"
        )
        return cli.main([*command.split(), *more]), capsys.readouterr().err

    for _ in range(2):
        code, said = told()
        assert code == 9
        assert re.search(r"0\.\d\d MP of the result were left out, .* there: y\[\d+, \d+\) x\[\d+, \d+\)", said)
        assert "after the file was repaired or copied again, add --same-image" in said
    result = open_store(tmp_path / "a.ome.zarr")
    left_out = [Region.of(*bounds) for bounds in result.provenance["run"]["failed"]]
    assert all(repr(region) in said for region in left_out)
    assert not any(result.read(region).any() for region in left_out)

    slide.write_bytes(sample_slide().read_bytes())
    code, said = told()
    assert code == 7
    assert "has another source image" in said
    code, said = told("--same-image")
    assert (code, f", {len(left_out)} tiles" in said) == (0, True)
    region = Region.of((1024, 2048), (0, 2048))
    whole = np.asarray(ns.run("stain", slide, device="cpu", tile=512, region=region))
    np.testing.assert_array_equal(open_store(tmp_path / "a.ome.zarr").read(region), whole)


# -- a device without memory


class SmallDevice:
    """An engine whose device has memory for so many pixels and no more."""

    def __init__(self, inner: Any, pixels: int, error: type[BaseException] = torch.OutOfMemoryError) -> None:
        self._inner = inner
        self._pixels = pixels
        self._error = error
        self.tries: list[int] = []

    def tile(self, write: Region) -> Any:
        return self._inner.tile(write)

    def compute(self, tile: Any, read: Any, stop: Any) -> Any:
        self.tries.append(tile.write.size)
        if tile.write.size > self._pixels:
            raise self._error("the device is full\nand here is how")
        return self._inner.compute(tile, read, stop)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
@pytest.mark.parametrize("room", [64 * 64, 5000, 40_000])
def test_a_tile_that_the_device_has_no_memory_for_is_made_in_halves_with_the_same_pixels(
    room: int, error: type[BaseException]
) -> None:
    shape = (400, 530)
    source, whole = GradientSource(shape), Region.from_shape(shape)
    expected = BoxBlurEngine(shape).compute(BoxBlurEngine(shape).tile(whole), source.read, lambda: False)
    device = SmallDevice(BoxBlurEngine(shape), room, error)
    engine = OutOfMemoryRetry(device)
    np.testing.assert_array_equal(engine.compute(engine.tile(whole), source.read, lambda: False), expected)
    assert sum(size for size in device.tries if size <= room) == whole.size
    assert engine.largest is not None


def test_what_a_device_has_no_memory_for_is_not_tried_again() -> None:
    source, device = GradientSource((256, 512)), SmallDevice(BoxBlurEngine((256, 512)), 20_000)
    engine = OutOfMemoryRetry(device)
    for half in halves(Region.from_shape((256, 512))):
        engine.compute(engine.tile(half), source.read, lambda: False)
    assert [size for size in device.tries if size > 20_000] == [65536, 32768]


def test_a_device_without_any_memory_is_said_so() -> None:
    engine = OutOfMemoryRetry(SmallDevice(BoxBlurEngine((300, 300)), 100))
    with pytest.raises(DeviceFull, match=r"memory for a tile of 64 pixels; it has not \(the device is full\); close"):
        engine.compute(engine.tile(Region.from_shape((300, 300))), GradientSource((300, 300)).read, lambda: False)


def test_other_errors_of_a_device_are_not_taken_for_a_lack_of_memory() -> None:
    engine = OutOfMemoryRetry(SmallDevice(BoxBlurEngine((300, 300)), 100, RuntimeError))
    with pytest.raises(RuntimeError, match="the device is full"):
        engine.compute(engine.tile(Region.from_shape((300, 300))), GradientSource((300, 300)).read, lambda: False)


def test_a_run_goes_on_in_smaller_pieces_also_where_it_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    image = GradientSource((300, 260), channels=3)
    facts: dict[str, Any] = {"tile": 256, "device": "cpu", "scheduler": "serial"}
    expected = np.asarray(ns.run(Normed(), image, **facts))
    compute = TorchEngine.compute

    def scarce(self: TorchEngine, tile: Any, read: Any, stop: Any) -> Any:
        if tile.write.size > 20_000:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return compute(self, tile, read, stop)

    monkeypatch.setattr(TorchEngine, "compute", scarce)
    result = ns.run(Normed(), image, **facts)
    np.testing.assert_allclose(np.asarray(result), expected, atol=1e-5)
    assert result.report.largest_piece == 16384


# -- shards have one writer


def test_a_sharded_run_gives_the_same_pixels_whatever_is_done_to_its_tiles(tmp_path: Path) -> None:
    image = GradientSource((700, 900), channels=3)
    whole = np.asarray(ns.run(Blur(), image, tile=128, device="cpu", scheduler="serial"))
    prepared = ns.prepare(Blur(), image)
    run = ns.start(prepared, tile=256, device="cpu", output=tmp_path / "a.ome.zarr", shards=True)
    for tile in (64, 512, 300):
        run.set_tile(tile)
    run.wait(60)
    assert run.tile % 256 == 0
    np.testing.assert_array_equal(np.asarray(run.result()), whole)
    again = open_store(tmp_path / "a.ome.zarr")
    assert (again.spec.chunk, again.spec.shard) == (256, 256)
    np.testing.assert_array_equal(again.read(Region.from_shape((700, 900))), whole)


def test_a_sharded_result_is_continued_with_other_tiles(tmp_path: Path) -> None:
    image = GradientSource((500, 600), channels=3)
    whole = np.asarray(ns.run(Blur(), image, tile=256, device="cpu", scheduler="serial"))
    facts: dict[str, Any] = {"device": "cpu", "scheduler": "serial", "output": tmp_path / "a.ome.zarr", "shards": True}
    ns.run(Blur(), image, tile=128, region=Region.of((0, 300), (0, 600)), **facts)
    assert 0 < np.count_nonzero(open_store(tmp_path / "a.ome.zarr").finished) < 20
    again = ns.run(Blur(), image, tile=320, **facts)
    assert again.store.spec.shard == 128
    np.testing.assert_array_equal(np.asarray(again), whole)
    with pytest.raises(OutputExists, match="chunks of 128 instead of 64 pixels"):
        ns.run(Blur(), image, tile=64, **facts)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the dead worker's own
def test_a_sharded_run_of_two_processes_of_which_one_dies_misses_nothing(tmp_path: Path) -> None:
    shape = (500, 600)
    image = GradientSource(shape, channels=3)
    whole = np.asarray(ns.run(Blur(), image, tile=256, device="cpu", scheduler="serial"))
    prepared = ns.prepare(Blur(), FatalSource(image, (300, 400), tmp_path / "died"))
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        run = ns.start(prepared, tile=64, device="cpu", scheduler=client, output=tmp_path / "a.ome.zarr", shards=True)
        run.set_tile(192)
        run.wait()
    assert (tmp_path / "died").exists()
    assert run.result().report.utilization is not None
    np.testing.assert_array_equal(open_store(tmp_path / "a.ome.zarr").read(Region.from_shape(shape)), whole)


# -- a process that dies


def command(output: Path) -> list[str]:
    return [sys.executable, killing.__file__, "--small", str(output)]


def test_a_run_that_was_killed_again_and_again_ends_as_one_that_was_not(tmp_path: Path) -> None:
    killing.small_run(tmp_path / "whole.zarr")
    hits = killing.killed_run(command(tmp_path / "killed.zarr"), tmp_path / "killed.zarr", 4, seed=1, span=0.3)
    assert hits == 4
    assert killing.contents(tmp_path / "killed.zarr") == killing.contents(tmp_path / "whole.zarr")


def test_a_second_run_on_an_output_is_refused_until_the_first_ends_even_by_a_kill(tmp_path: Path) -> None:
    output = tmp_path / "a.zarr"
    first = subprocess.Popen(command(output))
    while not killing.size_of(output):
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)  # so that it cannot end before the second one asks
    second = subprocess.run(command(output), capture_output=True, text=True, check=False)
    assert "another one is writing" in second.stderr
    first.kill()
    first.wait()
    assert 0 < np.count_nonzero(open_store(output).finished) < 432
    subprocess.run(command(output), check=True)
    assert open_store(output).finished.all()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the dead worker's own
def test_a_worker_that_dies_is_replaced_and_its_tiles_are_made_by_others(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "pixels.npy", SHAPE)
    queue = ViewFirstQueue(CHUNKS, Region.from_shape(SHAPE), np.zeros(CHUNKS.counts, bool), view_first, 20)
    engine = FatalEngine(BoxBlurEngine(SHAPE), (50, 60), once=tmp_path / "died")
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
        ) as cluster,
        Client(cluster) as client,
    ):
        DaskExecutor(client).run(TileJob(GradientSource(SHAPE), 0, engine, sink), queue, sink.commit, lambda: False)
    assert (tmp_path / "died").exists()
    assert queue.is_finished
    np.testing.assert_array_equal(sink.pixels, undisturbed())


# -- a disk that says no


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 4 MB, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a file system here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")
def test_a_full_disk_ends_a_run_which_goes_on_when_there_is_room(small_disk: Path, tmp_path: Path) -> None:
    done = subprocess.run(command(small_disk / "a.zarr"), capture_output=True, text=True, check=False)
    assert done.returncode
    assert "the disk is full; free some space and run the same command again" in done.stderr
    there = open_store(small_disk / "a.zarr")
    assert 0 < np.count_nonzero(there.finished) < 432
    assert there.read(there.grid.region((0, 0))).any()
    remount(small_disk, "size=64m")
    subprocess.run(command(small_disk / "a.zarr"), check=True)
    killing.small_run(tmp_path / "whole.zarr")
    assert killing.contents(small_disk / "a.zarr") == killing.contents(tmp_path / "whole.zarr")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")
def test_a_disk_that_may_only_be_read_is_said_so(small_disk: Path) -> None:
    remount(small_disk, "ro")
    done = subprocess.run(command(small_disk / "a.zarr"), capture_output=True, text=True, check=False)
    assert "Read-only file system; choose another output path" in done.stderr
    with pytest.raises(OutputUnwritable, match="Read-only file system; choose another output path"):
        ns.export(GradientSource((100, 100)), small_disk / "a.ome.tif")


# -- a clock that is set back


def test_a_clock_that_goes_backwards_harms_neither_the_run_nor_its_figures() -> None:
    hours = iter(range(10_000, 0, -1))
    run, queue, sink = over(GradientSource(SHAPE), SerialExecutor(), clock=lambda: 3600.0 * next(hours))
    now = run.progress()
    assert (now.state, now.done, queue.is_finished) == ("finished", now.total, True)
    assert now.seconds >= 0
    assert now.rate >= 0
    assert now.eta is not None
    assert now.eta >= 0
    np.testing.assert_array_equal(sink.pixels, undisturbed())
