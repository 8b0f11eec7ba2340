"""OME-Zarr 0.5 metadata of a result, through yaozarrs (the only module that knows it).

A label result is a label image in `labels/NAME`, where the standard wants it, and its root is an image over the same
arrays. A label image at the root itself would be valid too, but napari-ome-zarr then looks for an image two folders
further up, creating a zarr group there, and fails where it may not. So every reader finds an image, those that
know labels find labels, and there is one copy of the pixels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from yaozarrs import v05

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Levels
from napari_seamless.interfaces import ImageInfo, LabelClass
from napari_seamless.io.slide_position import slide_position
from napari_seamless.store.spec import StoreSpec

KEY = "napari-seamless"
FORMAT = 1
PALETTE = ("FFFFFF", "00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


def groups_of(
    spec: StoreSpec, finished: NDArray[np.bool_] | None = None, partial: NDArray[np.bool_] | None = None
) -> dict[str, dict[str, Any]]:
    """The attributes of every group of a result, by path; the root, "", holds ours under `napari-seamless`.

    `finished` is for a copy, which has no journal: the chunks of level 0 that it holds, of which some are `partial`.
    """
    own = {"format": FORMAT, **spec.to_json(), "provenance": dict(spec.provenance), "complete": False}
    if finished is not None:
        own["complete"] = bool(finished.all()) and (partial is None or not partial.any())
        own["finished"] = packed(finished)
    if partial is not None and partial.any():
        own["partial"] = packed(partial)
    groups = {"": {"ome": _dumped(_image(spec)), KEY: own}}
    if spec.kind == "labels":
        *_, name, _ = spec.folder.split("/")
        groups["labels"] = {"ome": _dumped(v05.LabelsGroup(labels=[name]))}
        groups[f"labels/{name}"] = {"ome": _label_image(spec)}
    return groups


def with_classes(spec: StoreSpec, attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What changes in the attributes of the groups of a label result when its classes do, by path; the root comes last.

    `attributes` are the root's as they are.
    """
    fresh = groups_of(spec)
    own = {**attributes[KEY], "classes": fresh[""][KEY]["classes"]}
    changed = {path: kept for path, kept in fresh.items() if path.startswith("labels/")}
    return {**changed, "": {"ome": fresh[""]["ome"], KEY: own}}


def checked_classes(spec: StoreSpec, classes: Sequence[LabelClass]) -> tuple[LabelClass, ...]:
    """Classes of labels, in the order of their values. Raises BadRequest for what cannot be written down."""
    if spec.kind != "labels":
        raise BadRequest("only labels have classes; this result is an image")
    values = [label.value for label in classes]
    if len(set(values)) < len(values):
        raise BadRequest(f"a label has one class; got the values {sorted(values)}; number them differently")
    for label in classes:
        if not label.name.strip():
            raise BadRequest(f"a class has a name; got none for label {label.value}; give it one")
        if not re.fullmatch("#[0-9a-fA-F]{6}", label.colour):
            raise BadRequest(f"a class has a colour of the form #rrggbb; got {label.colour!r} for {label.name}")
    return tuple(sorted(classes, key=lambda label: label.value))


def packed(finished: NDArray[np.bool_]) -> str:
    """Some of the chunks, as they are written down."""
    return np.packbits(finished).tobytes().hex()


def unpacked(bits: str | None, spec: StoreSpec) -> NDArray[np.bool_]:
    """The chunks that were written down so, none where there were none."""
    counts = spec.grid.counts
    if bits is None:
        return np.zeros(counts, bool)
    flat = np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8), count=spec.grid.size)
    return flat.astype(bool).reshape(counts)


def spec_of(attributes: Mapping[str, Any]) -> StoreSpec | None:
    """The spec that a group's attributes were made from; None where they are not ours or not understood."""
    own = attributes.get(KEY)
    if not isinstance(own, Mapping) or own.get("format") != FORMAT:
        return None
    try:
        return StoreSpec.from_json(own, own["provenance"])
    except (KeyError, TypeError, ValueError):
        return None


def info_of(spec: StoreSpec, place: str) -> ImageInfo:
    """What a result is as an image that can be read; `place` tells it from others of the same kind."""
    settings = json.dumps(dict(spec.settings), sort_keys=True)
    return ImageInfo(
        name=spec.name,
        levels=Levels(spec.level_shapes[:1]).followed_by(spec.level_shapes[1:]),
        channels=spec.channels or 1,
        dtype=spec.dtype,
        identity=f"{place}:{spec.program_hash}:{settings}:{spec.source_identity}",
        channel_names=spec.channel_names,
        rgb=is_rgb(spec),
        pixel_size=spec.pixel_size,
        unit=spec.unit,
        origin=spec.translation or (),
        channel_colours=spec.channel_colours,
        format="OME-Zarr 0.5",
        exact=spec.exact,
        on_slide=slide_position(spec.provenance, len(spec.shape)),
    )


def is_rgb(spec: StoreSpec) -> bool:
    """Whether the channels are red, green and blue, by their names."""
    return spec.channels == 3 and tuple(n[:1].lower() for n in spec.channel_names) == ("r", "g", "b")


def _dumped(model: v05.Image | v05.LabelsGroup) -> dict[str, Any]:
    return dict(model.model_dump(mode="json", exclude_none=True, by_alias=True))


def _image(spec: StoreSpec) -> v05.Image:
    return v05.Image(multiscales=[_multiscale(spec, spec.folder)], omero=_omero(spec))


def _label_image(spec: StoreSpec) -> dict[str, Any]:
    label_image = {"multiscales": [_multiscale(spec, "")], "image-label": _image_label(spec.classes)}
    written = _dumped(v05.LabelImage.model_validate(label_image))
    # the models make floats of values, which readers skip, and drop properties of their own, such as a name
    for colour in written["image-label"].get("colors", ()):
        colour["label-value"] = int(colour["label-value"])
    for entry, label in zip(written["image-label"].get("properties", ()), spec.classes, strict=True):
        entry["class"] = label.name
    return written


def _multiscale(spec: StoreSpec, folder: str) -> v05.Multiscale:
    return v05.Multiscale(
        name=ImageInfo.titled(spec.name, spec.exact),
        axes=[*_channel_axes(spec), *_space_axes(spec)],
        datasets=[_dataset(spec, level, folder) for level in range(len(spec.level_shapes))],
        type="mode" if spec.kind == "labels" else "mean",
    )


def _channel_axes(spec: StoreSpec) -> list[v05.ChannelAxis]:
    return [v05.ChannelAxis(name="c") for _ in spec.channel_axis]


def _space_axes(spec: StoreSpec) -> list[v05.SpaceAxis]:
    sizes = spec.pixel_size or (0.0,) * len(spec.shape)
    names = "zyx"[-len(spec.shape) :]
    return [v05.SpaceAxis(name=name, unit=spec.unit if size else None) for name, size in zip(names, sizes, strict=True)]


def _dataset(spec: StoreSpec, level: int, folder: str) -> v05.Dataset:
    """Scale, and where the centre of the first pixel lies: a coarse pixel's centre is half a pixel further in."""
    ndim = len(spec.shape)
    size = tuple(s or 1.0 for s in spec.pixel_size or (1.0,) * ndim)
    start = spec.translation or (0.0,) * ndim
    factors = (*(1 for _ in range(ndim - 2)), 2**level, 2**level)
    front = [1.0 for _ in spec.channel_axis]
    scale = [*front, *(s * f for s, f in zip(size, factors, strict=True))]
    centre = [*(0.0 for _ in front), *(t + s * (f - 1) / 2 for t, s, f in zip(start, size, factors, strict=True))]
    steps: list[v05.ScaleTransformation | v05.TranslationTransformation] = [v05.ScaleTransformation(scale=scale)]
    if any(centre):
        steps.append(v05.TranslationTransformation(translation=centre))
    return v05.Dataset(path=f"{folder}{level}", coordinateTransformations=steps)


def _image_label(classes: tuple[LabelClass, ...]) -> v05.ImageLabel:
    if not classes:
        return v05.ImageLabel(version="0.5")
    colours = [v05.LabelColor.model_validate({"label-value": c.value, "rgba": _rgba(c)}) for c in classes]
    names = [v05.LabelProperty.model_validate({"label-value": c.value}) for c in classes]
    return v05.ImageLabel(version="0.5", colors=colours, properties=names)


def _rgba(label: LabelClass) -> list[int]:
    """Background is transparent, everything else opaque."""
    digits = label.colour.removeprefix("#")
    try:
        red, green, blue = bytes.fromhex(digits)
    except ValueError as error:
        raise BadRequest(f"a class has a colour of the form #rrggbb; got {label.colour!r} for {label.name}") from error
    return [red, green, blue, 255 if label.value else 0]


def _omero(spec: StoreSpec) -> v05.Omero:
    if spec.dtype.kind == "f":
        low, high = 0.0, 1.0
    elif spec.classes:
        low, high = 0.0, float(max(1, *(label.value for label in spec.classes)))
    else:
        low, high = float(np.iinfo(spec.dtype).min), float(np.iinfo(spec.dtype).max)
    window = v05.OmeroWindow(min=low, start=low, max=high, end=high)
    count = spec.channels or 1
    unnamed = (ImageInfo.titled(spec.name, spec.exact),) if count == 1 else tuple(f"channel {k}" for k in range(count))
    names = spec.channel_names or unnamed
    colours = tuple(PALETTE[k % len(PALETTE)] for k in range(count))
    if spec.channel_colours:
        colours = tuple(colour.removeprefix("#").upper() for colour in spec.channel_colours)
    if is_rgb(spec):
        colours = ("FF0000", "00FF00", "0000FF")
    channels = [
        v05.OmeroChannel(window=window, label=name, color=colour, active=True)
        for name, colour in zip(names, colours, strict=True)
    ]
    return v05.Omero(channels=channels)
