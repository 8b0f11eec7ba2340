"""A folder of several results: the outputs of one network, each an image of its own.

It is laid out as bioformats2raw does it, so that every reader of OME-Zarr finds the images: a group that says so, a
group `OME` that lists them, and a folder for each. Ours are results of their own; the group says their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import zarr

from napari_seamless.errors import BadRequest
from napari_seamless.store.metadata import FORMAT, KEY
from napari_seamless.store.spec import StoreSpec
from napari_seamless.units import symbol_of

SERIES, XML = "OME", "METADATA.ome.xml"
NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def folders_of(names: Iterable[str]) -> dict[str, str]:
    """A folder for each image, by name: their numbers, since readers look for just these."""
    return {name: str(number) for number, name in enumerate(names)}


def images_in(attributes: Mapping[str, Any]) -> dict[str, str]:
    """The folders of the images of a group with these attributes, by name, in their order; none where it is no such
    group of ours."""
    own = attributes.get(KEY)
    images = own.get("images") if isinstance(own, Mapping) and own.get("format") == FORMAT else None
    if not isinstance(images, list):
        return {}
    pairs = [pair for pair in images if isinstance(pair, list) and len(pair) == 2]
    return {str(name): str(folder) for name, folder in pairs}


def chosen_image(path: Path, images: Mapping[str, str], name: str | None) -> Path:
    """The folder of one of them, by name; the first without one. Raises BadRequest for a name that is none of them."""
    if name is None:
        return path / next(iter(images.values()))
    if name not in images:
        there = ", ".join(map(repr, images)) if images else "only one, without a name"
        raise BadRequest(f"an image of a result is chosen by its name; {path} has {there}; got {name!r}")
    return path / images[name]


def create_group_of(path: Path, specs: Mapping[str, StoreSpec]) -> None:
    """The group and its list; the images themselves, by name, are made by others. Raises OSError."""
    folders = folders_of(specs)
    own = {"format": FORMAT, "images": [list(pair) for pair in folders.items()]}
    group = zarr.create_group(
        path, zarr_format=3, attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}, KEY: own}
    )
    group.create_group(SERIES, attributes={"ome": {"version": "0.5", "series": list(folders.values())}})
    (path / SERIES / XML).write_bytes(_ome_xml(specs.values()))


def _ome_xml(specs: Iterable[StoreSpec]) -> bytes:
    """The images as OME describes them, without their pixels: some readers know no other list."""
    root = ElementTree.Element("OME", xmlns=NAMESPACE)
    for number, spec in enumerate(specs):
        image = ElementTree.SubElement(root, "Image", ID=f"Image:{number}", Name=spec.name)
        sizes = dict(zip("ZYX"[-len(spec.shape) :], spec.shape, strict=True)) | {"C": spec.channels or 1, "T": 1}
        said = {f"Size{axis}": str(sizes.get(axis, 1)) for axis in "XYZCT"}
        for axis, size in zip("ZYX"[-len(spec.shape) :], spec.pixel_size or (), strict=False):
            if size:
                said |= {f"PhysicalSize{axis}": repr(size), f"PhysicalSize{axis}Unit": symbol_of(spec.unit)}
        said |= {"ID": f"Pixels:{number}", "DimensionOrder": "XYZCT", "Type": _type_of(spec.dtype.name)}
        pixels = ElementTree.SubElement(image, "Pixels", said)
        for channel in range(spec.channels or 1):
            ElementTree.SubElement(pixels, "Channel", ID=f"Channel:{number}:{channel}", SamplesPerPixel="1")
        ElementTree.SubElement(pixels, "MetadataOnly")
    return bytes(ElementTree.tostring(root, "utf-8", xml_declaration=True))


def _type_of(dtype: str) -> str:
    """As OME names it; it has no whole numbers of 64 bits."""
    return {"float32": "float", "float64": "double", "float16": "float"}.get(dtype, dtype.replace("64", "32"))
