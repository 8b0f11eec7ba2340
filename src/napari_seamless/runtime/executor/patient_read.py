"""Reads that may hang, and are left to themselves when nobody waits for them any more."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread

from napari_seamless.errors import RunCancelled
from napari_seamless.interfaces import Pixels, StopFlag

LOOK_SECONDS = 0.1


def read_unless_stopped(read: Callable[[], Pixels], stop: StopFlag) -> Pixels:
    """What `read` gives or raises, which goes on in a thread of its own. Raises RunCancelled soon after `stop` says
    True, however long the read may take."""
    results: SimpleQueue[Pixels | BaseException] = SimpleQueue()

    def work() -> None:
        try:
            results.put(read())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            results.put(error)

    Thread(target=work, name="napari-seamless read", daemon=True).start()
    while True:
        try:
            found = results.get(timeout=LOOK_SECONDS)
        except Empty:
            if stop():
                raise RunCancelled("the run was cancelled; finished tiles are kept") from None
        else:
            if isinstance(found, BaseException):
                raise found
            return found
