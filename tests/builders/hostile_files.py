"""Every image reader and every model loader on thousands of broken files, each in a process of limited memory.

A server imports all libraries once and forks a worker for a number of files, so that five thousand take minutes, and a
crash or a hang takes the worker along and nothing else. `python benchmarks/hostile.py` prints the table.

Each file ends as one of `GOOD`: *refused* (an error of this package, in one sentence) or *read*. The rest are faults.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import logging
import os
import resource
import select
import shutil
import signal
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

import fuzzing
from mutations import mutate
from napari_seamless.errors import SeamlessError
from napari_seamless.geometry import Region
from napari_seamless.io.readers.formats import FORMATS as IMAGE_FORMATS
from napari_seamless.io.readers.formats import open_as, reader_of
from napari_seamless.models.card import card_of
from napari_seamless.models.loaders.example_network import example_network
from napari_seamless.models.loaders.formats import FORMATS as MODEL_FORMATS
from napari_seamless.models.loaders.formats import loader_of
from napari_seamless.models.networks.nuclei import NucleiNetwork
from napari_seamless.models.networks.unet import UNet

GOOD = ("refused", "read")
SECONDS = 2.0
"""Of the processor, for a refusal."""
MEGABYTES = 200
"""By which a refusal may let the process grow."""
HANG_SECONDS = 20
"""Of the processor, after which a file is said to hang."""
SILENCE = 180.0
"""Seconds without a word from a worker, after which it is killed: a library hangs in code that no signal reaches."""
STACKS = "stacks"
"""File in which a worker that hangs says where."""
MEMORY = 4 << 30
BATCH = 50
LONGEST_MESSAGE = 1500
LARGEST_READ = 2_000_000


@dataclass(frozen=True)
class Subject:
    """What reads files of one format. `make` writes good ones into an empty folder, `attempt` reads one."""

    title: str
    make: Callable[[Path], list[Path]]
    attempt: Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """One broken file: what was done to it, and what came of it."""

    subject: str
    number: int
    done: str
    outcome: str

    @property
    def kind(self) -> str:
        """The outcome in one word: refused, read, slow, memory, hang, crash, raw or unclear."""
        return self.outcome.partition(":")[0]


class Hanging(BaseException):
    """A file takes too long; no Exception, so that no clause of the code under test catches it."""


def subjects() -> list[Subject]:
    """All readers and loaders whose packages are installed."""
    readers = []
    for image_format in IMAGE_FORMATS:
        with suppress(SeamlessError):
            reader_of(image_format)
            readers.append(_reader(image_format.title))
    there = [one for one in MODEL_FORMATS if one.loader and (one.title != "StarDist" or find_spec("h5py"))]
    return [*readers, *(_loader(one.title) for one in there)]


def _reader(title: str) -> Subject:
    image_format = next(one for one in IMAGE_FORMATS if one.title == title)

    def attempt(path: Path) -> None:
        source = open_as(image_format, path, None, None)
        try:
            for level, shape in enumerate(source.info.levels.shapes[:4]):
                whole = Region.from_shape(shape)
                small = Region.of(*((max(0, n - 40), n) for n in shape))
                source.read(whole if prod(shape) * source.info.channels < LARGEST_READ else small, level)
        finally:
            source.close()

    def make(folder: Path) -> list[Path]:
        more = MORE_IMAGES.get(title, lambda _: [])(folder)
        return [reader_of(image_format).write_example(folder), *more]

    return Subject(f"{title} images", make, attempt)


def _loader(title: str) -> Subject:
    loader = loader_of(next(one for one in MODEL_FORMATS if one.title == title))

    def attempt(path: Path) -> None:
        if loader.matches(path):
            str(card_of(loader.load(path, trust=False)))

    def make(folder: Path) -> list[Path]:
        more = MORE_MODELS.get(title, lambda _: [])(folder)
        return [loader.write_example(folder), *more]

    return Subject(f"{title} models", make, attempt)


def _pictures(folder: Path) -> list[Path]:
    smooth = np.add.outer(np.arange(60), np.arange(70)).astype(np.uint8)
    colour = np.stack([smooth, smooth[::-1], 255 - smooth], axis=-1)
    shades = {"grey": smooth, "deep": smooth.astype(np.uint16) * 200, "alpha": np.dstack([colour, smooth])}
    made = [(f"{name}.png", Image.fromarray(pixels)) for name, pixels in shades.items()]
    plain = Image.fromarray(colour)
    made.append(("palette.png", plain.convert("P")))
    made += [(f"colour.{suffix}", plain) for suffix in ("jpg", "bmp", "gif", "webp")]
    for name, image in made:
        image.save(folder / name)
    return [folder / name for name, _ in made]


def _images(*suffixes: str) -> Callable[[Path], list[Path]]:
    return lambda folder: [base.path for base in fuzzing.bases(folder / "good") if base.path.suffix in suffixes]


MORE_IMAGES: dict[str, Callable[[Path], list[Path]]] = {
    "zarr": _images(".zarr"),
    "TIFF": _images(".tif", ".svs"),
    "picture": _pictures,
    "OpenSlide": _images(".svs"),
    "bioio": _images(".tif"),
}


def _weights(folder: Path) -> list[Path]:
    network = NucleiNetwork()
    state = {key: value.half() for key, value in network.state_dict().items()}
    torch.save(state, folder / "state.pt")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    inner = {f"model.{key}": value for key, value in state.items()}
    torch.save({"epoch": 3, "state_dict": inner, "optimizer": {"lr": 0.1}}, folder / "trained.ckpt")
    torch.save(example_network(), folder / "pickled.pt")
    save_file({"0.weight": torch.zeros(4, 2, 5, 5), "0.bias": torch.zeros(4)}, folder / "small.safetensors")
    return [folder / n for n in ("state.pt", "legacy.pth", "trained.ckpt", "pickled.pt", "small.safetensors")]


def _exported(folder: Path) -> list[Path]:
    sides = {axis: torch.export.Dim.AUTO for axis in (2, 3)}
    network = UNet(inputs=1, outputs=2, widths=[4, 6]).eval()
    program = torch.export.export(network, (torch.zeros(1, 1, 64, 64),), dynamic_shapes=(sides,))
    torch.export.save(program, folder / "unet.pt2")
    return [folder / "unet.pt2"]


def _scripts(folder: Path) -> list[Path]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = UNet(inputs=1, outputs=2, widths=[4, 6]).eval()
        torch.jit.save(torch.jit.trace(network, torch.zeros(1, 1, 64, 64)), folder / "unet.pt")
    return [folder / "unet.pt"]


def _zips(folder: Path) -> list[Path]:
    (folder / "package").mkdir()
    package = loader_of(next(one for one in MODEL_FORMATS if one.loader == "bioimageio")).write_example(
        folder / "package"
    )
    with zipfile.ZipFile(folder / "package.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in package.iterdir():
            archive.write(file, file.name)
    return [folder / "package.zip"]


MORE_MODELS: dict[str, Callable[[Path], list[Path]]] = {
    "weights": _weights,
    "torch.export": _exported,
    "TorchScript": _scripts,
    "zip file": _zips,
}


def cases(subject: Subject, folder: Path, *, seed: int, count: int, first: int = 0) -> Iterator[Case]:
    """`count` broken files of a subject; each depends on `seed` and its number alone. Needs `fork` (POSIX)."""
    good_folder = folder / "good-files"
    good_folder.mkdir(parents=True)
    logging.disable(logging.CRITICAL)
    good = subject.make(good_folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in good:  # loads what is loaded late, and shows that what is broken was whole
            with suppress(SeamlessError):
                subject.attempt(one)
    last = first + count
    while first < last:
        for case in _of_worker(subject, good, folder, seed, first, min(BATCH, last - first)):
            first = case.number + 1
            yield case


def _of_worker(subject: Subject, good: list[Path], folder: Path, seed: int, first: int, count: int) -> Iterator[Case]:
    """Cases of one forked worker, until it is done or dead; the one that it died of is the last."""
    reading, writing = os.pipe()
    worker = os.fork()
    if not worker:
        os.close(reading)
        _work(subject, good, folder, seed, first, count, writing)
    os.close(writing)
    pending, done, number = b"", "", first
    silent = ""
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while True:
            if not select.select([pipe], [], [], SILENCE)[0]:
                silent = _stacks(worker, folder / STACKS)
                os.kill(worker, signal.SIGKILL)
                break
            if not (piece := pipe.read(1 << 16)):
                break
            *lines, pending = (pending + piece).split(b"\n")
            for line in lines:
                number, done, outcome = json.loads(line)
                if outcome:
                    yield Case(subject.title, number, done, outcome)
                    number, done = number + 1, ""
    status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    if silent or status:
        outcome = f"hang: it said nothing any more; {silent}" if silent else f"crash: the process ended with {status}"
        yield Case(subject.title, number, done, outcome)


def _stacks(worker: int, file: Path) -> str:
    """Where the threads of a worker are that hangs."""
    os.kill(worker, signal.SIGUSR1)
    time.sleep(5)
    return file.read_text() or "not even its stacks"


def _work(subject: Subject, good: list[Path], folder: Path, seed: int, first: int, count: int, writing: int) -> None:
    """All that a worker does; it does not return."""
    status = 1
    try:
        warnings.simplefilter("ignore")
        gc.freeze()
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        limit = _memory("VmSize") + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGPROF, _hanging)
        faulthandler.register(signal.SIGUSR1, (folder / STACKS).open("w"))
        for number in range(first, first + count):
            rng = np.random.default_rng([seed, number])
            base = good[rng.integers(len(good))]
            target = folder / f"{number}-{base.name}"
            done = f"{base.name}: {mutate(base, rng, target)}"[:300]
            os.write(writing, json.dumps([number, done, ""]).encode() + b"\n")
            outcome = outcome_of(subject, target)
            os.write(writing, json.dumps([number, done, outcome[:2000]]).encode() + b"\n")
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink()
        status = 0
    finally:
        os._exit(status)


def outcome_of(subject: Subject, path: Path) -> str:
    """What reading a file comes to: one of `GOOD`, or the kind of fault, a colon and more."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory counts from here
    before, started = _memory("VmRSS"), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
    try:
        subject.attempt(path)
    except SeamlessError as error:
        signal.setitimer(signal.ITIMER_PROF, 0)
        seconds, grown = time.process_time() - started, (_memory("VmHWM") - before) / 1e6
        if seconds > SECONDS:
            return f"slow: {seconds:.1f} s: {error}"
        if grown > MEGABYTES:
            return f"memory: {grown:.0f} MB: {error}"
        return "refused" if _is_sentence(str(error)) else f"unclear: {error}"
    except Hanging:
        return f"hang: more than {HANG_SECONDS} s"
    except Exception as error:  # noqa: BLE001 whatever escapes is what is looked for
        return f"raw: {type(error).__module__}.{type(error).__qualname__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "read"


def _is_sentence(text: str) -> bool:
    return 10 < len(text) < LONGEST_MESSAGE and text.isprintable() and "Traceback" not in text


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{field}:")))


def _hanging(*_: object) -> None:
    raise Hanging
