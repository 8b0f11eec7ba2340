"""Whether this process was forked from one that had torch, whose threads (and dask's) are then missing here.

What torch computes in several threads waits for ever for those of its parent; so does dask. Loaded with the package, so
that a fork does not go unseen.
"""

from __future__ import annotations

import os
import sys


class _Fork:
    """What is known of the fork that made this process, if one did."""

    def __init__(self) -> None:
        # a process that multiprocessing forked has the module, which would make each start slower
        made_by = sys.modules.get("multiprocessing.process")
        is_forked = made_by is not None and type(made_by.current_process()).__name__ == "ForkProcess"
        self.had_torch = is_forked and "torch" in sys.modules
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._look)

    def _look(self) -> None:
        self.had_torch = "torch" in sys.modules


_FORK = _Fork()

FORKED = (
    "this process was forked from one that had torch, whose threads it lacks: tiles are made one after another, in one "
    'thread; start processes by "spawn" to use more'
)


def lacks_threads() -> bool:
    """Whether this process may use neither dask nor more than one of torch's threads; it does not from now on."""
    if _FORK.had_torch:
        import torch

        torch.set_num_threads(1)
    return _FORK.had_torch
