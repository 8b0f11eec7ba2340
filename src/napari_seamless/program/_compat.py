"""All that is used of torch here without being public, each with what happens where it is missing.

Imported once; a test takes each away in turn.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from logging import LogRecord, getLogger
from threading import RLock
from typing import Any

import torch
from torch import Tensor

from napari_seamless.errors import RunCancelled, TraceFailed

FAKE_MODULE = "torch._subclasses.fake_tensor"
NO_GRADIENT = "wrap_with_set_grad_enabled"
"""The name of torch's operator for what was computed under `torch.no_grad`, as a part of its own."""
SECONDS_BETWEEN_LOOKS = 0.05


class _TracingLock:
    """One for the process. A child that was forked while another thread held it begins with a free one."""

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = RLock()


_TRACING = _TracingLock()


@contextmanager
def tracing_alone(cancelled: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Keep other threads from tracing: while `torch.export` works, patches of `nn.Module`, the hierarchy of modules and
    a stack of modes are global in the process, and a second trace fails, or breaks the first.

    Waits for its turn, and asks `cancelled` meanwhile; then raises RunCancelled. One thread may nest it.
    """
    lock = _TRACING.lock
    while not lock.acquire(timeout=SECONDS_BETWEEN_LOOKS):
        if cancelled():
            raise RunCancelled("tracing was cancelled before it began; start it again to run the network")
    try:
        yield
    finally:
        lock.release()


def _fake(name: str) -> Any:
    try:
        return getattr(import_module(FAKE_MODULE), name)
    except (ImportError, AttributeError) as error:
        raise TraceFailed(
            f"tracing needs torch's fake tensors ({FAKE_MODULE}.{name}); torch {torch.__version__} has none; install "
            "a version of torch that this package was tested with"
        ) from error


def fake_mode() -> AbstractContextManager[Any]:
    """In it tensors have shapes and dtypes, but no memory. Raises TraceFailed where torch has no such thing.

    What such a tensor has to say of a size that does not fit is raised, and not logged.
    """
    mode: AbstractContextManager[Any] = _fake("FakeTensorMode")(allow_non_fake_inputs=True)
    return mode


def is_fake(tensor: Tensor) -> bool:
    """Whether a tensor is one of `fake_mode`."""
    return isinstance(tensor, _fake("FakeTensor"))


def needs_values() -> tuple[type[Exception], ...]:
    """What a fake tensor raises where shapes, or branches, depend on values. Those that torch has."""
    names = (
        "DataDependentOutputException",
        "DynamicOutputShapeException",
        "UnsupportedFakeTensorException",
        "UnsupportedOperatorException",
    )
    try:
        module = import_module(FAKE_MODULE)
    except ImportError:
        return ()
    return tuple(getattr(module, name) for name in names if hasattr(module, name))


@contextmanager
def without_fake_log() -> Iterator[None]:
    """Without the log of torch's fake tensors: a size that is tried and does not fit is no error to tell anybody."""
    logger = getLogger(FAKE_MODULE)
    logger.addFilter(_nothing)
    try:
        yield
    finally:
        logger.removeFilter(_nothing)


def _nothing(record: LogRecord) -> bool:
    del record
    return False


def is_data_of(function: object) -> bool:
    """Whether a function is what gets `x.data` of a tensor. Where torch tells nobody, `x.data` is traced as torch does
    it, and a network that uses it is refused with a message about constants."""
    getter = getattr(getattr(torch.Tensor, "data", None), "__get__", None)
    return getter is not None and function == getter


def is_under_no_grad(node: torch.fx.Node) -> bool:
    """Whether a traced node holds what was computed under `torch.no_grad`. Where torch calls it something else,
    gradients flow through it, which is what plain torch does without `no_grad`."""
    return str(node.target) == NO_GRADIENT and not node.args[0]
