"""TIFF, BigTIFF, OME-TIFF, Aperio SVS and generic pyramids.

tifffile parses the file once; after that every read takes tiles or strips straight from the file and decodes them in
the calling thread, so that threads do not wait for each other. Decoded pieces are cached, since reads overlap.
Levels come from subdirectories or from pages of decreasing size; thumbnail, label and macro images are left out.
Of a time axis the first point is taken, unless another is asked for; of several images in one file the largest (the
baseline of a slide), unless another scene is asked for. A declared alpha channel of an RGB image is left
out. A truncated file raises InputDamaged; a piece that the file declares to be unwritten (length 0) holds the file's
no-data value.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from napari_seamless.errors import InputDamaged, SeamlessError
from napari_seamless.geometry import Levels, Region
from napari_seamless.interfaces import ImageInfo, Pixels, Reads
from napari_seamless.io.readers.axes import info_at, require_inside, require_time
from napari_seamless.io.readers.declared_range import bits_of_largest, range_of_bits
from napari_seamless.io.readers.decoded_cache import DecodedCache
from napari_seamless.io.readers.file_access import ByteFile, FileBacked, OpenedFiles
from napari_seamless.io.readers.scenes import Scene, with_scenes
from napari_seamless.io.readers.tiff_directories import check_directories
from napari_seamless.io.readers.tiff_ome import pixels_of, significant_bits_of
from napari_seamless.io.readers.tiff_parsed import Metadata, TiffImages, metadata_of, opened
from napari_seamless.io.readers.tiff_scale import channel_colours, channel_names, pixel_sizes, place
from napari_seamless.io.readers.tiff_scenes import pages_told, scene_of
from napari_seamless.io.readers.tiff_stack import Stack, notices_of, stacks_of

CACHE_BYTES = 256 << 20


def open_file(path: Path, axes: str | None, scene: Scene) -> TiffSource:
    """A file, as `Reader.open_file` says."""
    return TiffSource(path, axes, scene)


def write_example(folder: Path) -> Path:
    """An OME-TIFF of two levels of two channels, (c, y, x), in compressed tiles."""
    pixels = np.add.outer([0, 99], np.add.outer(np.arange(60), np.arange(70))).astype(np.uint16)
    with tifffile.TiffWriter(folder / "example.ome.tif", ome=True) as tiff:
        tiff.write(pixels, subifds=1, tile=(16, 32), compression="zlib", metadata={"axes": "CYX"})
        tiff.write(pixels[:, ::2, ::2], subfiletype=1, tile=(16, 32), compression="zlib")
    return folder / "example.ome.tif"


class TiffSource(FileBacked):
    """A TIFF file as a Source. Any thread; picklable (opened again from its path, with an empty cache).

    Arrays that `read` gives may have colours last in memory, as the file does: they are (c, y, x) all the same.
    """

    def __init__(
        self,
        path: Path,
        axes: str | None = None,
        scene: Scene = None,
        cache_bytes: int = CACHE_BYTES,
        time: int | None = None,
    ) -> None:
        self._path = path
        self._axes = axes
        self._scene = scene
        self._cache_bytes = cache_bytes
        self._time = time
        self._handles = {path.resolve(): ByteFile(path)}
        try:
            info, self._stacks = _parsed(path, self._handles, axes, scene, time)
        except SeamlessError:
            self._close_files()
            raise
        self._files = OpenedFiles.of(path, *self._handles)
        reading = f" {axes.lower()}" if axes else ""
        self._info = replace(info, identity=f"{self._files.identity}{reading}{info.identity}")
        self._cache = DecodedCache(max(cache_bytes, *(stack.piece_bytes for stack in self._stacks)))

    @property
    def info(self) -> ImageInfo:
        return self._info

    def read(self, region: Region, level: int = 0) -> Pixels:
        """A new array (c, [z,] y, x) of the type in `info`; `region` is ((z,) y, x) in pixels of `level`.

        Raises BadRequest outside the image, InputDamaged.
        """
        require_inside(self._info.levels.shape(level), region)
        try:
            return self._stacks[level].read(region, self._cache)
        except InputDamaged as problem:
            raise InputDamaged(f"{problem} (while level {level}, {region!r} was read)") from problem

    def at_time(self, time: int) -> TiffSource:
        """The file at another time point, by its number from 0, opened again. Raises BadRequest where there is none."""
        require_time(time, self._stacks[0].times, self._info.name)
        return TiffSource(self._path, self._axes, self._scene, self._cache_bytes, time)

    @property
    def reads(self) -> Reads:
        """What was decoded since the file was opened. Any thread."""
        return self._cache.reads

    def close(self) -> None:
        """Closes the file and forgets decoded pieces; no read may be under way."""
        self._cache.clear()
        self._close_files()

    def _close_files(self) -> None:
        for file in self._handles.values():
            file.close()

    def __reduce__(self) -> tuple[type[TiffSource], tuple[Path, str | None, Scene, int, int | None]]:
        return TiffSource, (self._path, self._axes, self._scene, self._cache_bytes, self._time)


def _parsed(
    path: Path, files: dict[Path, ByteFile], axes: str | None, scene: Scene, time: int | None
) -> tuple[ImageInfo, tuple[Stack, ...]]:
    check_directories(files[path.resolve()])
    with opened(path) as tiff:
        images = TiffImages(path, tiff)
        number, numbers, names = scene_of(images, scene, path.name)
        stacks = stacks_of(images, files, axes, number, time or 0)
        info = _info(path, images.kinds[0], metadata_of(path, tiff, number), stacks, number)
        info = replace(info, notices=(*info.notices, *pages_told(path.name, images[number], axes)))
    if time is not None:
        info = info_at(info, time)
    return with_scenes(info, names, numbers.index(number), is_chosen=scene is not None), stacks


def _info(path: Path, kind: str, metadata: Metadata, stacks: tuple[Stack, ...], number: int) -> ImageInfo:
    base = stacks[0]
    sizes = pixel_sizes(metadata, number)
    at = place(metadata, sizes, number)
    spatial = "zyx" if base.volume else "yx"
    names = ("red", "green", "blue") if base.rgb else channel_names(metadata, number)
    colours = () if base.rgb else channel_colours(metadata, number)
    return ImageInfo(
        name=path.name,
        levels=Levels(tuple(stack.spatial_shape for stack in stacks)),
        channels=base.channels,
        dtype=base.dtype,
        identity=f" scene {number}" if number else "",  # what comes after that of the files
        channel_names=names if len(names) == base.channels else (),
        channel_colours=colours if len(colours) == base.channels else (),
        rgb=base.rgb,
        pixel_size=tuple(sizes.get(a, 0.0) for a in spatial) if "y" in sizes and "x" in sizes else None,
        origin=tuple(at.get(a, 0.0) for a in spatial) if any(at.get(a) for a in spatial) else (),
        format={"svs": "Aperio SVS", "ome": "OME-TIFF", "philips": "Philips TIFF"}.get(kind, "TIFF"),
        notices=(*notices_of(path.name, base), *([base.meaning.told] if base.meaning.told else [])),
        times=max(1, base.times),
        value_range=None if base.meaning.colours is not None else _range(metadata, number, base.dtype),
    )


def _range(metadata: Metadata, number: int, dtype: np.dtype) -> tuple[float, float] | None:
    """What the file says of the bits that are used."""
    largest = map(bits_of_largest, metadata.largest)
    return range_of_bits([metadata.bits, significant_bits_of(pixels_of(metadata, number)), *largest], dtype)
