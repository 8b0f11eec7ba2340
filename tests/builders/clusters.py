"""A dask cluster of real processes that a test can hurt, and images whose tiles wait for the test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep

from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, Pixels, Source

PATIENCE = 60.0
HERE = Path(__file__).parent


def wait_until(path: Path) -> None:
    """Block until a file is there."""
    began = monotonic()
    while not path.exists():
        if monotonic() - began > PATIENCE:
            raise TimeoutError(f"{path} did not appear")
        sleep(0.02)


class GatedSource:
    """Another source at which whoever reads says so (`reads-N` in a folder) and waits while `shut` lies there."""

    def __init__(self, inner: Source, folder: Path) -> None:
        self._inner = inner
        self._folder = folder

    @property
    def info(self) -> ImageInfo:
        return self._inner.info

    def read(self, region: Region, level: int = 0) -> Pixels:
        (self._folder / f"reads-{os.getpid()}").touch()
        while (self._folder / "shut").exists():
            sleep(0.02)
        return self._inner.read(region, level)

    def close(self) -> None:
        self._inner.close()


class ClusterProcesses:
    """A scheduler and workers, each a process of its own, as `dask scheduler` and `dask worker` start them.

    `security` are files by dask's names (tls_ca_file, tls_cert, tls_key) of a cluster that speaks TLS.
    """

    def __init__(self, folder: Path, workers: int, security: dict[str, Path] | None = None) -> None:
        self.file = folder / "scheduler.json"
        self._folder = folder
        self._protocol = "tls" if security else "tcp"
        self._security = [
            word for name, path in (security or {}).items() for word in (f"--{name.replace('_', '-')}", str(path))
        ]
        self.scheduler = self.start_scheduler()
        self.workers = [self.start_worker() for _ in range(workers)]

    @property
    def address(self) -> str:
        wait_until(self.file)
        return str(json.loads(self.file.read_text())["address"])

    def start_scheduler(self, port: int = 0) -> subprocess.Popen[bytes]:
        more = ["--port", str(port), "--dashboard-address", ":0", "--no-show", "--protocol", self._protocol]
        return self._start("dask_scheduler", [*more, "--host", "127.0.0.1"])

    def start_worker(self) -> subprocess.Popen[bytes]:
        wait_until(self.file)
        more = ["--nthreads", "1", "--no-dashboard", "--no-nanny", "--local-directory", str(self._folder)]
        return self._start("dask_worker", more)

    def close(self) -> None:
        for process in (self.scheduler, *self.workers):
            process.kill()
            process.wait()

    def _start(self, name: str, more: Sequence[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{name}", "--scheduler-file", str(self.file), *more]
        patient = {"OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "120s"}
        env = {**os.environ, **patient, "PYTHONPATH": os.pathsep.join([*sys.path, str(HERE)])}
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen([*command, *self._security], stdout=log, stderr=log, env=env)
