"""Imports the whole package without its window, runs, and exports, where Python says that this is another system.

    python other_systems.py FOLDER

Prints, for Windows and macOS, the modules that could not be imported, and the mean of a result. What these systems lack
is taken away once all libraries are loaded, which have their own ways there. Needs `fork`.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import pkgutil
import platform
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import dask.array  # noqa: F401
import distributed  # noqa: F401
import filelock  # noqa: F401
import numba  # noqa: F401
import numpy as np
import psutil  # noqa: F401
import rich.progress  # noqa: F401
import skimage.measure  # noqa: F401
import tifffile  # noqa: F401
import torch
import torch.export._trace
import typer.rich_utils  # noqa: F401
import zarr  # noqa: F401

import napari_seamless as ns

FULL_SYNC = 51
"""What `fcntl.F_FULLFSYNC` is on macOS."""
LINUX_ONLY = ("copy_file_range", "fdatasync", "memfd_create", "posix_fadvise", "posix_fallocate", "sched_getaffinity",
              "sched_setaffinity", "O_DIRECT")  # fmt: skip
POSIX_ONLY = ("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "WNOHANG", "chown", "chroot", "fchmod", "fchown",
              "fork", "forkpty", "getegid", "geteuid", "getgid", "getgroups", "getloadavg", "getpgid", "getuid",
              "killpg", "lchown", "mkfifo", "nice", "openpty", "pread", "preadv", "pwrite", "pwritev",
              "register_at_fork", "sendfile", "setsid", "sync", "sysconf", "uname", "wait")  # fmt: skip
POSIX_SIGNALS = ("SIGALRM", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPROF", "SIGSTOP", "SIGUSR1", "SIGUSR2", "alarm",
                 "pause", "pthread_sigmask", "setitimer", "sigwait")  # fmt: skip
POSIX_MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "termios")


class Blur(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, 3, 1, 1)


def become_windows() -> None:
    _without(os, *LINUX_ONLY, *POSIX_ONLY)
    _without(signal, *POSIX_SIGNALS)
    sys.modules.update(dict.fromkeys(POSIX_MODULES))
    _become("win32")


def become_macos(synced: list[int]) -> None:
    import fcntl

    def asked(file: int, command: int, *_: object) -> int:
        assert command == FULL_SYNC
        synced.append(file)
        return 0

    _without(os, *LINUX_ONLY)
    fcntl.F_FULLFSYNC, fcntl.fcntl = FULL_SYNC, asked  # type: ignore[assignment]
    _become("darwin")


def _without(module: Any, *names: str) -> None:
    for name in names:
        if hasattr(module, name):
            delattr(module, name)


def _become(system: str) -> None:
    def no_library(name: object, *_: object, **__: object) -> NoReturn:
        raise TypeError(name)

    ctypes.CDLL = no_library  # type: ignore[assignment, misc]
    platform.libc_ver = lambda *_, **__: ("", "")
    sys.platform = system


def used(folder: Path) -> dict[str, object]:
    """Import and use all of the package: what failed, and the mean of a result."""
    failed = []
    for module in pkgutil.walk_packages(ns.__path__, "napari_seamless."):
        if "_napari" not in module.name and not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except Exception:  # noqa: BLE001 whatever it is, it is told
                failed.append(f"{module.name}: {traceback.format_exc(limit=-1)}")
    pixels = np.random.default_rng(0).integers(0, 255, (100, 100, 3)).astype(np.uint8)
    options: dict[str, Any] = {"output": folder / "a.ome.zarr", "tile": 64, "device": "cpu", "scheduler": "serial"}
    result = ns.run(Blur(), pixels, **options)
    ns.export(result.store, folder / "a.ome.tif")
    result.store.close()
    again = ns.run(Blur(), pixels, **options)
    return {"failed": failed, "mean": float(np.asarray(again).mean()), "tiles made again": again.report.tiles}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    for system in ("win32", "darwin"):
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            continue
        (folder / system).mkdir()
        synced: list[int] = []
        if system == "win32":
            become_windows()
        else:
            become_macos(synced)
        print(json.dumps({"system": system, **used(folder / system), "synced": len(synced)}), flush=True)
        os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
