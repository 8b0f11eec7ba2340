"""Whatever somebody calls an image, as a Source.

The openers of paths are the ordered tuple below, one file each. Each is imported only when its turn comes, so that
opening an array loads no library of a file format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from napari_seamless.errors import BadRequest, InputDamaged, InputNotFound, InputUnreadable
from napari_seamless.interfaces import Source
from napari_seamless.io.readers.array import looks_like_array, open_arrays
from napari_seamless.io.readers.coarse_levels import with_coarser_levels
from napari_seamless.io.readers.file_access import require_exists
from napari_seamless.io.readers.file_type import is_openslide_format, is_tiff, is_zarr
from napari_seamless.io.readers.image_objects import is_bioimage, is_layer, open_bioimage, open_layer
from napari_seamless.io.readers.plane import Plane, on_plane
from napari_seamless.io.readers.scenes import Scene, only
from napari_seamless.io.readers.urls import is_url, local_path, require_readable


@dataclass(frozen=True)
class Opener:
    """One way to read a path: raises InputUnreadable with the reason when the path is not for it."""

    name: str
    open: Callable[[Path, str | None, Scene], Source]


def open_image(what: object, *, axes: str | None = None, scene: Scene = None, plane: Plane | None = None) -> Source:
    """A region of an image as an array, for anything that is one.

    `what`: a path; the address (http, https, s3, gs) of a zarr image; a numpy, dask or zarr array; a list of arrays
    (one image's levels, finest first); a napari layer; an AICSImage or BioImage; a Source (given back as it is).
    `axes` has one letter for each axis, in the order of the array (c channel, z y x space, t time), for example "yxc";
    without it those are taken that the array names (xarray's `dims`), else they are inferred. Colours that come last
    lose their alpha channel. Of several images in one file, `scene` says which, by its number or name (`info.scenes`);
    the first is taken otherwise. Of a stack or a series `plane` takes one plane or time point, by numbers from 0:
    {"z": 10}, {"t": 3} or both; without it all planes are taken, of the first time point (of `info.times`). Raises
    InputNotFound, InputUnreadable (naming what was tried), InputDamaged, or BadRequest for axes that cannot be, and
    scenes and planes that are not there. A large plane without small levels
    gets them (`coarse.py`).

    >>> import numpy as np
    >>> open_image(np.zeros((3, 200, 100))).info.levels
    Levels(shapes=((200, 100),))
    """
    source = on_plane(_opened(what, axes, scene), plane)
    return with_coarser_levels(source) if isinstance(what, str | Path) else source


def _opened(what: object, axes: str | None, scene: Scene) -> Source:
    if isinstance(what, str) and is_url(what):
        return _open_url(what, axes, scene)
    if isinstance(what, str | Path):
        return _open_path(Path(what), axes, scene)
    if is_bioimage(what):
        return open_bioimage(what, axes, scene=scene)
    only(scene, _described(what))
    if isinstance(what, Source):
        return what
    if is_layer(what):
        return open_layer(what, axes)
    if looks_like_array(what):
        return open_arrays([what], axes=axes)
    if isinstance(what, list | tuple) and what and all(looks_like_array(level) for level in what):
        return open_arrays(what, axes=axes)
    raise InputUnreadable(
        "an image must be a path, an array, a list of arrays (levels, finest first), a napari layer or a BioImage; "
        f"got {_described(what)}"
    )


def _described(what: object) -> str:
    if isinstance(what, Sequence):
        return f"a {type(what).__name__} of {len(what)}"
    return type(what).__name__


def _open_url(url: str, axes: str | None, scene: Scene) -> Source:
    path = local_path(url)
    if path is not None:
        return _open_path(path, axes, scene)
    require_readable(url)
    from napari_seamless.io.readers.ome_zarr import ZarrSource

    try:
        return ZarrSource(url, axes, scene)
    except InputDamaged:
        raise
    except InputUnreadable as reason:
        raise InputUnreadable(f"over the network only zarr is read; {reason}; or download the file") from reason


def _open_path(path: Path, axes: str | None, scene: Scene) -> Source:
    try:
        require_exists(path)
        openers = _openers_for(path)
    except InputNotFound:
        raise
    except OSError as problem:
        raise InputUnreadable(f"a path must be readable; {path}: {problem.strerror}; check its permissions") from None
    reasons = []
    for opener in openers:
        try:
            return opener.open(path, axes, scene)
        except InputDamaged:
            raise
        except InputUnreadable as reason:
            reasons.append(f"{opener.name}: {reason}")
    raise InputUnreadable(f"an image must be in a format that is read here; got {path}; tried {'; '.join(reasons)}")


def _openers_for(path: Path) -> tuple[Opener, ...]:
    """All of them, unless the path is of a kind that the others would only misread."""
    if is_openslide_format(path):
        return (OPENSLIDE,)
    if is_zarr(path):
        return (ZARR,)
    return (TIFF, Opener("OpenSlide", _open_vendor)) if is_tiff(path) else OPENERS


def _open_zarr(path: Path, axes: str | None, scene: Scene) -> Source:
    if not is_zarr(path):
        raise InputUnreadable("not a folder with zarr metadata in it")
    from napari_seamless.io.readers.ome_zarr import ZarrSource

    return ZarrSource(path, axes, scene)


def _open_tiff(path: Path, axes: str | None, scene: Scene) -> Source:
    _require_file(path)
    if not is_tiff(path):
        raise InputUnreadable("it does not begin as a TIFF file")
    from napari_seamless.io.readers.tiff import TiffSource

    return TiffSource(path, axes, scene)


def _open_openslide(path: Path, axes: str | None, scene: Scene) -> Source:  # noqa: ARG001
    _require_file(path)
    if find_spec("openslide") is None:
        raise InputUnreadable('not installed; pip install "napari-seamless[slides]"')
    from napari_seamless.io.readers.openslide import OpenSlideSource

    return _single(OpenSlideSource(path), scene)


def _open_perhaps(path: Path, axes: str | None, scene: Scene) -> Source:
    """OpenSlide for a path whose name does not promise a slide: when it fails, bioio may still know the format.

    So it may where a scene is asked for: of some formats (CZI) OpenSlide shows all scenes as one image.
    """
    if scene is not None:
        raise InputUnreadable("it shows a file as one image, without scenes")
    try:
        return _open_openslide(path, axes, scene)
    except InputDamaged as problem:
        raise InputUnreadable(str(problem)) from problem


def _open_vendor(path: Path, axes: str | None, scene: Scene) -> Source:
    """OpenSlide for a TIFF file of a scanner that it knows; of any other it would make red, green and blue."""
    source = _open_openslide(path, axes, scene)
    if source.info.format.endswith("generic-tiff"):
        source.close()
        raise InputUnreadable("it is of no scanner that OpenSlide knows")
    return source


def _open_raster(path: Path, axes: str | None, scene: Scene) -> Source:
    _require_file(path)
    from napari_seamless.io.readers.raster import RasterSource

    return _single(RasterSource(path, axes), scene)


def _single(source: Source, scene: Scene) -> Source:
    """What holds a single image: refuses any other scene, once it is known that the file is of its kind."""
    try:
        only(scene, source.info.name)
    except BadRequest:
        source.close()
        raise
    return source


def _open_bioio(path: Path, axes: str | None, scene: Scene) -> Source:
    if find_spec("bioio") is None:
        raise InputUnreadable('not installed; pip install "napari-seamless[bioio]"')
    from napari_seamless.io.readers.bioio import BioioSource

    return BioioSource(path, axes, scene)


def _open_aicsimageio(path: Path, axes: str | None, scene: Scene) -> Source:
    if find_spec("aicsimageio") is None:
        raise InputUnreadable("not installed; pip install --no-deps aicsimageio resource-backed-dask-array")
    from napari_seamless.io.readers.aicsimageio import AicsimageioSource

    return AicsimageioSource(path, axes, scene)


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise InputUnreadable("not a file")
    if not path.stat().st_size:
        raise InputUnreadable("the file is empty")


TIFF = Opener("TIFF", _open_tiff)
OPENSLIDE = Opener("OpenSlide", _open_openslide)
ZARR = Opener("zarr", _open_zarr)
OPENERS: tuple[Opener, ...] = (
    ZARR,
    TIFF,
    Opener("picture", _open_raster),
    Opener("OpenSlide", _open_perhaps),
    Opener("bioio", _open_bioio),
    Opener("aicsimageio", _open_aicsimageio),
)
