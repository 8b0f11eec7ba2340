"""Images that fail while a run goes on: a server that says nothing more, files that shrink or may be read no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import zarr

import napari_seamless as ns
from folder_server import FolderHandler, serving
from napari_seamless.errors import InputUnreadable
from napari_seamless.io.readers import urls
from napari_seamless.store import open_store

pytest.importorskip("aiohttp", reason="reads from servers")

IMAGE = np.random.default_rng(0).integers(0, 255, (3, 200, 260)).astype("u1")
FACTS: dict[str, Any] = {"tile": 64, "device": "cpu"}


class Blur(torch.nn.Module):
    """A network whose result tells where it looked."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, 3, 1, 1)


class Double(torch.nn.Module):
    """A network that looks at no neighbours, so that each chunk is read for one tile."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


class StalledHandler(FolderHandler):
    """Says nothing to who asks for what is `stalled`, until it goes on."""

    def do_GET(self) -> None:
        server: Any = self.server
        if self.path.endswith(server.stalled):
            server.is_asked.set()
            server.goes_on.wait()
        with suppress(ConnectionError):  # whoever asked did not wait
            super().do_GET()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    """A server of an image, of which the last chunk hangs."""
    zarr.create_array(str(tmp_path / "i.zarr"), data=IMAGE, chunks=(3, 64, 64))
    events = {"is_asked": threading.Event(), "goes_on": threading.Event()}
    with serving(tmp_path, StalledHandler, stalled=("c/0/3/4",), **events) as http:
        http.url += "/i.zarr"
        yield http
        http.goes_on.set()


def undisturbed() -> np.ndarray:
    return np.asarray(ns.run(Blur(), IMAGE, **FACTS, scheduler="serial"))


def test_what_a_server_does_not_send_is_left_out_after_its_time_and_made_by_the_next_run(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urls, "STALL_SECONDS", 2.0)
    facts: dict[str, Any] = {**FACTS, "output": tmp_path / "a.zarr"}
    with pytest.warns(UserWarning, match=r"could not be read everywhere; .* pixels of the result were left out"):
        result = ns.run(Double(), server.url, **facts)
    assert result.report.failed == (ns.Region.of((192, 200), (256, 260)),)
    server.goes_on.set()
    again = ns.run(Double(), server.url, **facts)
    assert again.report.tiles == 1
    np.testing.assert_array_equal(np.asarray(again), 2.0 * IMAGE)


def test_a_server_that_says_nothing_at_all_is_told_of_after_its_time(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urls, "STALL_SECONDS", 0.2)
    server.stalled = ("",)
    with pytest.raises(InputUnreadable, match=r"an address must answer; http://\S+: \w*Timeout"):
        ns.open_image(server.url)


@pytest.mark.parametrize("scheduler", ["dask", "serial"])
def test_a_run_whose_server_hangs_is_cancelled_at_once_and_continued(
    scheduler: str, server: Any, tmp_path: Path
) -> None:
    facts: dict[str, Any] = {**FACTS, "output": tmp_path / "a.zarr"}
    run = ns.start(ns.prepare(Blur(), server.url), **facts, scheduler=scheduler)
    assert server.is_asked.wait(60)
    run.cancel()
    run.wait(20)  # the server hangs for longer
    assert run.progress().state == "cancelled"
    server.goes_on.set()
    again = ns.run(Blur(), server.url, **facts)
    np.testing.assert_array_equal(np.asarray(again), undisturbed())


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_ends_the_command_while_its_server_hangs(server: Any, tmp_path: Path) -> None:
    output = tmp_path / "a.ome.zarr"
    command = [sys.executable, "-m", "napari_seamless", "run", server.url, "--model", "stain", "--tile", "64"]
    process = subprocess.Popen(
        [*command, "--device", "cpu", "--pixel-size", "0.5", "-o", str(output)],
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.is_asked.wait(100), process.communicate()[1]
    process.send_signal(signal.SIGINT)
    try:
        said = process.communicate(timeout=200)[1]  # the server hangs for ever
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # says where its threads are
        said = process.communicate()[1]
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "the same command goes on from there" in said


def test_a_file_that_is_cut_off_while_it_is_read_ends_the_run_and_the_next_one_makes_the_rest(
    tmp_path: Path,
) -> None:
    tifffile.imwrite(tmp_path / "i.tif", IMAGE.transpose(1, 2, 0), photometric="rgb", tile=(64, 64))
    content = (tmp_path / "i.tif").read_bytes()
    facts: dict[str, Any] = {**FACTS, "output": tmp_path / "a.zarr"}
    run = ns.start(ns.prepare(Blur(), tmp_path / "i.tif"), **facts, scheduler="serial")
    run.pause()
    os.truncate(tmp_path / "i.tif", len(content) // 2)
    run.resume()
    with pytest.raises(InputUnreadable, match=r"the image changed: 'i\.tif' was written to meanwhile"):
        run.wait(60)
    (tmp_path / "i.tif").write_bytes(content)
    again = ns.run(Blur(), tmp_path / "i.tif", **facts, same_image=True)
    np.testing.assert_array_equal(np.asarray(again), undisturbed())


def test_an_image_that_may_not_be_read_any_more_is_left_out_and_the_next_run_makes_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "i.zarr"
    zarr.create_array(str(folder), data=IMAGE, chunks=(3, 64, 64))
    facts: dict[str, Any] = {**FACTS, "output": tmp_path / "a.zarr"}
    source = ns.open_image(folder)
    fetch = source._inner.fetch  # type: ignore[attr-defined]

    def denied(region: ns.Region, level: int) -> np.ndarray:
        if region.intervals[-1].hi > 200:
            raise PermissionError(13, "Permission denied")
        return fetch(region, level)

    source._inner.__dict__["fetch"] = denied  # type: ignore[attr-defined]
    with pytest.warns(UserWarning, match="pixels of the result were left out"):
        first = ns.run(Blur(), source, **facts)
    assert first.report.failed
    again = ns.run(Blur(), folder, **facts)
    assert 0 < again.report.tiles < 20
    np.testing.assert_array_equal(np.asarray(again), undisturbed())
    assert open_store(tmp_path / "a.zarr").finished.all()
