"""A disk that is full at the worst time: what is finished is kept, what happened is said, and the next run goes on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_seamless as ns
from napari_seamless.errors import OutputUnwritable
from napari_seamless.runs.run import Run
from napari_seamless.store import open_store

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")

IMAGE = np.random.default_rng(0).integers(0, 255, (3, 500, 500)).astype("u1")
TILES = 64
FACTS: dict[str, Any] = {"tile": 64, "device": "cpu", "scheduler": "serial"}
FULL = "but the disk is full; free some space and run the same command again: what is finished is kept"


class Double(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


class Nothing(torch.nn.Module):
    """Chunks of zeros take no file, so that only the journal grows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 8 MB, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path) -> None:
    """Take the last byte."""
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (2**16, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue


def filled_after(tiles: int, disk: Path, network: torch.nn.Module) -> Run:
    """A run that finds the disk full after so many tiles."""
    prepared = ns.prepare(network, IMAGE)
    run = ns.start(prepared, **FACTS, output=disk / "a.zarr")
    while run.progress().tiles < tiles:
        assert run.progress().error is None
    run.pause()
    fill(disk)
    run.resume()
    return run


@pytest.mark.parametrize("network", [Double, Nothing], ids=["chunks", "journal"])
def test_a_disk_that_is_full_while_tiles_are_made_costs_none_that_is_finished(
    network: Callable[[], torch.nn.Module], disk: Path
) -> None:
    run = filled_after(3, disk, network())
    with pytest.raises(OutputUnwritable, match=FULL):
        run.wait(60)
    finished = np.count_nonzero(open_store(disk / "a.zarr", repairs=False).finished)
    assert finished >= 3
    (disk / "filler").unlink()
    again = ns.run(network(), IMAGE, **FACTS, output=disk / "a.zarr")
    assert again.report.tiles <= TILES - 3
    np.testing.assert_array_equal(np.asarray(again), np.asarray(ns.run(network(), IMAGE, **FACTS)))


def test_a_disk_that_is_full_while_metadata_are_written_costs_no_tile(disk: Path) -> None:
    prepared = ns.prepare(Double(), IMAGE)
    run = ns.start(prepared, **FACTS, output=disk / "a.zarr")
    report = run.store.report
    run.store.report = lambda facts: (fill(disk), report(facts))[1]  # type: ignore[method-assign]
    with pytest.raises(OutputUnwritable, match=FULL):
        run.wait(60)
    (disk / "filler").unlink()
    again = ns.run(Double(), IMAGE, **FACTS, output=disk / "a.zarr")
    assert again.report.tiles == 0
    np.testing.assert_array_equal(open_store(disk / "a.zarr").read(ns.Region.of((0, 500), (0, 500))), 2.0 * IMAGE)


@pytest.mark.parametrize("name", ["b.ome.tif", "b.ome.zarr"])
def test_an_export_for_which_there_is_no_room_leaves_nothing_behind_and_is_made_later(name: str, disk: Path) -> None:
    result = ns.run(Double(), IMAGE, **FACTS, output=disk.parent / "a.zarr")
    (disk / "ballast").write_bytes(bytes(8 * 2**20 - 2**17))
    with pytest.raises(OutputUnwritable, match="but the disk is full; free some space"):
        result.save(disk / name)
    assert [path.name for path in disk.iterdir()] == ["ballast"]
    (disk / "ballast").unlink()
    result.save(disk / name)
    np.testing.assert_array_equal(ns.open_image(disk / name).read(ns.Region.of((0, 500), (0, 500))), 2.0 * IMAGE)
