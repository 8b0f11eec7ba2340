"""Files that are broken in a thousand ways, and what opening and reading them does.

As a script it makes and reads any number of them, in worker processes of limited memory, so that a crash or a hang is
seen as such::

    python tests/builders/fuzzing.py --count 3000 --seed 1

Every case is one of: *refused* (an error of ours, in one sentence), *unharmed* (the pixels that were stored), or
*as stored* (other pixels, but exactly those that tifffile or zarr itself finds in the file: the damage lies in bytes
that no checksum covers, or a chunk is absent, which in zarr means "fill value"). Anything else is a failure.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from mutations import mutate
from napari_seamless.errors import SeamlessError
from napari_seamless.geometry import Region
from napari_seamless.interfaces import GrowingSource, Source
from napari_seamless.io.readers import open_image, sample_slide

TURNED_ROUND, COLOURED = "it is turned round", "they are turned into"
"""What notices say of pixels that are not given as they are stored."""
GOOD = ("refused", "unharmed", "as stored")
BUSY_SECONDS, IDLE_SECONDS = 60, 900
"""Of the processor, and of the clock: on a machine that is full the clock alone says nothing."""

CPU_SECONDS = 5
MEMORY = 8 << 30
LARGEST_READ = 20_000_000


class TooSlow(BaseException):
    """A case took longer than it may; not an Exception, so that no clause of the code under test catches it."""


@dataclass(frozen=True)
class Base:
    """A good file or folder, its levels (c, y, x) as they were stored, and where in a file its tags lie."""

    path: Path
    levels: tuple[np.ndarray, ...]

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()


def bases(folder: Path) -> list[Base]:
    """A dozen small good images of all the formats that are read by code of our own."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [*_tiffs(folder), *_zarrs(folder)]
    return [Base(path, tuple(_read(open_image(path)))) for path in made]


def _tiffs(folder: Path) -> Iterator[Path]:
    smooth = np.add.outer(np.arange(200), np.arange(170)).astype("uint8")
    colour = np.stack([smooth, smooth[::-1], 255 - smooth], axis=-1)
    singles: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "deflate.tif": (smooth, {"tile": (64, 64), "compression": "zlib"}),
        "jpeg.tif": (colour, {"tile": (64, 64), "compression": "jpeg", "photometric": "rgb"}),
        "strips.tif": (smooth.astype("uint16"), {"rowsperstrip": 16, "compression": "lzw", "predictor": True}),
        "plain.tif": (smooth, {"rowsperstrip": 200}),
        "big.tif": (smooth, {"tile": (32, 32), "compression": "zstd", "bigtiff": True}),
        "end.tif": (smooth.astype("uint16"), {"tile": (64, 64), "compression": "zlib", "byteorder": ">"}),
    }
    for name, (pixels, options) in singles.items():
        tifffile.imwrite(folder / name, pixels, metadata=None, **options)
        yield folder / name
    with tifffile.TiffWriter(folder / "stack.ome.tif", ome=True) as tiff:
        options = {"tile": (64, 64), "compression": "zlib"}
        tiff.write(np.stack([smooth, 255 - smooth]), subifds=1, metadata={"axes": "CYX"}, **options)
        tiff.write(np.stack([smooth, 255 - smooth])[:, ::2, ::2], subfiletype=1, **options)
    yield folder / "stack.ome.tif"
    with tifffile.TiffWriter(folder / "slide.svs") as tiff:
        about = {"metadata": None, "description": "Aperio Image Library v11 \r\n170x200 |AppMag = 20|MPP = 0.5"}
        tiff.write(colour, tile=(64, 64), compression="jpeg", photometric="rgb", **about)
        tiff.write(colour[::2, ::2].copy(), compression="jpeg", photometric="rgb", **about)
        tiff.write(colour[::2, ::2].copy(), tile=(64, 64), compression="jpeg", photometric="rgb", **about)
    yield folder / "slide.svs"
    shutil.copy(sample_slide(), folder / "sample.svs")
    yield folder / "sample.svs"


def _zarrs(folder: Path) -> Iterator[Path]:
    smooth = np.add.outer(np.arange(100), np.arange(90)).astype("uint8")
    for version, codec in ((2, "0.4"), (3, "0.5"), (3, "sharded")):
        path = folder / f"image-{codec}.ome.zarr"
        group = zarr.open_group(str(path), mode="w", zarr_format=version)
        for k in range(2):
            level = smooth[:: 2**k, :: 2**k]
            layout = {"chunks": (16, 16), "shards": (32, 32)} if codec == "sharded" else {"chunks": (32, 32)}
            group.create_array(f"{k}", shape=level.shape, dtype=level.dtype, **layout)[...] = level
        scales = [{"coordinateTransformations": [{"type": "scale", "scale": [2.0**k] * 2}]} for k in range(2)]
        axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"]
        image = {"axes": axes, "datasets": [{"path": f"{k}", **scales[k]} for k in range(2)], "name": "image"}
        group.attrs.update(
            {"multiscales": [image | {"version": "0.4"}]}
            if version == 2
            else {"ome": {"version": "0.5", "multiscales": [image]}}
        )
        yield path
    for version in (2, 3):
        zarr.save_array(str(folder / f"plain-{version}.zarr"), smooth, zarr_format=version)
        yield folder / f"plain-{version}.zarr"


def outcome(path: Path, base: Base) -> str:
    """What opening and reading the file comes to; one of `GOOD`, or a description of the failure."""
    started = time.process_time()
    source: Source | None = None
    try:
        source = open_image(path)
        levels = _read(source)
    except SeamlessError as error:
        slow = time.process_time() - started
        fine = 20 < len(str(error)) < 3000 and "Traceback" not in str(error)
        return f"slow: {slow:.1f} s" if slow > CPU_SECONDS else "refused" if fine else f"unclear: {error}"
    except TooSlow:
        return "hung"
    except MemoryError:
        return "memory: more than was allowed"
    except Exception as error:  # noqa: BLE001 whatever escapes is what is looked for
        return f"escaped: {type(error).__name__}: {error}"
    finally:
        if source is not None:
            source.close()
    same = len(levels) == len(base.levels) and all(map(np.array_equal, levels, base.levels))
    return "unharmed" if same else _judged(path, source, levels)


def _read(source: Source) -> list[np.ndarray]:
    """Each stored level whole where it is small; its corners where it is not."""
    levels = [source.overview] if isinstance(source, GrowingSource) else []
    for level, shape in enumerate(source.info.levels.shapes[: 1 if levels else None]):
        if prod(shape) * source.info.channels <= LARGEST_READ:
            levels.append(source.read(Region.from_shape(shape), level))
        else:
            corners = (Region.of(*((0, min(n, 40)) for n in shape)), Region.of(*((max(n - 40, 0), n) for n in shape)))
            levels.extend(source.read(corner, level) for corner in corners)
    return levels


def _judged(path: Path, source: Source, levels: list[np.ndarray]) -> str:
    """Whether another reader finds the same pixels where ours differ from what was stored."""
    if prod(source.info.levels.shape(0)) * source.info.channels > LARGEST_READ:
        return "as stored" if path.is_dir() else f"large: {source.info.levels.shapes} {source.info.channels}"
    try:
        whole = _by_another(path)
    except Exception as error:  # noqa: BLE001 whatever the other reader raises
        return f"silent: the other reader refuses ({type(error).__name__}: {error})"
    try:
        meant = _as_told(path, source, whole)
    except Exception as error:  # noqa: BLE001 whatever the other reader raises
        return f"silent: the other reader knows nothing of what is told ({type(error).__name__}: {error})"
    ours = levels[0]
    if meant.size == ours.size and np.array_equal(np.sort(meant, axis=None), np.sort(ours, axis=None), equal_nan=True):
        return "as stored"
    if meant.ndim == 3 and np.array_equal(np.moveaxis(meant, -1, 0)[:3], ours):
        return "as stored"
    return f"silent: other pixels than another reader's {meant.shape} {meant.dtype}; ours {ours.shape} {ours.dtype}"


def _as_told(path: Path, source: Source, stored: np.ndarray) -> np.ndarray:
    """The pixels that another reader found, turned as our notices say it, by the tags as that one reads them."""
    told = " ".join(source.info.notices)
    if TURNED_ROUND not in told and COLOURED not in told:
        return stored
    with tifffile.TiffFile(path) as tiff:
        page = tiff.series[0].levels[0].keyframe
        bits, table = int(np.max(page.bitspersample)), page.colormap
    if TURNED_ROUND in told:
        return ~stored if stored.dtype == np.bool_ else (2**bits - 1 - stored).astype(stored.dtype)
    assert table is not None
    colours = (table if table.max() < 256 else table >> 8).astype(np.uint8)
    found = np.moveaxis(colours[:, np.minimum(stored, colours.shape[1] - 1)], 0, -1)
    return found[..., :1] if (colours == colours[:1]).all() else found


def _by_another(path: Path) -> np.ndarray:
    if not path.is_dir():
        with tifffile.TiffFile(path) as tiff:
            return np.asarray(tiff.series[0].levels[0].asarray())
    node = zarr.open(str(path), mode="r")
    if isinstance(node, zarr.Array):
        return np.asarray(node[...])
    attributes = dict(node.attrs)
    image = attributes.get("ome", attributes)["multiscales"][0]
    return np.asarray(node[image["datasets"][0]["path"]][...])


def cases(folder: Path, seed: int, first: int, count: int) -> Iterator[tuple[int, str, str]]:
    """Number, description and outcome of some cases; each depends on seed and number alone."""
    # what other libraries have to say of broken files belongs in no error of ours
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    good = bases(folder / "good")
    _load_every_library(folder)
    signal.signal(signal.SIGALRM, _alarm)
    signal.signal(signal.SIGPROF, _alarm)
    for number in range(first, first + count):
        rng = np.random.default_rng([seed, number])
        base = good[rng.integers(len(good))]
        target = folder / f"{number}-{base.path.name}"
        what = f"{base.path.name}: {mutate(base.path, rng, target)}"
        signal.setitimer(signal.ITIMER_PROF, BUSY_SECONDS)
        signal.alarm(IDLE_SECONDS)
        try:
            result = outcome(target, base)
        except TooSlow:
            result = "hung"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
        yield number, what, result
        shutil.rmtree(target) if target.is_dir() else target.unlink()


def _load_every_library(folder: Path) -> None:
    """So that no case is charged for it."""
    (folder / "nothing.lif").write_bytes(bytes(1000))
    with suppress(SeamlessError):
        open_image(folder / "nothing.lif")


def _alarm(*_: object) -> None:
    raise TooSlow


def _worker(seed: int, first: int, count: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        for number, what, result in cases(Path(folder), seed, first, count):
            print(json.dumps([number, what, result]), flush=True)


def _supervised(seed: int, count: int) -> Iterator[tuple[int, str, str]]:
    """All cases, by workers that are replaced when one of them dies."""
    first = 0
    while first < count:
        command = [sys.executable, __file__, "--seed", str(seed), "--first", str(first), "--count", str(count - first)]
        worker = subprocess.Popen([*command, "--worker"], stdout=subprocess.PIPE, text=True)
        assert worker.stdout is not None
        for line in worker.stdout:
            number, what, result = json.loads(line)
            first = number + 1
            yield number, what, result
        if worker.wait():
            yield first, "?", f"crash: the process ended with {worker.returncode}"
            first += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("count", 2000), ("seed", 0), ("first", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--worker", action="store_true")
    given = parser.parse_args()
    if given.worker:
        _worker(given.seed, given.first, given.count)
        return 0
    seen: Counter[str] = Counter()
    started = time.monotonic()
    for number, what, result in _supervised(given.seed, given.count):
        seen[result.partition(":")[0]] += 1
        if result not in GOOD:
            print(f"{number}  {what}\n    {result}", flush=True)
    print(f"{given.count} files in {time.monotonic() - started:.0f} s: {dict(seen)}")
    return int(any(kind not in GOOD for kind in seen))


if __name__ == "__main__":
    sys.exit(main())
