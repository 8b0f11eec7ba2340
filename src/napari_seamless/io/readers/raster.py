"""PNG, JPEG and the other everyday formats, by Pillow: the whole image is decoded once and kept in memory.

PNG is decoded by imagecodecs, because Pillow cuts 16-bit colour down to 8 bits. Orientation tags are not applied.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image, UnidentifiedImageError

from napari_seamless.errors import InputDamaged, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, Pixels, Source
from napari_seamless.io.readers.array import open_arrays
from napari_seamless.io.readers.density import DENSEST, is_too_dense
from napari_seamless.io.readers.file_access import FileBacked, OpenedFiles
from napari_seamless.io.readers.file_type import require_file
from napari_seamless.io.readers.scenes import Scene, single

LARGEST = 2_000_000_000
LARGE = 200_000_000
FORMATS = (
    "PNG",
    "JPEG",
    "MPO",
    "BMP",
    "DIB",
    "GIF",
    "WEBP",
    "AVIF",
    "PPM",
    "TGA",
    "JPEG2000",
    "ICO",
    "PCX",
    "SGI",
    "PSD",
)
"""Pillow's own decoders. Those that hand the file to another program, as EPS does, are not asked."""
GREY = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L")
ADVICE = "convert it to a tiled TIFF or to OME-Zarr, which are read piece by piece"


def open_file(path: Path, axes: str | None, scene: Scene) -> Source:
    """A file, as `Reader.open_file` says."""
    require_file(path)
    return single(RasterSource(path, axes), scene)


def write_example(folder: Path) -> Path:
    """A PNG in colour."""
    pixels = np.add.outer(np.arange(60), np.add.outer(np.arange(70), [0, 40, 80])).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "example.png")
    return folder / "example.png"


class RasterSource(FileBacked):
    """A picture file in memory as a Source, with one level. Any thread; picklable (decoded again from its path)."""

    def __init__(self, path: Path, axes: str | None = None) -> None:
        self._path = path
        self._axes = axes
        self._files = OpenedFiles.of(path)
        pixels, kind = _decoded(path)
        self._inner = open_arrays(
            [pixels],
            axes=axes or ("yx" if pixels.ndim == 2 else "yxc"),
            rgb=pixels.ndim == 3,
            name=path.name,
            format=kind,
            identity=self._files.identity,
            notices=_notices(path, pixels),
        )

    @property
    def info(self) -> ImageInfo:
        return self._inner.info

    def read(self, region: Region, level: int = 0) -> Pixels:
        """A new array (c, y, x) of the type in `info`; there is one `level`. Raises BadRequest outside the image."""
        return self._inner.read(region, level)

    def close(self) -> None:
        """Nothing to give back: the file was closed when it had been decoded."""

    def __reduce__(self) -> tuple[type[RasterSource], tuple[Path, str | None]]:
        return RasterSource, (self._path, self._axes)


def _decoded(path: Path) -> tuple[Pixels, str]:
    """Pixels (y, x) or (y, x, 3), and the format's name."""
    Image.init()
    known = Image.OPEN  # some depend on how Pillow was built
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=[one for one in FORMATS if one in known]) as image:
                _require_size(path, image)
                kind = str(image.format)
                return (_png(path) if kind == "PNG" else _by_pillow(image)), kind
    except Image.DecompressionBombError as problem:
        raise InputUnreadable(
            f"a picture is decoded whole and must fit in memory; {path.name} is larger than Pillow allows ({problem}); "
            f"{ADVICE}, or raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from None
    except UnidentifiedImageError:
        raise InputUnreadable(f"{path.name} is in no format that Pillow knows") from None
    except (OSError, SyntaxError, ValueError, RuntimeError, EOFError) as problem:
        if isinstance(problem, InputUnreadable):
            raise
        raise InputDamaged(
            f"a picture must be complete to be read; {path.name}: {problem}; copy or export the file again"
        ) from problem


def _notices(path: Path, pixels: Pixels) -> tuple[str, ...]:
    if pixels.nbytes < LARGE:
        return ()
    return (f"{path.name} was decoded whole and takes {pixels.nbytes / 1e6:.0f} MB of memory; {ADVICE}",)


def _require_size(path: Path, image: Image.Image) -> None:
    pixels = image.width * image.height
    if pixels > LARGEST:
        raise InputUnreadable(
            f"a picture is decoded whole and may have {LARGEST} pixels at most; {path.name} has {pixels}; {ADVICE}"
        )
    size = path.stat().st_size
    if is_too_dense(pixels * len(image.getbands()), size):
        raise InputDamaged(
            f"a picture is decoded whole, and one as large as this fills more than a {DENSEST}th of its pixels' bytes; "
            f"{path.name} says {image.width} x {image.height} in {size} bytes; do not open it, or {ADVICE}"
        )


def _png(path: Path) -> Pixels:
    pixels: Pixels = imagecodecs.png_decode(path.read_bytes())
    if pixels.ndim == 3 and pixels.shape[2] == 2:
        return pixels[:, :, 0]
    return pixels[:, :, :3] if pixels.ndim == 3 else pixels


def _by_pillow(image: Image.Image) -> Pixels:
    grey = image.mode in GREY
    shown = image if grey else image.convert("L" if image.mode == "LA" else "RGB")
    return np.array(shown)
