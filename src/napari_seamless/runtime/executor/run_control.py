"""The state of a run, and how it is steered from any thread.

::

    waiting --> running <--> paused          every state but the last three can still be steered;
                   |  \\-------> cancelled    with `follows`, finished goes back to running when a new view
                   v   \\------> failed       shows something that is not done
                finished
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition

from napari_seamless.interfaces import RunState


class RunControl:
    """Any thread. Whoever waits is woken at every change.

    `on_state(state)` is called with `lock` held, whenever the state is set. A run that `follows` has settled, but is
    not over, when it is finished.
    """

    def __init__(self, lock: Condition, on_state: Callable[[RunState], None], *, follows: bool = False) -> None:
        self._lock = lock
        self._on_state = on_state
        self._follows = follows
        self.state: RunState = "waiting"
        self.is_paused = False
        self.is_cancelled = False
        self.is_over = False
        self.error: BaseException | None = None

    def enter(self, state: RunState) -> None:
        """Change the state."""
        with self._lock:
            self.state = state
            self._on_state(state)
            self._lock.notify_all()

    def end(self, state: RunState) -> None:
        """The last change of the state: the run is over."""
        with self._lock:
            self.is_over = True
            self.enter(state)

    def pause(self) -> None:
        """Hold back what has not begun."""
        with self._lock:
            self.is_paused = True
            if self.state in ("waiting", "running"):
                self.enter("paused")

    def resume(self) -> None:
        """Go on after a pause."""
        with self._lock:
            self.is_paused = False
            if self.state == "paused":
                self.enter("running")
            self._lock.notify_all()

    def cancel(self) -> None:
        """Ask for the end."""
        with self._lock:
            self.is_cancelled = True
            self._lock.notify_all()

    def is_stopped(self) -> bool:
        """The stop flag of everything that works for the run."""
        return self.is_cancelled

    def wake(self) -> None:
        """Something else changed that somebody may wait for."""
        with self._lock:
            self._lock.notify_all()

    def wait_settled(self, timeout: float | None = None) -> None:
        """Block until the run is finished, cancelled or failed, or for `timeout` seconds; raise its failure."""
        with self._lock:
            self._lock.wait_for(self._is_settled, timeout)
            if self.error is not None:
                raise self.error

    def _is_settled(self) -> bool:
        return self.is_over or (self._follows and self.state == "finished" and not self.is_cancelled)
