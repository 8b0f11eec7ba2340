"""Networks that look at the whole plane, through the public door: whatever is kept, whoever works, whatever happens."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from distributed import Client, LocalCluster
from torch import nn

import napari_seamless as ns
from barrier_networks import CASES, made
from napari_seamless.errors import (
    BadRequest,
    BudgetTooSmall,
    InputDamaged,
    InputMismatch,
    InputNotFound,
    OutputExists,
    OutputUnwritable,
    RunCancelled,
)
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Progress
from napari_seamless.runs.activation_plan import plan_activations
from napari_seamless.runs.exact import ExactPrepared as Prepared
from napari_seamless.runs.exact_passes import ExactPasses
from napari_seamless.runs.option_groups import MemoryOptions
from napari_seamless.store.disk_scratch import PREFIX, DiskScratch, sweep
from watched_source import WatchedSource

CPU = torch.device("cpu")
EXACT = 1e-5
"""Of the largest value of the output, in float32."""

KEEPS = ("recompute", "device", "host", "disk", "auto")
MOMENTS = "moments.safetensors"


@dataclass(frozen=True)
class Example:
    """A network prepared for an uneven image, (c, [z,] y, x), and what plain torch makes of all of it."""

    network: nn.Module
    image: np.ndarray
    prepared: Prepared
    expected: np.ndarray

    def error(self, result: Any) -> float:
        """Largest difference as a share of the largest value."""
        return float(np.abs(np.asarray(result) - self.expected).max() / np.abs(self.expected).max())

    def run(self, **options: Any) -> ns.Result:
        handle = ns.start(self.prepared, **{"tile": 64, "scheduler": "serial", **options})
        handle.wait()
        assert handle.progress().state == "finished"
        return handle.result()


def uneven(*shape: int) -> np.ndarray:
    """(c, [z,] y, x): grain and a slope, half of it blank, one corner very bright."""
    image = np.random.default_rng(5).normal(3, 1, shape).astype(np.float32) + np.linspace(0, 4, shape[-1], dtype="f4")
    image[..., : shape[-2] // 2, : shape[-1] // 2] = 2
    image[..., -9:, -7:] += 40
    return image


def in_torch(network: nn.Module, image: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(image)[None])[0].numpy()


@cache
def example(name: str) -> Example:
    shape = (1, 13, 70, 83) if name.endswith("3d") else (3, 151, 203)
    network = made(next(case for case in CASES if case.name == name), shape[1:])
    image = uneven(*shape)
    expected = in_torch(network, image)
    axes = "czyx" if len(shape) == 4 else "cyx"
    return Example(network, image, ns.prepare(network, ns.open_image(image, axes=axes)), expected)


def watched(name: str) -> tuple[WatchedSource, Prepared]:
    """An example whose reads are watched."""
    source = WatchedSource(ns.open_image(example(name).image, axes="cyx"))
    return source, ns.prepare(example(name).network, source)


def scratches(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".seamless"))


# --- one truth -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["style", "unet-instance", "nested", "pspnet", "unet-3d"])
def test_whatever_is_kept_the_result_is_that_of_the_whole_image_bit_for_bit(name: str, tmp_path: Path) -> None:
    one = example(name)
    results = {keep: one.run(keep=keep, scratch=tmp_path) for keep in KEEPS}
    results["dask"] = one.run(keep="disk", scratch=tmp_path, scheduler="dask")
    results["again"] = one.run(keep="device", scheduler="dask")
    assert one.error(results["recompute"]) <= EXACT
    first = np.asarray(results["recompute"])
    assert [k for k, result in results.items() if not np.array_equal(np.asarray(result), first)] == []
    assert {keep: set(results[keep].report.kept) for keep in KEEPS[:4]} == {
        "recompute": set(), "device": {"device"}, "host": {"host"}, "disk": {"disk"},
    }  # fmt: skip
    assert scratches(tmp_path) == []


def test_other_tiles_give_the_same_up_to_rounding() -> None:
    one = example("unet-instance")
    assert max(one.error(one.run(tile=tile)) for tile in (64, 128, 192)) <= EXACT


def test_any_number_of_workers_gives_the_same_bits(tmp_path: Path) -> None:
    one = example("nested")
    first = np.asarray(one.run())
    for workers in (1, 3):
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
        )  # fmt: skip
        with cluster, Client(cluster, set_as_default=False) as client:
            result = one.run(scheduler=client, output=tmp_path / f"{workers}.ome.zarr")
        assert np.array_equal(np.asarray(result), first)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image in a file, which other processes can read."""
    import tifffile

    path = tmp_path_factory.mktemp("picture") / "picture.tif"
    tifffile.imwrite(path, example("style").image, photometric="minisblack", metadata={"axes": "CYX"})
    return path


def test_a_cluster_of_1_2_and_4_processes_gives_the_same_bits(picture: Path, tmp_path: Path) -> None:
    one = example("style")
    prepared = ns.prepare(one.network, picture)
    first = np.asarray(one.run())
    cluster = LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0", silence_logs=50,
    )  # fmt: skip
    with cluster:
        for workers, keep in ((1, "recompute"), (2, "disk"), (4, "recompute")):
            cluster.scale(workers)
            cluster.wait_for_workers(workers)
            handle = ns.start(
                prepared, tile=64, scheduler=cluster.scheduler_address, keep=keep, output=tmp_path / f"{workers}.zarr"
            )
            handle.wait()
            assert np.array_equal(np.asarray(handle.result()), first), (workers, keep)
        with pytest.raises(BadRequest, match="cannot reach values kept in memory; got keep='device'"):
            ns.start(prepared, scheduler=cluster.scheduler_address, keep="device", output=tmp_path / "no.zarr")
    assert scratches(tmp_path) == []


# --- moments ---------------------------------------------------------------------------------------------------------


def test_with_the_moments_of_a_result_any_region_is_exact_in_one_pass(tmp_path: Path) -> None:
    one = example("unet-instance")
    full = one.run(output=tmp_path / "full.ome.zarr")
    assert full.moments is not None
    region = Region.of((64, 151), (128, 200))
    file = full.moments.save(tmp_path / "m.safetensors")
    for statistics in (full.moments, file, str(file), tmp_path / "full.ome.zarr", str(tmp_path / "full.ome.zarr")):
        part = one.run(statistics=statistics, region=region)
        assert np.array_equal(np.asarray(part), np.asarray(full)[:, 64:151, 128:200])
        assert (part.report.passes, part.report.statistics) == (1, "frozen")


def test_a_region_is_measured_over_the_whole_image_once(tmp_path: Path) -> None:
    one = example("unet-instance")
    source, prepared = watched("unet-instance")
    output = tmp_path / "out.ome.zarr"
    options: dict[str, Any] = {"tile": 64, "scheduler": "serial", "output": output, "keep": "recompute"}
    handle = ns.start(prepared, region=Region.of((0, 64), (0, 64)), **options)
    handle.wait()
    assert np.array_equal(np.asarray(handle.result()), np.asarray(one.run())[:, :64, :64])
    assert handle.progress().passes == 6
    before = source.reads
    again = ns.start(prepared, **options)
    again.wait()
    assert again.progress().passes == 1
    assert source.reads - before <= 12 + 5  # tiles and self-checks
    assert one.error(again.result()) <= EXACT


def test_moments_of_another_image_normalise_alike() -> None:
    """Against torch with every norm given the mean and variance that it saw on the other image."""
    one = example("style")
    other = uneven(3, 90, 111)[:, ::-1].copy() * 1.5
    expected = in_torch(frozen(one.network, other), one.image)
    moments = ns.run(one.network, other, axes="cyx", tile=64, scheduler="serial").moments
    result = one.run(statistics=moments)
    assert np.abs(np.asarray(result) - expected).max() <= EXACT * np.abs(expected).max()
    assert one.error(result) > 0.05, "the two images differ"


def frozen(network: nn.Module, image: np.ndarray) -> nn.Module:
    """A copy of a network whose instance norms are given what they see on this image."""
    seen: dict[nn.Module, tuple[torch.Tensor, torch.Tensor]] = {}
    copy = deepcopy(network)
    norms = [module for module in copy.modules() if isinstance(module, nn.InstanceNorm2d)]

    def note(norm: nn.Module, given: tuple[torch.Tensor]) -> None:
        variance, mean = torch.var_mean(given[0].double(), (0, 2, 3), correction=0)
        seen[norm] = variance.float(), mean.float()

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    with torch.no_grad():
        copy(torch.from_numpy(image)[None])
    for norm, hook in zip(norms, hooks, strict=True):
        hook.remove()
        variance, mean = seen[norm]
        norm.forward = lambda x, n=norm, m=mean, v=variance: F.batch_norm(  # type: ignore[method-assign, misc]
            x, m, v, n.weight, n.bias, False, 0.0, n.eps
        )
    return copy


def test_copies_of_a_result_take_its_moments_along(tmp_path: Path) -> None:
    one = example("nested")
    in_memory, on_disk = one.run(), one.run(output=tmp_path / "run.ome.zarr")
    assert in_memory.moments is not None
    saved = [in_memory.save(tmp_path / "a.ome.zarr"), on_disk.save(tmp_path / "b.ome.zarr")]
    saved.append(on_disk.store.copy_to(tmp_path / "c.ome.zarr"))
    for path in saved:
        loaded = ns.Moments.load(path)
        assert loaded.facts == in_memory.moments.facts
        assert one.run(output=path).report.tiles == 0


def test_moments_that_do_not_belong_are_refused(tmp_path: Path) -> None:
    one, other = example("style"), example("nested")
    foreign = other.run().moments
    with pytest.raises(
        BadRequest, match=r"^moments must be of the same network; these, of Nested, have .*other weights"
    ):
        one.run(statistics=foreign)
    assert foreign is not None
    with pytest.raises(BadRequest, match="lack '000"):
        one.run(statistics=ns.Moments(foreign.states))
    own = one.run().moments
    assert own is not None
    short = ns.Moments({name: tuple(part[..., :1] for part in state) if state[0].ndim else state[:2]
                        for name, state in own.states.items()})  # fmt: skip
    with pytest.raises(BadRequest, match="have another form at '000"):
        one.run(statistics=short)
    spoilt = ns.Moments({name: tuple(part * np.nan for part in state) for name, state in own.states.items()})
    with pytest.raises(BadRequest, match="hold NaN"):
        one.run(statistics=spoilt)
    with pytest.raises(InputNotFound, match="there is none at"):
        one.run(statistics=tmp_path / "nowhere.safetensors")
    damaged = own.save(tmp_path / "damaged.safetensors")
    damaged.write_bytes(damaged.read_bytes()[:-50])
    with pytest.raises(InputDamaged, match="none that can be read"):
        one.run(statistics=damaged)
    with pytest.raises(BadRequest, match="got 'every'"):
        one.run(statistics="every")


def test_a_damaged_file_of_moments_in_a_result_is_measured_again(tmp_path: Path) -> None:
    one = example("nested")
    output = tmp_path / "out.ome.zarr"
    region = Region.of((0, 64), (0, 64))
    one.run(output=output, region=region)
    file = output / "0" / ".seamless" / MOMENTS
    file.write_bytes(file.read_bytes()[: 2 * file.stat().st_size // 3])
    assert one.error(one.run(output=output)) <= EXACT


# --- what goes wrong -------------------------------------------------------------------------------------------------


KILLED = """
import os, signal, sys
import numpy as np, torch
sys.path.insert(0, {tests!r})
import napari_seamless as ns
from barrier_networks import CASES, made
from napari_seamless.runtime.engine.moments import MomentsSink

handles, received, plain = [], [], MomentsSink.receive

def receive(sink, region, receipt):
    if handles[0].progress().pass_number == 3:
        received.append(region)
        if len(received) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
    plain(sink, region, receipt)

MomentsSink.receive = receive
network = made(next(case for case in CASES if case.name == "style"), (151, 203))
prepared = ns.prepare(network, {picture!r})
run = ns.start(prepared, tile=64, scheduler="dask", keep={keep!r}, output={output!r})
handles.append(run)
run.wait()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("keep", ["recompute", "disk"])
def test_a_run_killed_in_pass_3_goes_on_after_pass_2(keep: str, picture: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.ome.zarr"
    code = KILLED.format(
        tests=str(Path(__file__).parents[1] / "builders"), picture=str(picture), keep=keep, output=str(output)
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(ns.Moments.load(output).states) == 2
    assert len(scratches(tmp_path)) == (keep == "disk")
    one = example("style")
    source = WatchedSource(ns.open_image(picture))
    handle = ns.start(ns.prepare(one.network, source), tile=64, scheduler="serial", keep=keep, output=output)
    handle.wait()
    assert handle.progress().passes == 10 - 2
    assert np.array_equal(np.asarray(handle.result()), np.asarray(one.run()))
    assert scratches(tmp_path) == []
    if keep == "disk":
        assert source.reads <= 12 + 5  # only the first of the passes left, and the self-check, begin at the image


def test_a_result_that_is_finished_is_measured_no_more(tmp_path: Path) -> None:
    source, prepared = watched("nested")
    options: dict[str, Any] = {"tile": 64, "scheduler": "serial", "output": tmp_path / "out.ome.zarr"}
    ns.start(prepared, **options).wait()
    (tmp_path / "out.ome.zarr" / "0" / ".seamless" / MOMENTS).unlink()
    before = source.reads
    again = ns.start(prepared, **options)
    again.wait()
    assert (again.progress().state, again.progress().tiles, source.reads) == ("finished", 0, before)


def test_scratch_files_go_when_a_run_fails(tmp_path: Path) -> None:
    image = example("style").image.copy()
    image[:, -1, -1] = np.nan
    with pytest.raises(InputMismatch, match="finite"):
        ns.run(example("style").network, image, axes="cyx", tile=64, scheduler="serial", keep="disk", scratch=tmp_path)
    assert scratches(tmp_path) == []


@pytest.mark.parametrize("scheduler", ["serial", "dask"])
def test_scratch_files_go_when_a_run_is_cancelled_and_finished_passes_stay(scheduler: str, tmp_path: Path) -> None:
    source, prepared = watched("nested")
    output = tmp_path / "out.ome.zarr"
    handles: list[Any] = []
    source.before = lambda _: handles[0].cancel() if handles and handles[0].progress().pass_number == 2 else None
    handles.append(ns.start(prepared, tile=64, scheduler=scheduler, keep="disk", output=output))
    handles[0].wait()
    state = handles[0].progress().state
    assert scratches(tmp_path) == []
    if state == "cancelled":
        assert ns.Moments.load(output).states
    assert example("nested").error(example("nested").run(output=output)) <= EXACT


def test_what_a_killed_run_left_is_swept_and_what_another_uses_is_not(tmp_path: Path) -> None:
    alive = DiskScratch(tmp_path)
    alive.create("1", (1, 2, 3, 4), np.float32)
    left = tmp_path / f"{PREFIX}left"
    left.mkdir()
    (left / "lock").touch()
    (left / "7.npy").write_bytes(b"much")
    one = example("nested")
    one.run(scratch=tmp_path, keep="recompute")
    assert scratches(tmp_path) == [alive.folder.name]
    alive.remove()
    sweep(tmp_path)
    assert scratches(tmp_path) == []


def test_two_runs_beside_each_other_keep_apart(tmp_path: Path) -> None:
    one = example("style")
    handles = [ns.start(one.prepared, tile=64, keep="disk", scratch=tmp_path) for _ in range(2)]
    for handle in handles:
        handle.wait()
    first, second = (np.asarray(handle.result()) for handle in handles)
    assert np.array_equal(first, second)
    assert scratches(tmp_path) == []


def test_a_disk_without_room_is_said_at_once_and_not_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = example("style")
    full = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(BadRequest, match=r"^kept values must fit on the disk of .*; they need .* room for 10"):
        one.run(keep="disk", scratch=tmp_path)
    assert plan_activations(one.prepared.program, CPU, MemoryOptions(budget=2000), scratch=tmp_path).most == {}
    scratch = DiskScratch(tmp_path)
    with pytest.raises(OutputUnwritable, match="kept values must fit on the disk"):
        scratch.create("1", (1, 100, 100), np.float32)
    scratch.remove()


def test_keep_is_one_of_a_few_words() -> None:
    with pytest.raises(BadRequest, match="keep is one of auto, recompute, device, host, disk; got 'somewhere'"):
        example("style").run(keep="somewhere")


# --- budget, precision, progress -------------------------------------------------------------------------------------


def test_kept_values_and_tiles_share_the_budget() -> None:
    one = example("style")
    whole = plan_activations(one.prepared.program, CPU, MemoryOptions(keep="device")).most["device"]
    report = one.run(keep="device", budget=whole + (8 << 20), tile=None).report
    assert report.kept == {"device": whole}
    assert whole < report.bytes <= whole + (8 << 20)
    with pytest.raises(BadRequest, match="kept values must fit in the budget; they need"):
        one.run(keep="device", budget=whole - 1, tile=None)
    with pytest.raises(BudgetTooSmall, match="smallest tile"):
        one.run(budget=1000, tile=None)
    small = one.run(budget=3 << 20, tile=None)
    assert small.report.bytes <= 3 << 20
    assert one.error(small) <= EXACT


def test_no_pass_takes_larger_tiles_than_the_budget_allows() -> None:
    """A network whose output is a single number an image: the tile of the output says nothing about that of passes."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1)).eval()
    image = uneven(3, 600, 700)
    prepared = ns.prepare(network, ns.open_image(image, axes="cyx"))
    handle = ns.start(prepared, budget=2 << 20, scheduler="serial")
    handle.wait()
    passes = handle._passes
    assert isinstance(passes, ExactPasses)
    first = passes.passes[0]
    assert passes._peak(first, passes.tile_of(first)) <= 2 << 20
    with torch.no_grad():
        expected = network(torch.from_numpy(image)[None])[0].numpy()
    assert np.abs(np.asarray(handle.result()) - expected).max() <= EXACT


def test_half_precision_is_told_from_exact(tmp_path: Path) -> None:
    one = example("unet-instance")
    output = tmp_path / "half.ome.zarr"
    exact, half = one.run(), one.run(keep="disk", keep_half=True, output=output)
    assert exact.report.self_check is not None
    assert half.report.self_check is not None
    assert exact.report.self_check.largest < 1e-6 < 1e-5 < half.report.self_check.largest < 0.05
    assert str(exact.report.self_check).startswith("same as on the whole image: max difference")
    assert str(half.report.self_check).startswith("rounded: max difference")
    assert (exact.report.exact, half.report.exact) == (True, False)
    assert half.report.kept["disk"] * 2 == one.run(keep="disk").report.kept["disk"]
    provenance = half.store.provenance
    assert (provenance["scope"], provenance["kept"]) == ("rounded", "float16")
    with pytest.raises(OutputExists, match="another program"):
        one.run(output=output)


def test_values_too_large_for_half_precision_are_refused() -> None:
    image = example("style").image * 1e6
    with pytest.raises(BadRequest, match="half precision must be at most 65504"):
        ns.run(example("style").network, image, axes="cyx", tile=64, scheduler="serial", keep="device", keep_half=True)


def test_progress_counts_passes_and_never_goes_back() -> None:
    source, prepared = watched("unet-instance")
    seen: list[Progress] = []
    handles: list[Any] = []
    source.before = lambda _: seen.append(handles[0].progress()) if handles else None
    handles.append(ns.start(prepared, tile=64, keep="recompute", scheduler="serial"))
    handles[0].wait()
    seen = [*seen, handles[0].progress()]
    assert {now.passes for now in seen} == {6}
    assert sorted({now.pass_number for now in seen}) == [1, 2, 3, 4, 5, 6]
    fractions = [now.fraction for now in seen]
    assert fractions == sorted(fractions)
    assert (seen[-1].fraction, seen[-1].eta) == (1.0, 0.0)
    assert 0 < seen[len(seen) // 2].fraction < 1


def test_a_run_can_be_paused_and_given_other_tiles_while_it_measures() -> None:
    source, prepared = watched("unet-instance")
    handles: list[Any] = []
    states: list[str] = []

    def disturb(reads: int) -> None:
        if reads == 8 and handles:
            handles[0].pause()
            handles[0].set_tile(128)
            states.append(handles[0].progress().state)

    source.before = disturb
    handles.append(ns.start(prepared, tile=64, keep="recompute", scheduler="serial"))
    handle = handles[0]
    while handle.progress().state != "paused":
        handle.wait(0.05)
    number, reads = handle.progress().pass_number, source.reads
    handle.wait(0.3)
    assert states == ["paused"]
    assert (handle.progress().state, handle.progress().pass_number, source.reads) == ("paused", number, reads)
    handle.resume()
    handle.wait()
    assert handle.tile == 128
    assert example("unet-instance").error(handle.result()) <= EXACT


def test_cancelling_during_a_pass_is_said() -> None:
    one = example("unet-instance")
    source = WatchedSource(ns.open_image(one.image, axes="cyx"))

    def cancel(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, RunCancelled)):
        ns.run(one.network, source, tile=64, keep="recompute", on_progress=cancel)


# --- what is said ----------------------------------------------------------------------------------------------------


def test_explain_names_barriers_passes_and_what_is_kept() -> None:
    one = example("style")
    said = ns.explain(one.network, one.image, axes="cyx")
    assert (said.passes, sum(said.barriers.values())) == (10, 9)
    text = str(said)
    assert "instance_norm 9: measured over the whole image first" in text
    assert "passes       10; between them at most" in text
    assert "on the device" in text


def test_a_network_without_barriers_pays_nothing(tmp_path: Path) -> None:
    network = nn.Conv2d(3, 2, 3, padding=1).eval()
    left = tmp_path / f"{PREFIX}left"
    left.mkdir()
    (left / "lock").touch()
    result = ns.run(
        network,
        uneven(3, 90, 80),
        axes="cyx",
        tile=64,
        keep="disk",
        keep_half=True,
        scheduler="serial",
        scratch=tmp_path,
    )
    assert (result.report.passes, result.report.kept, result.report.statistics) == (1, {}, "")
    assert (result.moments, result.report.exact) == (None, True)
    assert left.exists(), "nobody looked there"


@pytest.fixture(autouse=True, scope="module")
def _forget() -> Iterator[None]:
    yield
    example.cache_clear()
