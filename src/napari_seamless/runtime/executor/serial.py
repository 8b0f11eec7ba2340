"""The plan in the calling thread: the oracle of every other executor, and the debugger's friend."""

from __future__ import annotations

from collections.abc import Callable

from napari_seamless.errors import RegionUnreadable, RunCancelled
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Job, StopFlag, TileQueue


class SerialExecutor:
    """Makes one tile after the other where it is called; implements `interfaces.Executor`."""

    is_remote = False

    def run(self, job: Job, queue: TileQueue, commit: Callable[[Region], None], stop: StopFlag) -> None:
        """Work until the queue has nothing to start, or `stop` says True; an unfinished tile is given back."""
        while not stop() and (write := queue.take()) is not None:
            try:
                job.receive(write, job.make(write, stop))
                commit(write)
            except RunCancelled:
                queue.give_back(write)
                if not stop():
                    raise
            except RegionUnreadable as error:
                queue.fail(write, error)
            except BaseException:
                queue.give_back(write)
                raise
            else:
                queue.done(write)

    def close(self) -> None:
        """Nothing is held."""
