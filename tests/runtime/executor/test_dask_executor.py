"""dask gives the pixels of the serial oracle, in this process and in others, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster

from napari_seamless.errors import BadRequest, InputDamaged, WorkersLost
from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.interfaces import Executor, Pixels, Sink
from napari_seamless.runtime.executor.dask_executor import DaskExecutor
from napari_seamless.runtime.executor.job import TileJob
from napari_seamless.runtime.executor.serial import SerialExecutor
from napari_seamless.runtime.executor.tile_queue import ViewFirstQueue
from napari_seamless.runtime.planning.order import view_first
from napari_seamless.testing.conformance import ExecutorConformance, SourceConformance
from napari_seamless.testing.fakes import (
    BoxBlurEngine,
    FatalEngine,
    FileSink,
    GradientSource,
    ListQueue,
    RecordingSink,
)
from tile_queues import SHAPE, never, todo


def job(sink: Sink, **engine: object) -> TileJob:
    return TileJob(GradientSource(SHAPE), 0, BoxBlurEngine(SHAPE, **engine), sink)  # type: ignore[arg-type]


def oracle() -> Pixels:
    sink = RecordingSink(SHAPE)
    SerialExecutor().run(job(sink), todo(), sink.commit, never)
    return sink.pixels


class TestDaskWithThreads(ExecutorConformance):
    def make_executor(self) -> Executor:
        return DaskExecutor(threads=3)


class TestGradientSource(SourceConformance):
    def make_source(self, tmp_path: Path) -> GradientSource:  # noqa: ARG002 - nothing lies on disk
        return GradientSource((61, 47), (31, 24), channels=3)


@pytest.mark.parametrize("tile", [10, 30, 200])
@pytest.mark.parametrize("threads", [1, 3])
def test_dask_equals_serial_pixel_for_pixel(tile: int, threads: int) -> None:
    sink = RecordingSink(SHAPE)
    scheduler = DaskExecutor(threads=threads)
    try:
        scheduler.run(job(sink), todo(tile), sink.commit, never)
    finally:
        scheduler.close()
    assert (sink.times == 1).all()
    np.testing.assert_array_equal(sink.pixels, oracle())


def test_a_volume_is_made_like_a_plane() -> None:
    shape = (9, 40, 30)
    chunks = Grid(shape, (3, 10, 10))
    results = []
    for scheduler in (SerialExecutor(), DaskExecutor()):
        sink = RecordingSink(shape, channels=2)
        volume = TileJob(GradientSource(shape, channels=2), 0, BoxBlurEngine(shape), sink)
        queue = ViewFirstQueue(chunks, Region.from_shape(shape), np.zeros(chunks.counts, bool), view_first, 20, z=6)
        scheduler.run(volume, queue, sink.commit, never)
        scheduler.close()
        assert (sink.times == 1).all()
        results.append(sink.pixels)
    np.testing.assert_array_equal(*results)


def test_quick_tiles_travel_together_and_slow_ones_alone() -> None:
    sink, sizes = RecordingSink(SHAPE), []

    class Counting(ListQueue):
        """Notes how many tiles are taken at once."""

        def done(self, write: Region) -> None:
            sizes.append(len(self.taken))
            super().done(write)

    grid = Grid(SHAPE, (10, 10))
    queue = Counting(grid.region(cell) for cell in cells_of(Region.from_shape(grid.counts)))
    scheduler = DaskExecutor()
    try:
        scheduler.run(job(sink), queue, sink.commit, never)
    finally:
        scheduler.close()
    assert max(sizes[:2]) <= 3
    assert 8 < max(sizes) <= 3 * 8


def test_closing_leaves_no_thread_and_no_warning_behind() -> None:
    before = set(threading.enumerate())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scheduler = DaskExecutor()
        sink = RecordingSink(SHAPE)
        scheduler.run(job(sink), todo(), sink.commit, never)
        assert len(set(threading.enumerate()) - before) >= 2
        scheduler.close()
        scheduler.close()
    assert [str(w.message) for w in caught] == []
    left = [thread for thread in set(threading.enumerate()) - before if not is_dasks_own(thread.name)]
    for thread in left:
        thread.join(10)  # dask's profiler looks only now and then whether its worker is still there
    assert [thread.name for thread in left if thread.is_alive()] == []


def is_dasks_own(name: str) -> bool:
    """dask.distributed keeps one thread for serialization a process, for ever, whoever used it first."""
    return name.startswith("Dask-Offload")


def test_a_clients_own_cluster_is_used_and_left_open() -> None:
    cluster = LocalCluster(
        n_workers=2,
        processes=False,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
    )
    with cluster, Client(cluster, set_as_default=False) as client:
        sink = RecordingSink(SHAPE)
        scheduler = DaskExecutor(client)
        scheduler.run(job(sink), todo(), sink.commit, never)
        scheduler.close()
        assert client.status == "running"
        assert all(
            not name.startswith("napari-seamless") for worker in cluster.workers.values() for name in worker.plugins
        )
    np.testing.assert_array_equal(sink.pixels, oracle())


def test_an_address_where_nobody_answers_is_said_so() -> None:
    with dask.config.set({"distributed.comm.timeouts.connect": "200ms"}):
        scheduler = DaskExecutor("tcp://127.0.0.1:9")
        with pytest.raises(WorkersLost, match=r"tcp://127\.0\.0\.1:9 did not"):
            scheduler.run(job(RecordingSink(SHAPE)), todo(), lambda _: None, never)
        scheduler.close()


def test_a_cluster_of_processes_makes_the_same_pixels_and_reports_what_fails(tmp_path: Path) -> None:
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):  # each death costs seconds
        cluster = LocalCluster(
            n_workers=2,
            processes=True,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            silence_logs=50,
        )
    with cluster:
        scheduler = DaskExecutor(cluster.scheduler_address)
        sink = FileSink(tmp_path / "pixels.npy", SHAPE)
        moving = todo()

        def commit(write: Region) -> None:
            sink.commit(write)
            moving.retarget(write.shift((30, -20)))

        scheduler.run(job(sink), moving, commit, never)
        np.testing.assert_array_equal(sink.pixels, oracle())
        assert moving.is_finished
        assert sum(region.size for region in sink.commits) == SHAPE[0] * SHAPE[1]

        failure = InputDamaged("the image must be whole; got a hole; copy it again")
        queue = todo()
        with pytest.raises(InputDamaged, match="got a hole"):
            scheduler.run(job(sink, fails_at=(45, 45), failure=failure), queue, sink.commit, never)
        assert queue.in_work == ()

        with pytest.raises(BadRequest, match="must be picklable"):
            scheduler.run(job(RecordingSink(SHAPE)), todo(), sink.commit, never)

        enough = threading.Event()
        queue = todo(10)
        scheduler.run(job(sink), queue, lambda _: enough.set(), enough.is_set)
        assert queue.in_work == ()
        assert 0 < queue.counts[0] < queue.counts[1]

        alone = ListQueue([Region.of((0, 20), (0, 20))])  # dask blames whatever lies on a worker that dies
        fatal = TileJob(GradientSource(SHAPE), 0, FatalEngine(BoxBlurEngine(SHAPE), (5, 5)), sink)
        with pytest.raises(WorkersLost, match=r"while they held y\[0, 20\) x\[0, 20\)"):
            scheduler.run(fatal, alone, sink.commit, never)
        assert (alone.taken, alone.left) == ([], [Region.of((0, 20), (0, 20))])
        scheduler.close()


STARTED_AT_ONCE = """
from concurrent.futures import ThreadPoolExecutor
from napari_seamless.runtime.executor.local_workers import LocalWorkers
with ThreadPoolExecutor(4) as threads:
    for workers in [started.result() for started in [threads.submit(LocalWorkers) for _ in range(4)]]:
        workers.close()
"""


def test_threads_of_a_new_process_may_start_their_first_workers_at_once() -> None:
    subprocess.run([sys.executable, "-c", STARTED_AT_ONCE], check=True, timeout=100)
