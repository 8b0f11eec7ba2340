"""OME-Zarr 0.4 and 0.5 images and labels, and plain zarr 2 and 3 arrays.

Of several multiscales in one group the first is taken; of a time axis the first point. A chunk that is absent holds the
array's fill value: that is what zarr means by it, so that a lost chunk file cannot be told from an empty one.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr
import zarr.errors

from napari_seamless.errors import BadRequest, InputDamaged, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.seams import ImageInfo, Pixels
from napari_seamless.sources.array import ArraySource, open_arrays
from napari_seamless.sources.files import identity_of_path
from napari_seamless.sources.sniffing import zarr_metadata

PRIMARY_COLOURS = ("FF0000", "00FF00", "0000FF")
# what zarr and its codecs raise for metadata or chunks that are cut off or overwritten
DAMAGE = (ValueError, RuntimeError, OSError, EOFError, KeyError, TypeError, zlib.error)


class ZarrSource:
    """A zarr folder as a Source. Any thread; picklable (it is opened again from its path)."""

    def __init__(self, path: Path, axes: str | None = None) -> None:
        self._path = path
        self._axes = axes
        self._inner = _open(path, axes)

    @property
    def info(self) -> ImageInfo:
        return self._inner.info

    def read(self, region: Region, level: int = 0) -> Pixels:
        try:
            return self._inner.read(region, level)
        except BadRequest:
            raise
        except DAMAGE as problem:
            raise InputDamaged(
                f"every chunk must decode; {self._path.name}, level {level}, {region!r}: {problem}; copy it again"
            ) from problem

    def close(self) -> None:
        """Nothing to give back: zarr holds no file open between reads."""

    def __reduce__(self) -> tuple[type[ZarrSource], tuple[Path, str | None]]:
        return ZarrSource, (self._path, self._axes)


def _open(path: Path, axes: str | None) -> ArraySource:
    identity = identity_of_path(path, *zarr_metadata(path))
    try:
        node = zarr.open(str(path), mode="r")
    except DAMAGE as problem:
        raise InputDamaged(f"zarr metadata must be valid; {path}: {problem}; copy the folder again") from problem
    if isinstance(node, zarr.Array):
        return open_arrays([node], axes=axes or _named(node), name=path.name, format="zarr", identity=identity)
    return _open_group(path, node, axes, identity)


def _open_group(path: Path, group: zarr.Group, axes: str | None, identity: str) -> ArraySource:
    attributes = _ome(group)
    if "bioformats2raw.layout" in attributes and "multiscales" not in attributes:
        return _open(path / "0", axes)
    if not attributes.get("multiscales"):
        children = sorted(group.keys())[:8]
        raise InputUnreadable(
            f"a zarr group must be an OME-Zarr image or label; {path} has no multiscales metadata; give the path of an "
            f"image or array in it ({', '.join(children) or 'it is empty'})"
        )
    try:
        return _open_image(path, group, attributes, axes, identity)
    except (KeyError, TypeError, AttributeError, IndexError) as problem:
        raise InputDamaged(
            f"OME-Zarr metadata must follow the specification; {path}: {type(problem).__name__} {problem}; "
            "validate it, or open one of its arrays"
        ) from problem


def _open_image(
    path: Path, group: zarr.Group, attributes: Mapping[str, Any], axes: str | None, identity: str
) -> ArraySource:
    image = attributes["multiscales"][0]
    arrays: list[Any] = [group[dataset["path"]] for dataset in image["datasets"]]
    described = [{"name": a} if isinstance(a, str) else a for a in image.get("axes", _axes_of_old(arrays[0].ndim))]
    letters = axes or "".join(_letter(axis) for axis in described)
    pixel_size, unit = _pixel_size(image, described, letters)
    channels = attributes.get("omero", {}).get("channels", [])
    colours = tuple(str(c.get("color", "")).upper() for c in channels)
    return open_arrays(
        arrays,
        axes=letters,
        name=str(image.get("name") or path.name),
        pixel_size=pixel_size,
        unit=unit,
        channel_names=tuple(str(c.get("label", "")) for c in channels),
        format="OME-Zarr",
        identity=identity,
        rgb_planes=colours == PRIMARY_COLOURS,
    )


def _ome(group: zarr.Group) -> Mapping[str, Any]:
    """OME attributes: 0.5 keeps them under `ome`, 0.4 at the top."""
    attributes = dict(group.attrs)
    nested = attributes.get("ome")
    return nested if isinstance(nested, Mapping) else attributes


def _axes_of_old(ndim: int) -> list[str]:
    """Axes before 0.3, where they were always the last of t, c, z, y, x."""
    return list("tczyx"[-ndim:])


def _letter(axis: Mapping[str, Any]) -> str:
    kinds = {"channel": "c", "time": "t"}
    return kinds.get(str(axis.get("type")), str(axis["name"]).lower())


def _pixel_size(image: Any, described: list[Any], letters: str) -> tuple[tuple[float, ...] | None, str]:
    """Scale of the finest level, times that of the whole image, for z, y, x; None without a unit."""
    spatial = [letters.index(letter) for letter in "zyx" if letter in letters]
    units = {described[k].get("unit") for k in spatial}
    unit = units.pop() if len(units) == 1 else None
    finest = image["datasets"][0].get("coordinateTransformations", [])
    transforms = [*finest, *image.get("coordinateTransformations", [])]
    scales = [t["scale"] for t in transforms if t.get("type") == "scale"]
    if unit is None or not scales:
        return None, "micrometer"
    size = [1.0] * len(letters)
    for scale in scales:
        size = [a * float(b) for a, b in zip(size, scale, strict=True)]
    return tuple(size[k] for k in spatial), str(unit)


def _named(array: zarr.Array[Any]) -> str | None:
    """Axes from zarr 3's dimension names, when they are letters that we know."""
    names = getattr(array.metadata, "dimension_names", None) or ()
    letters = "".join(str(n).lower() for n in names)
    known = len(letters) == array.ndim and {"y", "x"} <= set(letters) <= set("tczyx")
    return letters if known else None
