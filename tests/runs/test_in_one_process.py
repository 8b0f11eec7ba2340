"""Several runs in one process, and what happens to the process meanwhile: threads, forks, event loops, folders."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import napari_seamless as ns
from napari_seamless.errors import RunCancelled
from napari_seamless.program._compat import tracing_alone
from napari_seamless.program.trace import trace


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
    alone = [np.asarray(ns.run(Normed(k), IMAGE, **SMALL, scheduler="serial")) for k in range(3)]
    together = in_threads(lambda k: np.asarray(ns.run(Normed(k), IMAGE, **SMALL)), 3)
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
