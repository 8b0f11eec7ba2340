"""What a program does to a disk, call by call: to be written down, or to end the program at one of them."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any
from unittest.mock import patch

CALLS = ("open", "write", "fsync", "replace", "rename", "link", "unlink", "remove", "mkdir", "rmdir", "truncate")
"""Of the module os, through which pathlib, shutil and zarr go, too."""

KILLED = 9


@contextmanager
def disk_calls(
    before: Callable[[str], None], after: Callable[[str, tuple[Any, ...]], None] = lambda _name, _arguments: None
) -> Iterator[None]:
    """Call `before(name)` and `after(name, arguments)` around every call of this process that changes a disk, also by
    opening a file to write it. One call at a time, whichever threads they come from."""
    lock = RLock()

    def watched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if not _changes(name, arguments, more):
                return real(*arguments, **more)
            with lock:
                before(name)
                result = real(*arguments, **more)
                after(name, arguments)
                return result

        return call

    opened = watched("open file", io.open)
    patches = [patch.object(os, name, watched(name, getattr(os, name))) for name in CALLS]
    patches += [patch.object(io, "open", opened), patch.object(builtins, "open", opened)]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


def _changes(name: str, arguments: tuple[Any, ...], more: dict[str, Any]) -> bool:
    """Whether a call changes a disk: not so opening a file to read it, nor writing to a pipe or a screen."""
    if name == "open file":
        mode = str(more.get("mode", arguments[1] if len(arguments) > 1 else "r"))
        return any(letter in mode for letter in "wax+") and not isinstance(arguments[0], int)
    if name == "open":
        return bool(arguments[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if len(arguments) > 1 else False
    if name == "write":
        return os.path.isfile(f"/proc/self/fd/{arguments[0]}") or not os.path.exists("/proc/self/fd")
    return True


def count_calls(work: Callable[[], object]) -> int:
    """How many disk calls some work makes."""
    calls: list[str] = []
    with disk_calls(calls.append):
        work()
    return len(calls)


def killed_at(number: int, work: Callable[[], object]) -> str:
    """Do some work in a forked process that ends, as by a kill, before its disk call of this number, counted from 1;
    give the name of that call, "" where there are fewer. Raises ChildProcessError where the work fails by itself."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        done = 0

        def before(name: str) -> None:
            nonlocal done
            done += 1
            if done == number:
                os.write(writing, name.encode())
                os._exit(KILLED)

        status = 1
        try:
            with disk_calls(before):
                work()
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        name = pipe.read().decode()
    _, waited = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(waited)
    if code not in (0, KILLED):
        raise ChildProcessError(f"the work ended with exit code {code} before its disk call {number}")
    return name


def temporary_traces(folder: Path) -> list[str]:
    """What lies in a folder, at any depth, under a name that says that it is not there to stay."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if _is_temporary(path.name))


def _is_temporary(name: str) -> bool:
    return ".seamless-" in name or name.endswith(".partial")
