"""OME-Zarr 0.4 and 0.5 images and labels, and plain zarr 2 and 3 arrays, in a folder or at an address (http, s3, gs).

Several multiscales in one group, and the images of a bioformats2raw folder, are scenes; of a time axis the first point
is taken. A chunk that is absent holds the array's fill value: that is what zarr means by it, so that a lost chunk file
cannot be told from an empty one. A server that fails is asked again before a read fails.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import zarr
import zarr.errors

from napari_seamless.errors import BadRequest, InputDamaged, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, Pixels
from napari_seamless.io.readers.array import ArraySource, open_arrays
from napari_seamless.io.readers.axes import named_axes, require_inside
from napari_seamless.io.readers.declared_levels import checked_levels
from napari_seamless.io.readers.file_access import RETRIES
from napari_seamless.io.readers.ome_zarr_placement import placement_of
from napari_seamless.io.readers.scenes import Scene, chosen, only, unique, with_scenes
from napari_seamless.io.readers.urls import network_errors
from napari_seamless.io.readers.zarr_chunks import check_density, is_zarr, metadata_digest
from napari_seamless.io.readers.zarr_files import zarr_files
from napari_seamless.io.readers.zarr_groups import images_in, ome_of
from napari_seamless.io.slide_position import slide_position
from napari_seamless.units import MICROMETER

MOST_NAMED = 8
MOST_LEVELS = 64
OWN = "napari-seamless"
"""Attributes of a group that is a result of this package."""
COLOUR = re.compile("[0-9A-F]{6}")
PRIMARY_COLOURS = ("FF0000", "00FF00", "0000FF")
# what zarr and its codecs raise for metadata or chunks that are cut off or overwritten
DAMAGE = (
    ValueError, RuntimeError, OSError, EOFError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError,
    MemoryError, zlib.error, SystemError,  # the last where a chunk of blosc says that it holds less than nothing
)  # fmt: skip


@dataclass(frozen=True)
class ArrayLocation:
    """A zarr group or array: a folder, or an address of fsspec's."""

    path: Path | str

    @property
    def is_remote(self) -> bool:
        return isinstance(self.path, str)

    @property
    def name(self) -> str:
        return str(self.path).rstrip("/").rpartition("/")[2] if isinstance(self.path, str) else self.path.name

    def __truediv__(self, part: str) -> ArrayLocation:
        return ArrayLocation(f"{self.path.rstrip('/')}/{part}" if isinstance(self.path, str) else self.path / part)

    def identity(self, node: zarr.Group | zarr.Array[Any], arrays: Sequence[Any]) -> str:
        """Another string when the metadata of the image or of any of its levels is. It says nothing of pixels."""
        described_by = f"{json.dumps(dict(node.attrs), sort_keys=True, default=str)} {metadata_digest(*arrays)}"
        place = self.path.resolve() if isinstance(self.path, Path) else self.path
        return f"{place}|{sha256(described_by.encode()).hexdigest()[:16]}"


def open_file(path: Path, axes: str | None, scene: Scene) -> ZarrSource:
    """A folder, as `Reader.open_file` says."""
    return ZarrSource(path, axes, scene)


def write_example(folder: Path) -> Path:
    """An OME-Zarr 0.5 of two levels of two channels, (c, y, x)."""
    group = zarr.create_group(str(folder / "example.zarr"), zarr_format=3)
    axes: Any = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space", "unit": MICROMETER} for a in "yx")]
    datasets: Any = []
    for level, (height, width) in enumerate([(60, 70), (30, 35)]):
        array = group.create_array(f"s{level}", shape=(2, height, width), chunks=(1, 16, 32), dtype="u2")
        array[...] = np.add.outer([0, 500], np.add.outer(np.arange(height), np.arange(width))) << level
        scale = {"type": "scale", "scale": [1.0, 0.5 * 2**level, 0.5 * 2**level]}
        datasets.append({"path": f"s{level}", "coordinateTransformations": [scale]})
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return folder / "example.zarr"


class ZarrSource:
    """A zarr folder or address as a Source. Any thread; picklable (it is opened again)."""

    def __init__(self, path: Path | str, axes: str | None = None, scene: Scene = None, time: int = 0) -> None:
        self._path = path
        self._axes = axes
        self._scene = scene
        self._time = time
        self._damage: tuple[type[Exception], ...] = (*DAMAGE, *network_errors(path))
        inner = _open(ArrayLocation(path), axes, scene, self._damage)
        self._inner = inner.at_time(time) if time else inner

    @property
    def info(self) -> ImageInfo:
        return self._inner.info

    def read(self, region: Region, level: int = 0) -> Pixels:
        """A new array (c, [z,] y, x) of the type in `info`; `region` is ((z,) y, x) in pixels of `level`.

        Raises BadRequest outside the image, InputDamaged.
        """
        require_inside(self.info.levels.shape(level), region)
        try:
            part = self._fetch(region, level)
        except InputDamaged:
            raise
        except self._damage as problem:
            raise InputDamaged(
                f"every chunk must decode; {ArrayLocation(self._path).name}, level {level}, {region!r}: "
                f"{type(problem).__name__} {problem}; copy it again"
            ) from problem
        return self._inner.layouts[level].arranged(part)

    def _fetch(self, region: Region, level: int) -> Pixels:
        """From a server that fails, again; a damaged chunk of a folder will not mend itself."""
        array = self._inner.arrays[level]
        if is_zarr(array):
            check_density(array, self._inner.layouts[level].index(region))
        for pause in RETRIES if isinstance(self._path, str) else ():
            try:
                return self._inner.fetch(region, level)
            except (TimeoutError, InputDamaged):  # it was waited for long enough, or will be no better
                raise
            except self._damage:
                sleep(pause)
        return self._inner.fetch(region, level)

    def identity_now(self) -> str:
        """As the metadata are now; "" where they are gone, or are no image any more. Takes reading them."""
        try:
            inner = _open(ArrayLocation(self._path), self._axes, self._scene, self._damage)
            return (inner.at_time(self._time) if self._time else inner).info.identity
        except (BadRequest, InputUnreadable):
            return ""

    def pixel_digest(self, level: int = 0) -> str:
        """None: pixels are not in memory."""
        del level
        return ""

    def fingerprint(self, region: Region, level: int = 0) -> str | None:
        """In a folder, what the disk says of the chunks that are read; None elsewhere."""
        return self._inner.fingerprint(region, level)

    def may_have_changed(self, region: Region, level: int, since: float) -> bool | None:
        """Of an address, as its server says when chunks were written; None elsewhere."""
        return self._inner.may_have_changed(region, level, since)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The folder."""
        return (self._path,) if isinstance(self._path, Path) else ()

    def at_time(self, time: int) -> ZarrSource:
        """Another time point, by its number from 0. Raises BadRequest where there is none."""
        self._inner.at_time(time)
        return ZarrSource(self._path, self._axes, self._scene, time)

    def close(self) -> None:
        """Nothing to give back: zarr holds no file open between reads."""

    def __reduce__(self) -> tuple[type[ZarrSource], tuple[Path | str, str | None, Scene, int]]:
        return ZarrSource, (self._path, self._axes, self._scene, self._time)


def _open(location: ArrayLocation, axes: str | None, scene: Scene, damage: tuple[type[Exception], ...]) -> ArraySource:
    try:
        node = zarr.open(zarr_files(location.path), mode="r")
    except InputDamaged:
        raise
    except FileNotFoundError:
        raise InputUnreadable(f"no zarr metadata is at {location.path}; check the address") from None
    except damage as problem:
        if location.is_remote and isinstance(problem, (OSError, *network_errors(location.path))):
            raise InputUnreadable(
                f"an address must answer; {location.path}: {type(problem).__name__} {problem}; check it, and the "
                "network"
            ) from problem
        raise InputDamaged(
            f"zarr metadata must be valid; {location.path}: {type(problem).__name__} {problem}; copy the folder again"
        ) from problem
    try:
        if isinstance(node, zarr.Array):
            only(scene, location.name)
            names = getattr(node.metadata, "dimension_names", None)
            letters = named_axes(names, node.ndim) if axes is None else axes
            return open_arrays(
                [node], axes=letters, name=location.name, format="zarr", identity=location.identity(node, [node])
            )
        return _open_group(location, node, axes, scene, damage)
    except (BadRequest, InputUnreadable):
        raise
    except damage as problem:
        raise InputDamaged(
            f"OME-Zarr metadata must follow the specification; {location.path}: {type(problem).__name__} {problem}; "
            "validate it, or open one of its arrays"
        ) from problem


def _open_group(
    location: ArrayLocation, group: zarr.Group, axes: str | None, scene: Scene, damage: tuple[type[Exception], ...]
) -> ArraySource:
    attributes = ome_of(group)
    if "bioformats2raw.layout" in attributes and "multiscales" not in attributes:
        return _open_series(location, group, axes, scene, damage)
    images = attributes.get("multiscales")
    if not images:
        inside = ", ".join(islice(images_in(group, is_listed=not location.is_remote), MOST_NAMED))
        raise InputUnreadable(
            f"a zarr group must be an OME-Zarr image or label; {location.path} has no multiscales metadata; give the "
            f"path of an image or array in it ({inside or 'none is known'})"
        )
    names = unique([str(image.get("name") or location.name) for image in images])
    number = chosen(scene, names, location.name)
    source = _open_image(location, group, images[number], attributes, axes)
    return replace(source, info=_with_scenes(source.info, names, number, scene))


def _open_series(
    location: ArrayLocation, group: zarr.Group, axes: str | None, scene: Scene, damage: tuple[type[Exception], ...]
) -> ArraySource:
    """The images of a folder of bioformats2raw: as its OME group lists them, else 0, 1, 2 and so on."""
    listed: Any = ome_of(group["OME"]).get("series") if "OME" in group else None
    keys = [str(key) for key in listed or _counted(group)] or ["0"]
    names = unique([_series_name(group, key) for key in keys])
    number = chosen(scene, names, location.name)
    source = _open(location / keys[number], axes, None, damage)
    # as of other files with scenes; the images are often called 0 and 1
    info = replace(source.info, name=location.name)
    return replace(source, info=_with_scenes(info, names, number, scene))


def _counted(group: zarr.Group) -> list[str]:
    keys: list[str] = []
    while str(len(keys)) in group:
        keys.append(str(len(keys)))
    return keys


def _series_name(group: zarr.Group, key: str) -> str:
    image = ome_of(group[key]).get("multiscales") or [{}] if key in group else [{}]
    return str(image[0].get("name") or key)


def _with_scenes(info: ImageInfo, names: tuple[str, ...], number: int, scene: Scene) -> ImageInfo:
    several = with_scenes(info, names, number, is_chosen=scene is not None)
    return replace(several, identity=f"{info.identity} scene {number}") if number else several


def _open_image(
    location: ArrayLocation,
    group: zarr.Group,
    image: Mapping[str, Any],
    attributes: Mapping[str, Any],
    axes: str | None,
) -> ArraySource:
    if len(image["datasets"]) > MOST_LEVELS:
        raise InputDamaged(
            f"an image has {MOST_LEVELS} levels at most, each half of the one before; {location.name} says "
            f"{len(image['datasets'])}; copy it again"
        )
    arrays: list[Any] = [group[dataset["path"]] for dataset in image["datasets"]]
    described = [{"name": a} if isinstance(a, str) else a for a in image.get("axes", _axes_of_old(arrays[0].ndim))]
    letters = axes or "".join(_letter(axis) for axis in described)
    channels = attributes.get("omero", {}).get("channels", [])
    colours = tuple(str(c.get("color", "")).upper().removeprefix("#") for c in channels)
    source = open_arrays(
        arrays,
        axes=letters,
        name=str(image.get("name") or location.name),
        channel_names=tuple(str(c.get("label", "")) for c in channels),
        channel_colours=tuple(f"#{colour.lower()}" for colour in colours if COLOUR.fullmatch(colour)),
        format="OME-Zarr",
        identity=location.identity(group, arrays),
        rgb_planes=colours == PRIMARY_COLOURS,
    )
    own: Any = group.attrs.get(OWN, {})
    said = own.get("provenance") if isinstance(own, Mapping) else None
    source = replace(source, info=replace(source.info, on_slide=slide_position(said, source.info.ndim)))
    placement = placement_of(image, described, source.layouts[0].axes)
    if placement is None:
        return source
    shapes = source.info.levels.shapes
    levels, notices = checked_levels(source.info.name, shapes, placement.sizes, placement.starts, source.read)
    placed = replace(
        source.info,
        levels=levels,
        pixel_size=placement.pixel_size,
        unit=placement.unit,
        origin=placement.origin,
        notices=(*source.info.notices, *notices),
    )
    return replace(source, info=placed)


def _axes_of_old(ndim: int) -> list[str]:
    """Axes before 0.3, where they were always the last of t, c, z, y, x."""
    return list("tczyx"[-ndim:])


def _letter(axis: Mapping[str, Any]) -> str:
    kinds = {"channel": "c", "time": "t"}
    return kinds.get(str(axis.get("type")), str(axis["name"]).lower())
