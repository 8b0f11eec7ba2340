"""How fast pixels come out of a file, and how often the same ones are decoded.

    python benchmarks/reading.py                    tiles of 512 to 2048 over 20 000 x 20 000 pixels
    python benchmarks/reading.py --size 50000       and how soon such an image without a pyramid is on screen

The file is a real BigTIFF of any size on next to no disk: its table of tiles names the JPEG tiles of the sample slide
again and again. Each run reads what the network would (a tile and its halo), in the order in which runs make tiles (a
Morton curve), by one thread. Redundancy is bytes decoded over bytes needed: 1 when no JPEG tile is decoded twice.
"""

from __future__ import annotations

import argparse
import struct
import tempfile
from itertools import islice
from pathlib import Path
from threading import Event
from time import perf_counter

import numpy as np
import tifffile

from napari_seamless.geometry import Grid, Region
from napari_seamless.planning.order import view_first
from napari_seamless.sources import open_image, sample_slide
from napari_seamless.sources.tiff import TiffSource

CACHES = (32, 128, 256, 512)
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


def walk(path: Path, tile: int, halo: int, cache: int, most: int) -> tuple[float, float, float]:
    """Redundancy, megapixels of tiles a second, and what the tiles read over what they write."""
    source = TiffSource(path, cache_bytes=cache << 20)
    whole = Region.from_shape(source.info.levels.shape(0))
    grid = Grid(whole.shape, (tile, tile))
    read = written = 0
    began = perf_counter()
    for index in islice(view_first(grid, whole, None, True), most):
        write = grid.region(index)
        wanted = write.grow((halo, halo)).intersect(whole)
        source.read(wanted)
        read, written = read + wanted.size, written + write.size
    seconds = perf_counter() - began
    redundancy = source.reads.redundancy
    source.close()
    return redundancy, written / seconds / 1e6, read / written


def first_look(path: Path) -> None:
    """How soon a large image without levels can be shown, and when its coarser levels are whole."""
    began, done = perf_counter(), Event()
    source = open_image(path)
    opened = perf_counter() - began
    overview = source.overview.shape
    seen = perf_counter() - began
    source.grow(lambda: done.set() if source.fraction == 1 else None)
    slowest = 0.0
    while not done.wait(0.5):
        for level, (y, x) in enumerate(source.info.levels.shapes):
            at = perf_counter()
            region = Region.of((y // 2, min(y, y // 2 + 1000)), (x // 2, min(x, x // 2 + 1600)))
            source.glance(region, level)
            slowest = max(slowest, perf_counter() - at)
    print(
        f"opened in {opened:.2f} s, overview {overview} after {seen:.2f} s, all coarser levels after "
        f"{perf_counter() - began:.0f} s; slowest view of any level meanwhile {slowest:.2f} s"
    )
    source.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--halo", type=int, help="pixels around a tile; without it, the model's")
    parser.add_argument("--tiles", type=int, nargs="+", default=TILES)
    parser.add_argument("--caches", type=int, nargs="+", default=CACHES, help="megabytes")
    parser.add_argument("--most", type=int, default=10**9, help="tiles at most")
    given = parser.parse_args()
    halo = halo_of(given.model) if given.halo is None else given.halo
    with tempfile.TemporaryDirectory() as folder:
        path = slide_of(given.size, Path(folder) / "slide.tif")
        print(f"{given.size} x {given.size}, {path.stat().st_size / 1e6:.1f} MB on disk, halo {halo} ({given.model})")
        first_look(path)
        print("tile  cache MB  redundancy  MP/s  read/written")
        for tile in given.tiles:
            for cache in given.caches:
                redundancy, speed, overlap = walk(path, tile, halo, cache, given.most)
                print(f"{tile:4}  {cache:8}  {redundancy:10.3f}  {speed:4.0f}  {overlap:12.2f}", flush=True)


if __name__ == "__main__":
    main()
