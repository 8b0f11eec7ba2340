"""What a file says about a network may choose among a library's networks, and nothing else.

Libraries take arguments by which they fetch weights, read a file, or ask for more memory than there is. While one of
them makes a network, `confined` refuses connections, names of hosts, other programs, new threads, writing, and reading
outside of the folders in which Python and its packages lie; `Bounded` stops it when it asks for more numbers than the
network can need. Python itself reports these events (`sys.addaudithook`), in whichever way they come about, and they
are refused in this thread alone. It is no wall against hostile code: that is never run without a yes (`trust.py`).
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from napari_seamless.errors import ModelError

NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.getnameinfo", "socket.send", "urllib.",
           "http.", "ftplib.", "smtplib.", "imaplib.", "poplib.", "webbrowser.")  # fmt: skip
PROGRAMS = ("subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "os.system", "pty.",
            "_thread.start", "_winapi.CreateProcess")  # fmt: skip
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
           "os.chown", "shutil.", "tempfile.")  # fmt: skip
FILES = ("open", "ctypes.dlopen", "sqlite3.connect")
"""Beginnings of the names of Python's audit events."""

SPARE_ELEMENTS, SPARE_CALLS = 2**25, 2_500
"""What a network may make beside its weights: tables of positions, what it tries itself with."""
SECONDS = 60.0
"""Of this thread's processor time, for making a network."""


class _Here(threading.local):
    confinement: _Confinement | None = None


_here = _Here()


@contextmanager
def confined(who: str, *packages: str, readable: Iterable[Path] = ()) -> Iterator[None]:
    """Round a library's code that makes a network (`who`, in a sentence) from what a file says. This thread only.

    It may read where Python and its packages lie, the folders of `packages`, and those that are `readable`. Raises
    ModelError at whatever else it reaches for, and at the end where the library took that for an answer.
    """
    _listen()
    before, _here.confinement = _here.confinement, _Confinement(who, (*_roots(packages), *map(_root, readable)))
    own = _here.confinement
    try:
        yield
    except Exception as problem:
        if own.refusal is not None and problem is not own.refusal:
            raise own.refusal from problem
        raise
    finally:
        _here.confinement = before
    if own.refusal is not None:
        raise own.refusal


class _Confinement:
    def __init__(self, who: str, roots: tuple[str, ...]) -> None:
        self.who, self.roots = who, roots
        self.refusal: ModelError | None = None

    def check(self, event: str, args: tuple[Any, ...]) -> None:
        """Raises ModelError for an event that reaches out."""
        reached = self._reached(event, args)
        if not reached:
            return
        refusal = ModelError(
            f"a network is made from its arguments and nothing else; {self.who} reached for {reached}; leave out the "
            "argument that leads there, and bring the weights as a file"
        )
        self.refusal = self.refusal or refusal
        raise refusal

    def _reached(self, event: str, args: tuple[Any, ...]) -> str:
        if event.startswith(NETWORK):
            return f"the network ({_shown(args)})"
        if event.startswith(PROGRAMS):
            return f"another program or thread ({_shown(args)})"
        if event.startswith(CHANGES) and not self._is_bytecode(args[0] if args else ""):
            return f"a file to change it ({_shown(args)})"
        if event in FILES and args and isinstance(args[0], str | bytes | os.PathLike):
            return self._opened(event, args)
        return ""

    def _opened(self, event: str, args: tuple[Any, ...]) -> str:
        name = os.fsdecode(args[0])
        if event == "ctypes.dlopen" and os.sep not in name:
            return ""  # a library of the system
        if _writes(args) and not self._is_bytecode(name):
            return f"a file to write to it ({_shown(args)})"
        path = os.path.realpath(name)
        return "" if path.startswith(self.roots) or path == os.devnull else f"the file {_shown(args)}"

    def _is_bytecode(self, name: Any) -> bool:
        """Python keeps what it has compiled beside its modules."""
        if not isinstance(name, str | bytes | os.PathLike):
            return False
        path = os.path.realpath(os.fsdecode(name))
        return "__pycache__" in path and path.startswith(self.roots)


def _writes(args: tuple[Any, ...]) -> bool:
    mode, flags = (args[1], args[2]) if len(args) > 2 else (None, None)
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def _shown(args: tuple[Any, ...]) -> str:
    named = next((os.fsdecode(a) for a in args if isinstance(a, str | bytes | os.PathLike)), "")
    other = next((str(a) for a in args if isinstance(a, tuple)), "")
    return repr((named or other)[:100])


@cache
def _listen() -> None:
    """Once: what has been added cannot be taken away, and asks for no more than one look where nothing is confined."""

    def heard(event: str, args: tuple[Any, ...]) -> None:
        confinement = _here.confinement
        if confinement is not None:
            confinement.check(event, args)

    sys.addaudithook(heard)


@cache
def _roots(packages: tuple[str, ...]) -> tuple[str, ...]:
    """Folders of Python and its packages, each with a separator at its end."""
    named = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    for package in ("torch", "napari_seamless", *packages):
        module = sys.modules.get(package)
        named |= set(getattr(module, "__path__", ()))
    return tuple(map(_root, sorted(named)))


def _root(folder: str | Path) -> str:
    return os.path.join(os.path.realpath(folder), "")


class Bounded(TorchFunctionMode):
    """While it is entered, this thread may make no more numbers than a network with these weights can need.

    `who` is the network's name in a sentence. Raises ModelError.
    """

    def __init__(self, who: str, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self._who = who
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in weights.values()}
        self._elements = 2 * sum(storages.values()) + SPARE_ELEMENTS
        self._calls = 4 * len(weights) + SPARE_CALLS
        self._deadline = time.thread_time() + SECONDS

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and not any(isinstance(arg, torch.Tensor) for arg in args):
            self._elements -= made.numel()
            self._calls -= 1
        if self._elements < 0 or self._calls < 0 or time.thread_time() > self._deadline:
            raise ModelError(
                f"a network is as large as its weights; {self._who} makes one that is many times larger; correct its "
                "arguments, or bring the weights that belong to them"
            )
        return made
