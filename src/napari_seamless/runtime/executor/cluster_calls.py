"""Calls to a cluster that may not answer, and what is said when it is gone."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TypeVar

from distributed import CancelledError, Client

from napari_seamless.errors import SeamlessError, WorkersLost
from napari_seamless.runtime.executor._compat import address_of

SECONDS = 10.0
T = TypeVar("T")


def answer_of(client: Client, call: Callable[[], T]) -> T | None:
    """What a call to a client's cluster gives; None where it does not answer within SECONDS, or is gone.

    dask waits for as long as a connection is open, also to a process that hangs: such a call is left behind, in a
    thread of its own.
    """
    found: list[T] = []
    if client.status != "running":
        return None

    def ask() -> None:
        with suppress(OSError, TimeoutError, CancelledError):
            found.append(call())

    thread = Thread(target=ask, name="napari-seamless call", daemon=True)
    thread.start()
    thread.join(SECONDS)
    return found[0] if found else None


@contextmanager
def lost_scheduler_told(client: Client) -> Iterator[None]:
    """Raise WorkersLost in place of what dask raises when the scheduler goes away: it forgets all tasks at once, and
    the client closes when it finds no other within its time-out."""
    try:
        yield
    except SeamlessError:
        raise
    except (CancelledError, OSError, RuntimeError) as error:
        if client.status == "running" and not isinstance(error, CancelledError):
            raise
        raise WorkersLost(
            f"a cluster's scheduler must stay until a run ends; {address_of(client)} went away, or began anew; start "
            "it again and run the same command: what is finished is kept"
        ) from error
