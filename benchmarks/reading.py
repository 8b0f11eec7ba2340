"""How often the same pixels are decoded, how fast they come out of a file, and how soon a large one is on screen.

    python benchmarks/reading.py                    50 000 x 50 000 pixels
    python benchmarks/reading.py --size 100000 --halo 107

The file is a real BigTIFF of any size on next to no disk: its table of tiles names the JPEG tiles of the sample slide
again and again. Each run reads what the network would (a tile and its halo), in the order in which runs make tiles (a
Morton curve), by one thread. Redundancy is bytes decoded over bytes needed: 1 when no JPEG tile is decoded twice.
"""

from __future__ import annotations

import argparse
import struct
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from threading import Event
from time import perf_counter, process_time

import numpy as np
import tifffile

from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.io.readers import open_image, sample_slide
from napari_seamless.io.readers.decoded_cache import DecodedCache
from napari_seamless.io.readers.tiff import TiffSource
from napari_seamless.runtime.planning.order import view_first

CACHES = (32, 64, 128, 256, 512)
EDGE = 240
TILES = (512, 1024, 2048)


def slide_of(size: int, path: Path) -> Path:
    """A tiled JPEG BigTIFF of `size` pixels square and one level, whose tiles are the sample's inner ones."""
    with tifffile.TiffFile(sample_slide()) as tiff:
        page = tiff.pages.first
        counts = (page.imagelength // page.tilelength, page.imagewidth // page.tilewidth)
        across = -(-page.imagewidth // page.tilewidth)
        inner = [y * across + x for y in range(counts[0]) for x in range(counts[1])]
        places = [(page.dataoffsets[k], page.databytecounts[k]) for k in inner]
        tables, edge, photometric = page.jpegtables, page.tilelength, int(page.photometric)
    stored = sample_slide().read_bytes()
    tiles = [stored[at : at + n] for at, n in places]
    starts = 16 + len(tables) + np.concatenate([[0], np.cumsum([len(t) for t in tiles])])
    side = -(-size // edge)
    rows, columns = np.divmod(np.arange(side * side), side)
    which = rows % counts[0] * counts[1] + columns % counts[1]
    offsets, lengths = starts[which].astype("<u8"), np.array([len(t) for t in tiles], "<u8")[which]
    tables_at, offsets_at = 16, int(starts[-1])
    lengths_at = offsets_at + offsets.nbytes
    total = len(which)
    tags = [
        (256, 4, 1, size), (257, 4, 1, size), (258, 3, 3, 8 | 8 << 16 | 8 << 32), (259, 3, 1, 7),
        (262, 3, 1, photometric), (277, 3, 1, 3), (284, 3, 1, 1), (322, 3, 1, edge), (323, 3, 1, edge),
        (324, 16, total, offsets_at), (325, 16, total, lengths_at), (347, 7, len(tables), tables_at),
        (530, 3, 2, 2 | 2 << 16),
    ]  # fmt: skip
    directory = struct.pack("<Q", len(tags)) + b"".join(struct.pack("<HHQQ", *tag) for tag in tags) + bytes(8)
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, lengths_at + lengths.nbytes)
    path.write_bytes(b"".join([head, tables, *tiles, offsets.tobytes(), lengths.tobytes(), directory]))
    return path


def halo_of(model: str) -> int:
    """Pixels that the network needs around a tile, on the worse side."""
    import napari_seamless as ns

    return max(max(sides) for sides in ns.explain(model, sample_slide()).halo)


def reads_of(size: int, tile: int, halo: int) -> Iterator[tuple[Region, Region]]:
    """What each tile writes and reads, in the order of a run."""
    whole = Region.from_shape((size, size))
    grid = Grid(whole.shape, (tile, tile))
    for index in view_first(grid, whole, None, True):
        write = grid.region(index)
        yield write, write.grow((halo, halo)).intersect(whole)


def redundancy(size: int, tile: int, halo: int, cache_bytes: int) -> float:
    """Bytes decoded over bytes needed, through the real cache, with pieces that nobody decodes."""
    cache = DecodedCache(cache_bytes)
    pieces = Grid((size, size), (EDGE, EDGE))
    for _, read in reads_of(size, tile, halo):
        for cell in cells_of(pieces.covering(read)):
            cache.piece(cell, lambda: np.empty((EDGE, EDGE, 3), np.uint8))
    return cache.reads.redundancy


def speed(path: Path, tile: int, halo: int, most: int) -> tuple[float, float, float]:
    """Megapixels of tiles a second of processor time, redundancy, and what tiles read over what they write."""
    source = TiffSource(path)
    read = written = 0
    began = process_time()
    for write, wanted in islice(reads_of(source.info.levels.shape(0)[0], tile, halo), most):
        source.read(wanted)
        read, written = read + wanted.size, written + write.size
    seconds, counted = process_time() - began, source.reads.redundancy
    source.close()
    return written / seconds / 1e6, counted, read / written


def first_look(path: Path, wait: float) -> None:
    """How soon a large image without levels can be shown, and what its coarser levels cost."""
    began, spent = perf_counter(), process_time()
    source = open_image(path)
    opened = perf_counter() - began
    overview = source.overview.shape
    seen = perf_counter() - began
    done, slowest = Event(), 0.0
    source.grow(lambda: done.set() if source.fraction == 1 else None)
    while not done.wait(0.5) and perf_counter() - began < wait:
        for level, (y, x) in enumerate(source.info.levels.shapes):
            at = perf_counter()
            source.read_preview(Region.of((y // 2, min(y, y // 2 + 1000)), (x // 2, min(x, x // 2 + 1600))), level)
            slowest = max(slowest, perf_counter() - at)
    print(
        f"opened in {opened:.2f} s, overview {overview} after {seen:.2f} s; {source.fraction:.0%} of the coarser "
        f"levels after {perf_counter() - began:.0f} s ({process_time() - spent:.0f} s of a core, views included); "
        f"slowest view of 1000 x 1600 meanwhile {slowest:.2f} s"
    )
    source.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=50_000)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--halo", type=int, help="pixels around a tile; without it, the model's")
    parser.add_argument("--most", type=int, default=200, help="tiles to decode for the speed")
    parser.add_argument("--wait", type=float, default=60, help="seconds for the coarser levels")
    given = parser.parse_args()
    halo = halo_of(given.model) if given.halo is None else given.halo
    with tempfile.TemporaryDirectory() as folder:
        path = slide_of(given.size, Path(folder) / "slide.tif")
        print(f"{given.size} x {given.size}, {path.stat().st_size / 1e6:.1f} MB on disk, halo {halo}", flush=True)
        print("redundancy with a cache of", *(f"{cache:>5} MB" for cache in CACHES))
        for tile in TILES:
            ratios = (redundancy(given.size, tile, halo, cache << 20) for cache in CACHES)
            print(f"tile {tile:4}                ", *(f"{ratio:8.3f}" for ratio in ratios), flush=True)
        for tile in TILES:
            rate, counted, overlap = speed(path, tile, halo, given.most)
            print(
                f"tile {tile:4}: {rate:.0f} MP/s of a core, redundancy {counted:.3f}, reads {overlap:.2f} x its pixels"
            )
        first_look(path, given.wait)


if __name__ == "__main__":
    main()
