"""Runs on a cluster of real processes that hang, die and come back: one sentence, and what is finished is kept.

The tests share one cluster, and go from those that leave it whole to those that end it.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import torch
from distributed import Client, LocalCluster
from distributed.security import Security

import napari_seamless as ns
from clusters import ClusterProcesses, GatedSource
from napari_seamless.errors import BadRequest, WorkersLost
from napari_seamless.interfaces import Source
from napari_seamless.runs.run import Run
from napari_seamless.runtime.executor import cluster_calls, tasks_in_flight, versions, worker_plugin
from napari_seamless.runtime.executor.worker_plugin import JobPlugin, PickledJobPlugin
from napari_seamless.store import open_store
from napari_seamless.testing.fakes import GradientSource

SHAPE = (200, 260)
TILES = 20
FACTS: dict[str, Any] = {"tile": 64, "device": "cpu"}


class Blur(torch.nn.Module):
    """A network whose result tells where it looked."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, 3, 1, 1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterProcesses]:
    processes = ClusterProcesses(tmp_path_factory.mktemp("cluster"), 2)
    yield processes
    processes.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of a machine with much else to do."""
    monkeypatch.setattr(tasks_in_flight, "WORKERS_SECONDS", 120)
    with dask.config.set({"distributed.comm.timeouts.connect": "120s"}):
        yield


@pytest.fixture
def gate(tmp_path: Path) -> GatedSource:
    return GatedSource(GradientSource(SHAPE, channels=3), tmp_path)


def undisturbed() -> np.ndarray:
    return np.asarray(ns.run(Blur(), GradientSource(SHAPE, channels=3), **FACTS, scheduler="serial"))


def started(source: Source, scheduler: object, output: Path, tiles: int = 3) -> Run:
    """A run that has made some tiles, and of which the workers wait in the next ones."""
    run = ns.start(ns.prepare(Blur(), source), **FACTS, scheduler=scheduler, output=output)
    while run.progress().tiles < tiles:
        assert run.progress().error is None
        time.sleep(0.01)
    shut = output.parent / "shut"
    shut.touch()
    for said in output.parent.glob("reads-*"):
        said.unlink()
    return run


def reading(folder: Path) -> list[int]:
    """The processes that wait at the gate."""
    return [int(said.name.partition("-")[2]) for said in folder.glob("reads-*")]


def finish(output: Path) -> int:
    """Continue in this process, compare with a run that nothing happened to, and say how many tiles were left to do."""
    (output.parent / "shut").unlink(missing_ok=True)
    again = ns.run(Blur(), GradientSource(SHAPE, channels=3), **FACTS, scheduler="serial", output=output)
    np.testing.assert_array_equal(np.asarray(again), undisturbed())
    assert open_store(output).finished.all()
    return again.report.tiles


def test_an_address_and_a_scheduler_file_are_the_same_cluster(cluster: ClusterProcesses, tmp_path: Path) -> None:
    image = GradientSource(SHAPE, channels=3)
    for number, scheduler in enumerate((cluster.address, str(cluster.file))):
        result = ns.run(Blur(), image, **FACTS, scheduler=scheduler, output=tmp_path / f"{number}.zarr")
        np.testing.assert_array_equal(np.asarray(result), undisturbed())


def test_a_scheduler_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(WorkersLost, match=r"nothing\.json did not \(there is no such file\)"):
        ns.run(
            Blur(),
            GradientSource(SHAPE, channels=3),
            **FACTS,
            scheduler=f"{tmp_path}/nothing.json",
            output=tmp_path / "a.zarr",
        )


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (
            {"torch": "0.1"},
            r"must have the packages of .* worker tcp://\S+ has torch \d\S+ instead of 0\.1; install",
        ),
        ({"no-such-package": "2.0"}, r"has no no-such-package instead of 2\.0; install the same there and start"),
    ],
)
def test_workers_with_other_packages_are_refused_before_anything_is_computed(
    other: dict[str, str], says: str, cluster: ClusterProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = versions.versions_here() | other
    monkeypatch.setattr(versions, "versions_here", lambda: here)
    with pytest.raises(BadRequest, match=says):
        ns.run(
            Blur(),
            GradientSource(SHAPE, channels=3),
            **FACTS,
            scheduler=cluster.address,
            output=tmp_path / "a.zarr",
        )
    assert not open_store(tmp_path / "a.zarr").finished.any()


def test_a_worker_with_other_packages_that_joins_later_makes_no_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    with leased() as plugin, monkeypatch.context() as patched:
        patched.setattr(worker_plugin, "versions_here", lambda: versions.versions_here() | {"zarr": "0.1"})
        with pytest.raises(BadRequest, match=r"the worker inproc://\S+ has zarr 0\.1 instead of"):
            plugin.make((), 0)


@contextmanager
def leased() -> Iterator[PickledJobPlugin]:
    """A plugin on a worker, as a client in another process puts it there."""
    local = LocalCluster(n_workers=1, processes=False, threads_per_worker=1, dashboard_address=":0", silence_logs=50)
    with local, Client(local, set_as_default=False) as client:
        client.register_plugin(PickledJobPlugin("a job"), "napari-seamless-test")  # type: ignore[arg-type]
        (worker,) = local.workers.values()
        yield worker.plugins["napari-seamless-test"]


def test_a_worker_that_hears_nothing_of_its_client_lets_go_of_the_job_until_the_client_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with leased() as plugin:
        plugin.look()
        first = held(plugin)
        assert first is not None
        monkeypatch.setattr(worker_plugin, "LEASE_SECONDS", -1.0)
        plugin.look()
        assert held(plugin) is None
        assert first.is_stopped
        monkeypatch.undo()
        plugin.set_revision(1)
        second = held(plugin)
        assert second is not None
        assert not second.is_stopped


def held(plugin: PickledJobPlugin) -> JobPlugin | None:
    return plugin.job_plugin


def test_a_cluster_of_processes_that_speaks_tls_is_used_by_its_address_and_by_its_client(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="makes the certificates")
    made = Security.temporary()
    files = {"tls_ca_file": made.tls_ca_file, "tls_cert": made.tls_client_cert, "tls_key": made.tls_client_key}
    ca_file, cert, key = places = [tmp_path / f"{name}.pem" for name in files]
    for place, content in zip(places, files.values(), strict=True):
        place.write_text(content)
    configured = {"ca-file": str(ca_file), "client.cert": str(cert), "client.key": str(key)}
    processes = ClusterProcesses(tmp_path, 1, dict(zip(files, places, strict=True)))
    image = GradientSource(SHAPE, channels=3)
    try:
        address = processes.address
        assert address.startswith("tls://")
        with pytest.raises(WorkersLost, match=r"tls://\S+ did not \(.*; check the address"):
            ns.run(Blur(), image, **FACTS, scheduler=address, output=tmp_path / "a.zarr")
        with dask.config.set({f"distributed.comm.tls.{name}": place for name, place in configured.items()}):
            by_address = ns.run(Blur(), image, **FACTS, scheduler=address, output=tmp_path / "a.zarr")
        security = Security(tls_ca_file=str(ca_file), tls_client_cert=str(cert), tls_client_key=str(key))
        with Client(address, security=security, set_as_default=False) as client:
            by_client = ns.run(Blur(), image, **FACTS, scheduler=client, output=tmp_path / "b.zarr")
        for result in (by_address, by_client):
            np.testing.assert_array_equal(np.asarray(result), undisturbed())
    finally:
        processes.close()


def test_a_cluster_object_is_taken_as_it_is_and_anything_else_is_refused(tmp_path: Path) -> None:
    image = GradientSource(SHAPE, channels=3)
    with LocalCluster(
        n_workers=1, processes=False, threads_per_worker=1, dashboard_address=":0", silence_logs=50
    ) as local:
        result = ns.run(Blur(), image, **FACTS, scheduler=local, output=tmp_path / "a.zarr")
        np.testing.assert_array_equal(np.asarray(result), undisturbed())
    with pytest.raises(BadRequest, match=r"a scheduler is a name, an address, .*; got a int"):
        ns.run(Blur(), image, **FACTS, scheduler=8786, output=tmp_path / "b.zarr")


def test_a_run_is_cancelled_though_a_worker_hangs_in_its_tile(
    cluster: ClusterProcesses, gate: GatedSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks_in_flight, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(cluster_calls, "SECONDS", 0.5)
    run = started(gate, cluster.address, tmp_path / "a.zarr")
    while not reading(tmp_path):
        time.sleep(0.01)
    hung = [process for process in cluster.workers if process.pid in reading(tmp_path)]
    for process in hung:
        process.send_signal(signal.SIGSTOP)
    run.cancel()
    run.wait(60)
    for process in hung:
        process.send_signal(signal.SIGCONT)
    assert run.progress().state == "cancelled"
    assert 0 < finish(tmp_path / "a.zarr") <= TILES - 3


def test_a_run_whose_workers_are_all_gone_ends_in_a_sentence_and_is_continued(
    cluster: ClusterProcesses, gate: GatedSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks_in_flight, "COUNT_SECONDS", 0)
    monkeypatch.setattr(tasks_in_flight, "NO_WORKERS_SECONDS", 0)
    monkeypatch.setattr(tasks_in_flight, "STOP_SECONDS", 0.1)
    monkeypatch.setattr(tasks_in_flight, "REPORT_SECONDS", 0.5)
    run = started(gate, cluster.address, tmp_path / "a.zarr")
    for process in cluster.workers:
        process.kill()
        process.wait()
    with pytest.raises(WorkersLost, match=r"the last one went away, .* run the same command: what is finished is kept"):
        run.wait(60)
    assert 0 < finish(tmp_path / "a.zarr") <= TILES - 3
    cluster.workers = [cluster.start_worker()]


def test_a_run_whose_scheduler_goes_away_ends_in_a_sentence_and_is_continued(
    cluster: ClusterProcesses, gate: GatedSource, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    address = cluster.address
    run = started(gate, address, tmp_path / "a.zarr")
    cluster.scheduler.kill()
    cluster.scheduler.wait()
    with pytest.raises(WorkersLost, match=rf"{address} went away, or began anew; start it again and run the same"):
        run.wait(60)
    assert "Traceback" not in capfd.readouterr().err
    assert 0 < finish(tmp_path / "a.zarr") <= TILES - 3
