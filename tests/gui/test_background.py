"""Background work alone: who is told of what, in which thread, and what a closed dock leaves to be done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from napari_seamless._napari.background import BackgroundJobs, ignore
from napari_seamless.errors import BadRequest, RunCancelled


class Reported(list[BaseException]):
    """The errors that came to the dock."""


@pytest.fixture
def reported() -> Reported:
    return Reported()


@pytest.fixture
def jobs(reported: Reported) -> Iterator[BackgroundJobs]:
    made = BackgroundJobs(reported.append)
    yield made
    made.close()


def delivered(jobs: BackgroundJobs, reached: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not reached() and time.monotonic() < end:
        jobs.deliver()
        time.sleep(0.005)
    return reached()


def refuse(_stop: Any) -> None:
    raise BadRequest("no")


def test_an_outcome_is_told_in_the_thread_that_asks_for_it(jobs: BackgroundJobs) -> None:
    told: list[tuple[int, threading.Thread]] = []
    job = jobs.begin(lambda _stop: 7, lambda result: told.append((result, threading.current_thread())))
    assert delivered(jobs, lambda: bool(told))
    assert told == [(7, threading.main_thread())]
    assert not job.is_open


def test_an_error_goes_to_the_dock_unless_a_job_deals_with_it_or_it_was_cancelled(
    jobs: BackgroundJobs, reported: Reported
) -> None:
    own: list[BaseException] = []

    def give_up(_stop: Any) -> None:
        raise RunCancelled("enough")

    begun = [
        jobs.begin(refuse),
        jobs.begin(refuse, failed=own.append),
        jobs.begin(refuse, failed=ignore),
        jobs.begin(give_up),
    ]
    assert delivered(jobs, lambda: not any(job.is_open for job in begun))
    assert [str(error) for error in reported] == ["no"]
    assert [str(error) for error in own] == ["no"]


def test_a_job_that_is_stopped_tells_what_came_of_it_and_one_that_is_cancelled_does_not(jobs: BackgroundJobs) -> None:
    told: list[str] = []

    def wait(stop: Callable[[], bool]) -> str:
        while not stop():
            time.sleep(0.005)
        return "stopped"

    stopped, cancelled = jobs.begin(wait, told.append), jobs.begin(wait, lambda _: told.append("cancelled"))
    stopped.stop()
    cancelled.cancel()
    assert stopped.is_stopping
    assert delivered(jobs, lambda: bool(told) and cancelled.future.done())
    jobs.deliver()
    assert told == ["stopped"]


def test_jobs_of_one_lane_are_done_one_after_the_other(jobs: BackgroundJobs) -> None:
    order: list[int] = []

    def work(number: int) -> Callable[[Any], None]:
        def do(_stop: Any) -> None:
            time.sleep(0.02 / (number + 1))
            order.append(number)

        return do

    begun = [jobs.begin(work(number), lane="one") for number in range(4)]
    assert delivered(jobs, lambda: not any(job.is_open for job in begun))
    assert order == [0, 1, 2, 3]


def test_what_survives_is_done_after_the_dock_is_closed_and_the_rest_is_not(reported: Reported) -> None:
    jobs, gate, done = BackgroundJobs(reported.append, threads=1), Event(), list[str]()
    jobs.begin(lambda _stop: gate.wait(20))
    jobs.begin(lambda _stop: done.append("dropped"))
    jobs.begin(lambda _stop: done.append("kept"), survives=True)
    jobs.close(lambda: done.append("last"))
    jobs.close()
    gate.set()
    assert delivered(jobs, lambda: "last" in done)
    assert done == ["kept", "last"]
    assert reported == []
