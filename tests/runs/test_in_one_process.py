"""Several runs in one process, and what happens to the process meanwhile: threads, forks, event loops, folders."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from distributed import Client
from torch import Tensor, nn

import napari_seamless as ns
from napari_seamless.errors import BadRequest, RunCancelled
from napari_seamless.program._compat import tracing_alone
from napari_seamless.program.trace import trace
from napari_seamless.runtime.executor.local_workers import LocalWorkers
from napari_seamless.store import open_store


class Normed(nn.Module):
    """A network that measures the plane, and whose parts torch.export patches while it traces."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.second(nn.functional.instance_norm(self.first(x)))
        return result


IMAGE = np.random.default_rng(0).integers(0, 255, (3, 150, 170)).astype("u1")
SMALL: dict[str, Any] = {"tile": 96, "device": "cpu"}


def in_threads(work: Callable[[int], Any], count: int) -> list[Any]:
    """What each of `count` threads gives that begin at once; what it raised in its place."""
    results: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def one(number: int) -> None:
        barrier.wait()
        try:
            results[number] = work(number)
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            results[number] = error

    threads = [threading.Thread(target=one, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results


# -- threads


def test_runs_in_several_threads_give_what_each_gives_alone_and_log_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    networks = [Normed(k) for k in range(3)]  # not in the threads: they would share torch's random numbers
    alone = [np.asarray(ns.run(network, IMAGE, **SMALL, scheduler="serial")) for network in networks]
    together = in_threads(lambda k: np.asarray(ns.run(networks[k], IMAGE, **SMALL)), 3)
    assert capfd.readouterr().err == ""
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_network_is_run_in_several_threads_and_is_as_it_was_afterwards() -> None:
    network = Normed().train()
    alone = np.asarray(ns.run(Normed(), IMAGE, **SMALL, scheduler="serial"))
    for result in in_threads(lambda _: np.asarray(ns.run(network, IMAGE, **SMALL, scheduler="serial")), 3):
        np.testing.assert_array_equal(result, alone)
    assert network.training


def test_plain_torch_in_another_thread_computes_right_while_a_network_is_traced() -> None:
    network, image = Normed().eval(), torch.rand(1, 3, 40, 40)
    stop = threading.Event()

    def work(number: int) -> bool:
        if number:
            try:
                return all(trace(Normed(k), (1, 3, 300, 300)) is not None for k in range(3))
            finally:
                stop.set()
        with torch.no_grad():
            expected, same = network(image), True
            while not stop.is_set():
                same = same and torch.equal(network(image), expected)
        return same

    assert in_threads(work, 2) == [True, True]


def test_a_trace_that_waits_for_another_thread_can_be_cancelled() -> None:
    with tracing_alone():
        (result,) = in_threads(lambda _: trace(Normed(), (1, 3, 64, 64), cancelled=lambda: True), 1)
    assert isinstance(result, RunCancelled)
    assert "before it began" in str(result)


# -- a process that was forked


def child(prepared: ns.Prepared, answers: Any) -> None:
    """In a forked process: a run from the start, and one of what was prepared before the fork."""
    try:
        anew = ns.run(Normed(), IMAGE, **SMALL)
        run = ns.start(prepared, **SMALL)
        run.wait()
        answers.send((np.asarray(anew), np.asarray(run.result()), anew.report.notices))
    except BaseException as error:
        answers.send(error)
        raise


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_process_that_was_forked_after_a_run_runs_too_and_says_in_one_thread() -> None:
    before, prepared = torch.get_num_threads(), ns.prepare(Normed(), IMAGE)
    context = multiprocessing.get_context("fork")
    received, answers = context.Pipe(duplex=False)
    torch.set_num_threads(2)
    try:
        expected = np.asarray(ns.run(Normed(), IMAGE, **SMALL))
        process = context.Process(target=child, args=(prepared, answers))
        process.start()
        assert received.poll(60), "the child hangs"
        anew, going_on, notices = received.recv()
    finally:
        torch.set_num_threads(before)
        process.kill()
    np.testing.assert_allclose(anew, expected, atol=1e-5)
    np.testing.assert_allclose(going_on, expected, atol=1e-5)
    assert any("forked from one that had torch" in notice for notice in notices)


# -- an event loop that is running, as in a notebook


def test_a_run_inside_a_running_event_loop_is_one_outside_with_its_own_workers_or_a_client(tmp_path: Path) -> None:
    async def cell() -> tuple[np.ndarray, np.ndarray]:
        alone = np.asarray(ns.run(Normed(), IMAGE, **SMALL))
        workers = LocalWorkers()
        facts: dict[str, Any] = {**SMALL, "scheduler": workers.client, "output": tmp_path / "a.zarr"}
        try:
            return alone, np.asarray(ns.run(Normed(), IMAGE, **facts))
        finally:
            workers.close()

    expected = np.asarray(ns.run(Normed(), IMAGE, **SMALL, scheduler="serial"))
    for result in asyncio.run(cell()):
        np.testing.assert_array_equal(result, expected)


def test_a_client_that_is_to_be_awaited_is_refused(tmp_path: Path) -> None:
    async def cell() -> None:
        async with Client(  # type: ignore[no-untyped-call]
            processes=False, asynchronous=True, dashboard_address=None, set_as_default=False
        ) as client:
            ns.run(Normed(), IMAGE, **SMALL, scheduler=client, output=tmp_path / "a.zarr")

    with pytest.raises(BadRequest, match="got one with asynchronous=True; make another with Client"):
        asyncio.run(cell())


# -- a working folder that is another one later


def test_paths_are_those_of_the_folder_where_they_were_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    tifffile.imwrite(tmp_path / "i.tif", IMAGE.transpose(1, 2, 0), photometric="rgb", tile=(64, 64))
    monkeypatch.chdir(tmp_path)
    prepared = ns.prepare(Normed(), "i.tif")
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = ns.start(prepared, **SMALL, output="a.zarr", keep="disk")
    monkeypatch.chdir(tmp_path)
    run.wait(60)
    result = np.asarray(run.result())
    np.testing.assert_array_equal(result, np.asarray(ns.run(Normed(), IMAGE, **SMALL, scheduler="serial")))
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == ["elsewhere", "i.tif"]
    there = open_store(tmp_path / "elsewhere" / "a.zarr")
    np.testing.assert_array_equal(there.read(ns.Region.from_shape(result.shape[-2:])), result)
