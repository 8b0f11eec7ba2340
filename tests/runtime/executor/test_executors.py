"""Every executor of the table is held to the conformance checks; names and objects lead to executors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import napari_seamless as ns
from napari_seamless.errors import BadRequest
from napari_seamless.interfaces import Executor
from napari_seamless.runtime.executor.executors import EXECUTORS, is_cluster, make_executor
from napari_seamless.runtime.executor.serial import SerialExecutor
from napari_seamless.testing.conformance import ExecutorConformance


class TestExecutorsByName(ExecutorConformance):
    """All of the table, so that a new line needs no test of its own here."""

    @pytest.fixture(params=EXECUTORS)
    def executor(self, request: pytest.FixtureRequest) -> Iterator[Executor]:
        executor = make_executor(request.param, threads=1)
        yield executor
        executor.close()

    def make_executor(self) -> Executor:
        return SerialExecutor()


def test_executors_of_the_table_work_in_this_process() -> None:
    for name in EXECUTORS:
        executor = make_executor(name, threads=1)
        assert (is_cluster(name), executor.is_remote) == (False, False)
        executor.close()


def test_a_name_of_no_executor_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"a scheduler is dask, serial, an address .*; got 'nowhere'"):
        make_executor("nowhere", 1)


def test_an_address_or_a_client_is_a_cluster() -> None:
    assert is_cluster("tcp://127.0.0.1:8786")
    assert make_executor("tcp://127.0.0.1:8786", 1).is_remote


def test_an_executor_of_ones_own_makes_the_pixels_of_the_others_and_is_closed() -> None:
    class Own(SerialExecutor):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    own, image = Own(), np.random.default_rng(0).integers(0, 255, (100, 90), dtype=np.uint8)
    network = torch.nn.Conv2d(1, 2, 3, padding=1)
    assert not is_cluster(own)
    made, expected = (np.asarray(ns.run(network, image, tile=64, device="cpu", scheduler=s)) for s in (own, "serial"))
    np.testing.assert_array_equal(made, expected)
    assert own.closed == 1
