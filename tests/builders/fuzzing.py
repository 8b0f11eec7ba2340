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
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from napari_seamless.errors import SeamlessError
from napari_seamless.geometry import Region
from napari_seamless.interfaces import GrowingSource, Source
from napari_seamless.io.readers import open_image, sample_slide

TURNED = ("WhiteIsZero", "palette")  # in notices: pixels are those that a viewer shows
GOOD = ("refused", "unharmed", "as stored")
BUSY_SECONDS, IDLE_SECONDS = 60, 900
"""Of the processor, and of the clock: on a machine that is full the clock alone says nothing."""

CPU_SECONDS = 5
MEMORY = 8 << 30
LARGEST_READ = 20_000_000
NUMBERS: tuple[Any, ...] = (-1, 0, 1, 2, 7, 255, 65535, 10**6, 10**12, 2**31, 2**63, -(2**40), 0.5, 1e300)
OTHERS: tuple[Any, ...] = (None, True, "", "x", "nonsense", [], {}, [1], [[]], {"a": 1}, "NaN", "\x00")


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


def mutated(base: Base, rng: np.random.Generator, target: Path) -> str:
    """Puts a broken copy of `base` at `target`, and says what was done to it."""
    if base.is_folder:
        shutil.copytree(base.path, target)
        return _folder_mutated(target, rng)
    data, what = _file_mutated(base.path.read_bytes(), rng)
    target.write_bytes(data)
    return what


def _file_mutated(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    ways: tuple[Callable[[bytes, np.random.Generator], tuple[bytes, str]], ...] = (_tag, _tag, _tag, _flip, _hole, _cut)
    return ways[rng.integers(len(ways))](data, rng)


def _tag(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """One field (code, type, count or value) of one directory entry of a TIFF file becomes another number."""
    entries = list(_entries(data))
    if not entries:
        return _flip(data, rng)
    at, size = entries[rng.integers(len(entries))]
    order = "<" if data[:1] == b"I" else ">"
    wide = size == 20
    fields = [(0, "H"), (2, "H"), (4, "Q" if wide else "I"), (12 if wide else 8, "Q" if wide else "I")]
    offset, form = fields[(0, 1, 2, 2, 3, 3, 3)[rng.integers(7)]]
    code = struct.unpack_from(order + "H", data, at)[0]
    limit = 256 ** struct.calcsize(form)
    short = offset > 4 and struct.unpack_from(order + "H", data, at + 2)[0] == 3
    form, limit = ("H", 65536) if short else (form, limit)
    numbers = (0, 1, 2, 3, 5, 8, 16, 255, 1000, limit // 2, limit - 1, int(rng.integers(limit // 2)))
    value = numbers[rng.integers(len(numbers))]
    out = bytearray(data)
    struct.pack_into(order + form, out, at + offset, value)
    return bytes(out), f"tag {code} at byte {at + offset} became {value}"


def _entries(data: bytes) -> Iterator[tuple[int, int]]:
    """Position and size of every directory entry of the main chain."""
    order = "<" if data[:1] == b"I" else ">"
    wide = struct.unpack_from(order + "H", data, 2)[0] == 43
    offset = struct.unpack_from(order + ("Q" if wide else "I"), data, 8 if wide else 4)[0]
    while offset:
        count = struct.unpack_from(order + ("Q" if wide else "H"), data, offset)[0]
        first, size = offset + (8 if wide else 2), 20 if wide else 12
        yield from ((first + k * size, size) for k in range(count))
        offset = struct.unpack_from(order + ("Q" if wide else "I"), data, first + count * size)[0]


def _flip(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    out = bytearray(data)
    reach = (32, 600, len(data))[rng.integers(3)]
    places = rng.integers(min(reach, len(data)), size=int(rng.integers(1, 9)))
    for at in places:
        out[at] = rng.integers(256)
    return bytes(out), f"bytes {places.tolist()} changed"


def _hole(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    at, size = int(rng.integers(len(data))), int(rng.choice([4, 64, 512, 4096]))
    filler = bytes(size) if rng.integers(2) else rng.bytes(size)
    return data[:at] + filler + data[at + size :], f"bytes [{at}, {at + size}) overwritten"


def _cut(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    at = int(rng.integers(len(data)))
    return data[:at], f"cut to {at} bytes of {len(data)}"


def _folder_mutated(path: Path, rng: np.random.Generator) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file())
    metadata = [p for p in files if p.name in ("zarr.json", ".zarray", ".zattrs", ".zgroup")]
    chunks = [p for p in files if p not in metadata]
    if rng.integers(3):
        file = metadata[rng.integers(len(metadata))]
        if rng.integers(5) == 0:
            data, what = _file_mutated_plainly(file.read_bytes(), rng)
            file.write_bytes(data)
            return f"{file.relative_to(path)}: {what}"
        content = json.loads(file.read_text())
        what = _json_mutated(content, rng)
        file.write_text(json.dumps(content))
        return f"{file.relative_to(path)}: {what}"
    file = chunks[rng.integers(len(chunks))]
    if rng.integers(4) == 0:
        file.unlink()
        return f"{file.relative_to(path)} removed"
    data, what = _file_mutated_plainly(file.read_bytes(), rng)
    file.write_bytes(data)
    return f"{file.relative_to(path)}: {what}"


def _file_mutated_plainly(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    return (_flip, _hole, _cut)[rng.integers(3)](data, rng)


def _json_mutated(content: Any, rng: np.random.Generator) -> str:
    """One value anywhere in it is exchanged, removed, doubled, or a list is turned round."""
    places = list(_places(content))
    if not places:
        content["more"] = OTHERS[rng.integers(len(OTHERS))]
        return "a key added"
    holder, key = places[rng.integers(len(places))]
    old = holder[key]
    way = rng.integers(6)
    if way == 0:
        del holder[key]
        return f"{key} removed"
    if way == 1 and isinstance(old, list):
        holder[key] = old[::-1]
    elif way == 2 and isinstance(old, list):
        holder[key] = old + old
    else:
        pool = NUMBERS if isinstance(old, int | float) and rng.integers(4) else NUMBERS + OTHERS
        holder[key] = pool[rng.integers(len(pool))]
    return f"{key}: {old!r:.60} became {holder[key]!r:.60}"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


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
    ours = levels[0]
    if whole.size == ours.size and np.array_equal(np.sort(whole, axis=None), np.sort(ours, axis=None), equal_nan=True):
        return "as stored"
    is_told = any(word in notice for notice in source.info.notices for word in TURNED)
    if is_told or (whole.ndim == 3 and np.array_equal(np.moveaxis(whole, -1, 0)[:3], ours)):
        return "as stored"
    return f"silent: other pixels than another reader's {whole.shape} {whole.dtype}; ours {ours.shape} {ours.dtype}"


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
        what = f"{base.path.name}: {mutated(base, rng, target)}"
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
