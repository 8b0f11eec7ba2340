"""A power cut at any moment: what is on the disk then is continued to the result that an undisturbed run gives."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_seamless.geometry import Region, cells_of
from napari_seamless.store import Store, StoreSpec, open_store, resume_or_create
from napari_seamless.store import spec as spec_module
from napari_seamless.testing.power_cut import PowerCutLog, lay_out


@pytest.fixture(autouse=True)
def _small_last_level() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spec_module, "LAST_LEVEL_EDGE", 24)
        yield


def spec_for(**more: Any) -> StoreSpec:
    facts: dict[str, Any] = {"channels": None, "kind": "labels", "dtype": np.uint8, "chunk": 16, "program_hash": "p"}
    return StoreSpec(shape=(32, 32), source_identity="s", **{**facts, **more})


def pixels_of(spec: StoreSpec) -> np.ndarray[Any, Any]:
    made = np.random.default_rng(0).integers(1, 9, (spec.channels or 1, *spec.shape)).astype(spec.dtype)
    made[..., :16, :16] = 0  # a chunk that takes no file
    return made if spec.program_hash == "p" else made * 3


def make(store: Store) -> None:
    """Make what is missing; the disk is synced after every second tile."""
    spec = store.spec
    for number, cell in enumerate(cells_of(Region.from_shape(store.grid.counts))):
        if not store.finished[cell]:
            region = store.grid.region(cell)
            store.write(region, pixels_of(spec)[(slice(None), *region.slices())])
            store.commit(region)
            if number % 2:
                store.sync()
    store.close()


def assert_right(store: Store) -> None:
    """Everything that counts as finished has the pixels that it should have."""
    for cell in np.argwhere(store.finished):
        region = store.grid.region(tuple(map(int, cell)))
        np.testing.assert_array_equal(store.read(region), pixels_of(store.spec)[(slice(None), *region.slices())])


def assert_same(store: Store, undisturbed: Store) -> None:
    """A complete result, at all levels."""
    assert store.finished.all()
    assert store.program_hash == undisturbed.program_hash
    for level, shape in enumerate(store.info.levels.shapes):
        region = Region.from_shape(shape)
        np.testing.assert_array_equal(store.read(region, level), undisturbed.read(region, level))


def after_every_cut(folder: Path, work: Callable[[Path], None], check: Callable[[Path], None]) -> int:
    """How many different things a power cut may leave of some work, each of which was checked."""
    (folder / "live").mkdir()
    log = PowerCutLog(folder / "live")
    with log.recording():
        work(folder / "live")
    for image in log.images:
        lay_out(image, folder / "cut")
        check(folder / "cut")
        shutil.rmtree(folder / "cut")
    return len(log.images)


@pytest.mark.parametrize(
    "spec",
    [spec_for(), spec_for(kind="image", channels=2, shard=16, chunk=8)],
    ids=["plain", "sharded"],
)
def test_after_a_power_cut_the_same_run_gives_the_result_of_one_that_was_not_disturbed(
    tmp_path: Path, spec: StoreSpec
) -> None:
    undisturbed = resume_or_create(tmp_path / "whole.zarr", spec)
    make(undisturbed)

    def work(folder: Path) -> None:
        make(resume_or_create(folder / "a.zarr", spec))

    def check(folder: Path) -> None:
        store = resume_or_create(folder / "a.zarr", spec)
        assert_right(store)
        make(store)
        assert_same(open_store(folder / "a.zarr", repairs=False), undisturbed)

    assert after_every_cut(tmp_path, work, check) > 30
