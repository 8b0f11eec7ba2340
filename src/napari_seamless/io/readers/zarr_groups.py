"""What lies inside a zarr group that is no image itself: a plate of wells, a row of them, a folder of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import zarr

DEEPEST = 3
"""A plate's rows, their wells, and the images of these."""


def images_in(group: zarr.Group, *, is_listed: bool, depth: int = DEEPEST) -> Iterator[str]:
    """Paths of the images and arrays inside a group, from it, in order.

    A plate names its wells, and a well its images; other groups are looked into where they can be listed, which an
    address cannot. Raises what zarr raises for metadata that is damaged.
    """
    for name in _names(group, is_listed=is_listed):
        node = group.get(name)
        if isinstance(node, zarr.Array) or (node is not None and _is_image(node)):
            yield name
        elif node is not None and depth > 1:
            yield from (f"{name}/{path}" for path in images_in(node, is_listed=is_listed, depth=depth - 1))


def _names(group: zarr.Group, *, is_listed: bool) -> list[str]:
    attributes = ome_of(group)
    for key, members in (("plate", "wells"), ("well", "images")):
        if isinstance(attributes.get(key), Mapping):
            return [str(member["path"]) for member in attributes[key].get(members, ())]
    return sorted(group.keys()) if is_listed else []


def _is_image(group: zarr.Group) -> bool:
    attributes = ome_of(group)
    return "multiscales" in attributes or "bioformats2raw.layout" in attributes


def ome_of(group: Any) -> Mapping[str, Any]:
    """OME attributes: 0.5 keeps them under `ome`, 0.4 at the top."""
    attributes = dict(group.attrs)
    nested = attributes.get("ome")
    return nested if isinstance(nested, Mapping) else attributes
