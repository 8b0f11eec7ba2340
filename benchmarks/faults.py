"""What is lost when a program is killed, a machine loses power, two runs meet, or a bit flips?

    python benchmarks/faults.py                    every scenario, at every place: about ten minutes
    python benchmarks/faults.py --every 10         at every tenth place
    python benchmarks/faults.py --only races
    python benchmarks/faults.py --cost --rounds 3  what it takes on the sample slide, against the same without

A kill ends the process before one of its calls to the disk, in turn at each of them (`testing.disk_calls`). A power cut
is simulated: at each moment of a run the folder is laid out as a disk may hold it then, of every file any state since
the last one that was synced (`testing.power_cut`). A try is lost when the next run does not give the result of one that
was not disturbed, when an earlier result cannot be read, or when something is left behind. Needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from shutil import copytree, rmtree
from statistics import median
from threading import enumerate as enumerate_threads
from time import perf_counter, process_time
from typing import Any
from unittest.mock import patch

import numpy as np
import tifffile
import torch

import napari_seamless as ns
from napari_seamless.errors import OutputExists, OutputUnwritable, SeamlessError
from napari_seamless.geometry import Region
from napari_seamless.models import trust
from napari_seamless.models.library import added_names, copy_to_library
from napari_seamless.store import Store, open_store
from napari_seamless.store import spec as spec_module
from napari_seamless.testing.disk_calls import count_calls, killed_at, temporary_traces
from napari_seamless.testing.power_cut import PowerCutLog, lay_out

EDGE, TILE = 160, 64


class Blur(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, 3, 1, 1)


class Normed(torch.nn.Module):
    """Is measured in two passes; what is kept between them lies on disk."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.instance_norm(torch.nn.functional.instance_norm(x) ** 2)


class Classes(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(1, keepdim=True)
        return torch.cat([mean, 255 - mean], 1).argmax(1)


@dataclass
class Tally:
    tries: int = 0
    lost: int = 0

    def add(self, is_right: bool) -> None:
        self.tries += 1
        self.lost += not is_right


@cache
def prepared(network: type[torch.nn.Module]) -> Any:
    pixels = np.random.default_rng(0).integers(1, 255, (EDGE, EDGE, 3)).astype(np.uint8)
    return ns.prepare(network(), pixels)


def run(network: type[torch.nn.Module], output: Path, **options: Any) -> Store:
    """A small run of nine tiles, two levels."""
    handle = ns.start(prepared(network), output=output, tile=TILE, device="cpu", scheduler="serial", **options)
    handle.wait()
    return handle.store


def levels(store: Store) -> list[np.ndarray[Any, Any]]:
    return [store.read(Region.from_shape(shape), k) for k, shape in enumerate(store.info.levels.shapes)]


@cache
def undisturbed(network: type[torch.nn.Module]) -> list[np.ndarray[Any, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        return levels(run(network, Path(folder) / "a.ome.zarr"))


def is_right(network: type[torch.nn.Module], store: Store) -> bool:
    pairs = zip(levels(store), undisturbed(network), strict=True)
    return bool(store.finished.all()) and all(np.array_equal(a, b) for a, b in pairs)


def kills(
    folder: Path, every: int, work: Callable[[Path], object], check: Callable[[Path], bool], start: Path
) -> Tally:
    """Kill some work in a copy of `start`, in turn at each of its disk calls, and check what is left."""
    tally, live = Tally(), folder / "live"
    copytree(start, live)
    count = count_calls(lambda: work(live))
    rmtree(live)
    for number in range(1, count + 1, every):
        copytree(start, live)
        killed_at(number, lambda: work(live))
        tally.add(check(live))
        rmtree(live)
    return tally


def cuts(folder: Path, every: int, work: Callable[[Path], object], check: Callable[[Path], bool], start: Path) -> Tally:
    """Cut the power while some work goes on in a copy of `start`, at each moment, and check what a disk may hold."""
    tally, live, cut = Tally(), folder / "live", folder / "cut"
    copytree(start, live)
    log = PowerCutLog(live)
    with log.recording():
        work(live)
    for image in log.images[::every]:
        lay_out(image, cut)
        tally.add(check(cut))
        rmtree(cut)
    return tally


Harness = Callable[..., Tally]


def of_a_run(harness: Harness, network: type[torch.nn.Module], folder: Path, every: int, **options: Any) -> Tally:
    """Of a run that makes a result: the same run goes on."""
    undisturbed(network)

    def check(place: Path) -> bool:
        store = run(network, place / "a.ome.zarr", **options)
        again = open_store(place / "a.ome.zarr", repairs=False)
        return is_right(network, store) and is_right(network, again) and not temporary_traces(place)

    (folder / "start").mkdir()
    return harness(folder, every, lambda place: run(network, place / "a.ome.zarr", **options), check, folder / "start")


def of_an_overwriting_run(harness: Harness, folder: Path, every: int) -> Tally:
    """The earlier result can be read until the new one is complete, and overwriting goes on."""
    undisturbed(Normed)
    run(Blur, folder / "start" / "a.ome.zarr")

    def check(place: Path) -> bool:
        found = open_store(place / "a.ome.zarr")
        old_or_new = is_right(Blur if found.program_hash == prepared(Blur).program_hash else Normed, found)
        store = run(Normed, place / "a.ome.zarr", overwrite=True)
        return old_or_new and is_right(Normed, store) and not temporary_traces(place)

    def work(place: Path) -> Store:
        return run(Normed, place / "a.ome.zarr", overwrite=True)

    return harness(folder, every, work, check, folder / "start")


def of_exports(suffix: str, folder: Path, every: int) -> Tally:
    """What was there is there, or the new file; the next export sweeps what was left behind."""
    network = Classes if suffix == ".geojson" else Blur
    result = run(network, folder / "r.ome.zarr")
    (folder / "start").mkdir()
    earlier, later = (folder / f"{name}{suffix}" for name in ("earlier", "later"))
    ns.export(result, earlier, region=Region.of((0, 50), (0, 50)))
    ns.export(result, later)
    ns.export(result, folder / "start" / f"a{suffix}", region=Region.of((0, 50), (0, 50)))
    known = [_content(earlier), _content(later)]

    def work(place: Path) -> None:
        ns.export(result, place / f"a{suffix}", overwrite=True)

    def check(place: Path) -> bool:
        if suffix == ".ome.zarr":
            open_store(place / f"a{suffix}")
        was_whole = _content(place / f"a{suffix}") in known
        work(place)
        return was_whole and _content(place / f"a{suffix}") == known[1] and not temporary_traces(place)

    return kills(folder, every, work, check, folder / "start")


def _content(path: Path) -> object:
    if path.suffix == ".tif":
        return tifffile.imread(path).tobytes()
    if path.is_dir():
        return [level.tobytes() for level in levels(open_store(path, repairs=False))]
    return path.read_bytes()


@contextmanager
def user_folder_at(place: Path) -> Iterator[None]:
    with (
        patch("napari_seamless.models.library.model_folder", lambda: place),
        patch("napari_seamless.models.trust.user_folder", lambda: place),
    ):
        yield


def of_a_model_that_is_added(folder: Path, every: int) -> Tally:
    """It is in the library whole, or not at all, and can be added then."""
    (folder / "model").mkdir()
    for name in ("recipe.toml", "weights", "readme"):
        (folder / "model" / name).write_text(name * 100)
    (folder / "start").mkdir()

    def work(place: Path) -> None:
        with user_folder_at(place):
            copy_to_library(folder / "model", "mine")

    def check(place: Path) -> bool:
        with user_folder_at(place):
            if "mine" not in added_names():
                copy_to_library(folder / "model", "mine")
            whole = all((place / "mine" / f.name).read_text() == f.read_text() for f in (folder / "model").iterdir())
            copy_to_library(folder / "model", "other")
        return whole and not temporary_traces(place)

    return kills(folder, every, work, check, folder / "start")


Competitor = Callable[[int, Callable[[bytes], object], Callable[[], object]], object]


def together(count: int, work: Competitor) -> list[bytes]:
    """Do work in so many processes at once: `work(number, say, wait)`; what each said. `wait` returns once all have
    said something."""
    children, pipes = [], []
    start_read, start_write = os.pipe()
    go_read, go_write = os.pipe()
    for number in range(count):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(start_write)
                os.close(go_write)
                os.read(start_read, 1)
                work(number, partial(os.write, writing), lambda: os.read(go_read, 1))
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        children.append(child)
        pipes.append(reading)
    os.close(start_write)
    said = [os.read(pipe, 100) for pipe in pipes]
    os.close(go_write)
    for child in children:
        os.waitpid(child, 0)
    for file in (*pipes, start_read, go_read):
        os.close(file)
    return said


def races(folder: Path, every: int, count: int = 200) -> Tally:
    """Two runs are started together on one output: one of them has it, and makes it right."""
    tally = Tally()
    undisturbed(Blur)
    for number in range(0, count, every):
        output = folder / f"{number}.ome.zarr"
        if number % 2:
            run(Classes, output)  # there is something to overwrite

        def compete(_number: int, say: Callable[[bytes], object], wait: Callable[[], object]) -> None:
            options = {"tile": TILE, "device": "cpu", "scheduler": "serial", "overwrite": bool(number % 2)}  # noqa: B023
            try:
                handle = ns.start(prepared(Blur), output=output, follow=True, **options)  # noqa: B023
            except OutputExists:
                say(b"refused")
                return
            say(b"has it")
            wait()
            handle.wait()
            handle.cancel()
            for thread in [t for t in enumerate_threads() if t.name == "napari-seamless run"]:
                thread.join()

        said = together(2, compete)
        alone = sorted(said) == [b"has it", b"refused"]
        tally.add(alone and is_right(Blur, open_store(output)) and not temporary_traces(folder))
    return tally


def of_the_trust_list(folder: Path, every: int, count: int = 40) -> Tally:
    """Processes that add to the list at once: nothing is missing afterwards."""
    tally = Tally()
    for number in range(0, count, every):
        place = folder / str(number)

        def add(who: int, say: Callable[[bytes], object], _wait: Callable[[], object]) -> None:
            with user_folder_at(place):  # noqa: B023
                for k in range(10):
                    trust.require_trust(Path(f"{who}-{k}"), f"{who}-{k}".encode(), "code", trust=True)
            say(b"done")

        together(3, add)
        with user_folder_at(place):
            tally.add(len(trust.trusted()) == 30)
    return tally


def of_flipped_bits(name: str, folder: Path, every: int) -> Tally:
    """In a small file beside a result that is half done, in turn in every fifth byte: the run goes on to the right
    result, or is refused in a sentence."""
    undisturbed(Normed)
    tally, live = Tally(), folder / "live"
    output = folder / "start" / "a.ome.zarr"
    run(Normed, output, region=Region.of((0, EDGE), (0, TILE)))
    (file,) = output.rglob(name)
    content = file.read_bytes()
    for place in range(0, len(content), 5 * every):
        copytree(folder / "start", live)
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        (live / file.relative_to(folder / "start")).write_bytes(bytes(flipped))
        try:
            tally.add(is_right(Normed, run(Normed, live / "a.ome.zarr")))
        except SeamlessError:
            tally.add(True)  # refused in a sentence
        rmtree(live)
    return tally


def of_late_tiles(overwrite: bool, folder: Path, every: int) -> Tally:
    """A run dies after each of its tiles in turn, another one has the output, and a worker of the first one, which does
    not know, writes all of its tiles before each tile of the second one, and after the last."""
    network: type[torch.nn.Module] = Normed if overwrite else Blur
    undisturbed(network)
    tally = Tally()
    for number in range(0, 9, every):
        output = folder / f"{number}.ome.zarr"
        first = ns.start(prepared(Blur), output=output, tile=TILE, device="cpu", scheduler="serial", follow=True)
        while first.progress().tiles < number:
            pass
        worker = pickle.loads(pickle.dumps(first.store))
        first.cancel()
        first.wait()
        refused: list[bool] = []
        commit = Store.commit

        def late(store: Store, region: Region) -> None:
            refused.append(_is_refused(worker))  # noqa: B023
            commit(store, region)  # noqa: B023

        with patch.object(Store, "commit", late):
            store = run(network, output, overwrite=overwrite)
        tally.add(all([*refused, _is_refused(worker)]) and is_right(network, store))
    return tally


def _is_refused(worker: Any) -> bool:
    """Whether none of a worker's tiles is taken."""
    for y, x in np.ndindex(3, 3):
        region = Region.of(*((k * TILE, min((k + 1) * TILE, EDGE)) for k in (y, x)))
        try:
            worker.write(region, np.full((3, *region.shape), 9, np.float32))
        except OutputUnwritable:
            continue
        return False
    return True


def of_removed_results(folder: Path, every: int) -> Tally:
    """A result is removed after each of its tiles in turn: nothing is there then, and the next run makes all of it."""
    undisturbed(Blur)
    tally = Tally()
    for number in range(1, 10, every):
        output, commit, seen = folder / f"{number}.ome.zarr", Store.commit, [0]

        def removed(store: Store, region: Region) -> None:
            commit(store, region)  # noqa: B023
            seen[0] += 1  # noqa: B023
            if seen[0] == number:  # noqa: B023
                rmtree(output)  # noqa: B023

        try:
            with patch.object(Store, "commit", removed):
                run(Blur, output)
            was_told = False
        except OutputUnwritable:
            was_told = True
        is_gone = not output.exists()
        tally.add(was_told and is_gone and is_right(Blur, run(Blur, output)))
    return tally


def in_threads(folder: Path, every: int, count: int = 40) -> Tally:
    """Four threads trace and run at once: each has its result."""
    pixels = np.random.default_rng(0).integers(1, 255, (EDGE, EDGE, 3)).astype(np.uint8)
    tally = Tally()

    def once(number: int) -> Store:
        output = folder / f"{number}.ome.zarr"
        return ns.run(Blur(), pixels, output=output, tile=TILE, device="cpu", scheduler="serial").store

    with ThreadPoolExecutor(4) as threads:
        for store in threads.map(once, range(0, count, every)):
            tally.add(is_right(Blur, store))
    return tally


SCENARIOS: dict[str, Callable[[Path, int], Tally]] = {
    "killed: a run": partial(of_a_run, kills, Blur),
    "killed: a run with shards": partial(of_a_run, kills, Blur, shards=True),
    "killed: a run that measures first": partial(of_a_run, kills, Normed),
    "killed: a run that overwrites": partial(of_an_overwriting_run, kills),
    "killed: an export to OME-TIFF": partial(of_exports, ".ome.tif"),
    "killed: an export to GeoJSON": partial(of_exports, ".geojson"),
    "killed: an export to OME-Zarr": partial(of_exports, ".ome.zarr"),
    "killed: a model that is added": of_a_model_that_is_added,
    "power cut: a run": partial(of_a_run, cuts, Blur),
    "power cut: a run with shards": partial(of_a_run, cuts, Blur, shards=True),
    "power cut: a run that measures first": partial(of_a_run, cuts, Normed),
    "power cut: a run that overwrites": partial(of_an_overwriting_run, cuts),
    "races: two runs on one output": races,
    "races: three processes and the trust list": of_the_trust_list,
    "a worker of a dead run: the next run continues": partial(of_late_tiles, False),
    "a worker of a dead run: the next run overwrites": partial(of_late_tiles, True),
    "a result is removed while it is written": of_removed_results,
    "four threads at once": in_threads,
    "a flipped bit in the journal": partial(of_flipped_bits, "journal"),
    "a flipped bit in the moments": partial(of_flipped_bits, "moments.safetensors"),
}


def tried(scenario: str, every: int) -> Tally:
    """One scenario, in a temporary folder. Nothing waits for the disk: no power is cut in earnest."""
    torch.set_num_threads(1)
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(spec_module, "LAST_LEVEL_EDGE", EDGE // 2),
        patch.object(os, "fsync", lambda _file: None),
    ):
        return SCENARIOS[scenario](Path(folder), every)


# -- what it costs


def one_run(slide: Path, is_durable: bool) -> None:
    """Print the seconds of a run of the sample slide, as it is, or without syncs, checksums and sizes."""
    ns.run("nuclei", slide, region=Region.of((0, 256), (0, 256)), device="cpu")  # what is loaded once
    none = [
        patch("napari_seamless.durable_files.sync_open", lambda _file: None),
        patch("napari_seamless.store.store.digest_of", lambda _pixels: ""),
        patch("napari_seamless.store.zarr_arrays.ZarrArrays.sizes", lambda _arrays, _region: ()),
        patch("napari_seamless.store.zarr_arrays.ZarrArrays.sync", lambda _arrays: None),
    ]
    for one in none if not is_durable else []:
        one.start()
    with tempfile.TemporaryDirectory(dir=slide.parent) as folder:
        began, processor = perf_counter(), process_time()
        ns.run("nuclei", slide, output=Path(folder) / "a.ome.zarr", device="cpu")
        print(json.dumps([perf_counter() - began, process_time() - processor]))


def cost(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        slide = Path(folder) / "slide.svs"
        slide.write_bytes((files("napari_seamless.io.readers") / "data" / "CMU-1-Small-Region.svs").read_bytes())
        seconds: dict[str, list[list[float]]] = {"durable": [], "not": []}
        for _ in range(rounds):
            for how, found in seconds.items():
                command = [sys.executable, __file__, "--one", how, str(slide)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found.append(json.loads(done.stdout))
    for k, what in enumerate(("wall clock", "processor")):
        taken = {how: median(run[k] for run in found) for how, found in seconds.items()}
        for how, found in seconds.items():
            print(f"{what}: {how:8} {' '.join(f'{run[k]:.2f}' for run in found)} s, median {taken[how]:.2f} s")
        print(f"{what}: cost {taken['durable'] / taken['not'] - 1:+.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="try every so many places")
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--cost", action="store_true", help="time runs instead")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("HOW", "SLIDE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one_run(Path(given.one[1]), given.one[0] == "durable")
    elif given.cost:
        cost(given.rounds)
    else:
        print(f"{'scenario':44} {'tries':>6} {'lost':>5} {'s':>6}")
        for name in (name for name in SCENARIOS if given.only in name):
            began = perf_counter()
            tally = tried(name, given.every)
            print(f"{name:44} {tally.tries:6} {tally.lost:5} {perf_counter() - began:6.0f}", flush=True)


if __name__ == "__main__":
    main()
