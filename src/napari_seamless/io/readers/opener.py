"""Whatever somebody calls an image, as a Source.

Paths are opened by the readers of `formats.py`. Each is imported only when its turn comes, so that opening an array
loads no library of a file format.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from napari_seamless.errors import InputDamaged, InputNotFound, InputUnreadable
from napari_seamless.interfaces import Source
from napari_seamless.io.readers.array import looks_like_array, open_arrays
from napari_seamless.io.readers.coarse_levels import with_coarser_levels
from napari_seamless.io.readers.file_access import require_exists
from napari_seamless.io.readers.formats import formats_for, open_as
from napari_seamless.io.readers.image_objects import is_bioimage, is_layer, open_bioimage, open_layer
from napari_seamless.io.readers.plane import Plane, on_plane
from napari_seamless.io.readers.scenes import Scene, only
from napari_seamless.io.readers.urls import is_url, local_path, require_readable


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
    scenes and planes that are not there. A large plane without small levels gets them (`coarse_levels.py`).

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
        return _open_levels(what, axes)
    raise InputUnreadable(
        "an image must be a path, an array, a list of arrays (levels, finest first), a napari layer or a BioImage; "
        f"got {_described(what)}"
    )


def _open_levels(arrays: Sequence[Any], axes: str | None) -> Source:
    """A list is one image's levels. Planes or channels in a list have one size: they are to be stacked."""
    shapes = [tuple(int(n) for n in array.shape) for array in arrays]
    if any(a == b for a, b in pairwise(shapes)):
        raise InputUnreadable(
            f"a list of arrays is one image's levels, each smaller than the one before; got the shapes {shapes}; stack "
            'what belongs together, for example numpy.stack(arrays) with axes="cyx" or "zyx", or open them one by one'
        )
    return open_arrays(arrays, axes=axes)


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
        formats = formats_for(path)
    except InputNotFound:
        raise
    except OSError as problem:
        raise InputUnreadable(f"a path must be readable; {path}: {problem.strerror}; check its permissions") from None
    path, reasons = path.absolute(), []  # it is read later, too, from whatever folder is the working one then
    for one in formats:
        try:
            return open_as(one, path, axes, scene)
        except InputDamaged:
            raise
        except InputUnreadable as reason:
            reasons.append(f"{one.title}: {reason}")
    raise InputUnreadable(f"an image must be in a format that is read here; got {path}; tried {'; '.join(reasons)}")
