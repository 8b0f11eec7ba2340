"""Slow work beside the GUI: started and looked at from the GUI thread, done in another one, without Qt."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Generic, TypeVar

T = TypeVar("T")
StopFlag = Callable[[], bool]


@dataclass
class Task(Generic[T]):
    """One piece of slow work and its stop flag."""

    future: Future[T]
    stop: Event = field(default_factory=Event)

    @property
    def is_done(self) -> bool:
        return self.future.done()

    def cancel(self) -> None:
        """Asks the work to end soon; its outcome is nobody's business any more."""
        self.stop.set()
        self.future.cancel()

    def outcome(self) -> T | BaseException:
        """What the work gave or what made it fail. Only when it is done."""
        error = self.future.exception()
        return self.future.result() if error is None else error


class Background:
    """A thread or two for slow work. `close` stops what runs and forgets what waits, without blocking; `last` is still
    done there."""

    def __init__(self, threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="seamless-gui")
        self._tasks: list[Task[Any]] = []

    def begin(self, work: Callable[[StopFlag], T]) -> Task[T]:
        """Starts `work`, which gets a function that says whether it should stop."""
        stop = Event()
        task: Task[T] = Task(self._pool.submit(work, stop.is_set), stop)
        self._tasks = [*(t for t in self._tasks if not t.is_done), task]
        return task

    def finish(self) -> None:
        """Takes no more work, without blocking; what was begun, or waits, is still done."""
        self._pool.shutdown(wait=False)

    def close(self, last: Callable[[], None] | None = None) -> None:
        for task in self._tasks:
            task.cancel()
        if last is not None:
            with suppress(RuntimeError):  # the interpreter is ending, and takes its threads with it
                self._pool.submit(last)
        self._pool.shutdown(wait=False)
