"""Where the pixels of a result come from, and where they lie on the slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import torch

from napari_seamless import __version__
from napari_seamless.interfaces import ImageInfo
from napari_seamless.io.readers.plane import PLANE
from napari_seamless.io.slide_position import TO_SLIDE, on_slide
from napari_seamless.runs.moments import MOMENTS
from napari_seamless.runs.origin import NOTICES
from napari_seamless.runs.prepared import Prepared
from napari_seamless.store import Store
from napari_seamless.store.journal import FOLDER


def origins(prepared: Prepared) -> dict[str, Any]:
    """Model, weights, program, image and versions, as JSON values."""
    return {
        "model": prepared.model.name,
        "weights": prepared.network_hash,
        "program": prepared.program_hash,
        "image": prepared.source.info.name,
        "source": prepared.source_identity,
        "level": prepared.level,
        **({PLANE: dict(plane)} if (plane := prepared.source.info.plane) else {}),
        TO_SLIDE: (place := to_slide(prepared)),
        **on_slide(prepared.source.info.on_slide, place),
        **({NOTICES: list(told)} if (told := prepared.notices) else {}),
        "napari-seamless": __version__,
        "torch": torch.__version__,
    }


def moments_told(store: Store) -> dict[str, Any]:
    """Where the moments lie that belong to a result on disk, and their digest; nothing where none were measured."""
    path = None if store.side_folder is None else store.side_folder / MOMENTS
    if path is None or not path.exists():
        return {}
    return {"moments": {"file": f"{FOLDER}/{MOMENTS}", "sha256": sha256(path.read_bytes()).hexdigest()}}


def to_slide(prepared: Prepared) -> Mapping[str, list[float]]:
    """Output pixel o lies at level-0 pixel o * scale + offset of the image (pixel centres), one number an axis."""
    levels = prepared.source.info.levels
    factors = [float(f) for f in levels.scale(prepared.level)]
    starts = [float(o) for o in levels.offset(prepared.level)]
    return {
        "scale": [s * f for s, f in zip(prepared.scale, factors, strict=True)],
        "offset": [o * f + at for o, f, at in zip(prepared.offset, factors, starts, strict=True)],
    }


def pixel_size_of(info: ImageInfo, scale: Sequence[float]) -> tuple[float, ...] | None:
    """Of a result whose pixels are so many of the image's, one number an axis; None where nobody knows."""
    return None if info.pixel_size is None else tuple(s * n for s, n in zip(info.pixel_size, scale, strict=True))


def translation_of(info: ImageInfo, offset: Sequence[float]) -> tuple[float, ...]:
    """Where its first pixel lies, in the image's unit, or in its pixels where their size is not known."""
    steps, start = info.pixel_size or (1.0,) * info.ndim, info.origin or (0.0,) * info.ndim
    return tuple(o + s * n for o, s, n in zip(start, steps, offset, strict=True))
