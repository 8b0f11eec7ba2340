"""Label images that can be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest, InputUnreadable, SetPixelSize
from napari_seamless.interfaces import ImageInfo, LabelClass, Source
from napari_seamless.io.readers import open_image
from napari_seamless.io.writers.output_file import export_provenance
from napari_seamless.measurement.measurements import Remark
from napari_seamless.postprocess.object_table import ObjectTable, in_order
from napari_seamless.runs.objects.tables import object_tables
from napari_seamless.runs.origin import OBJECTS, Origin, origin_of
from napari_seamless.runs.result_at import result_at
from napari_seamless.store import Store
from napari_seamless.units import micrometres_in

FROM_ARGMAX = (np.dtype(np.int32), np.dtype(np.int64))
"""The types of a result that is labels even where nothing says so: argmax gives it, with and without an axis of
channels, and pictures are of smaller or of unsigned types."""


@dataclass(frozen=True)
class LabelImage:
    """A label image, and what is known of it: its classes, where pixel o lies on its slide (o * scale + offset), which
    chunks of it are finished (None: all of it is), micrometres a pixel and of pixel 0, which plane ("z") and time
    point ("t") of a stack or series it was made of, and its provenance (`facts`, JSON values). Where its labels are
    objects and not classes, `objects` has a row for each."""

    source: Source
    name: str
    classes: tuple[LabelClass, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    pixel_size: tuple[float, ...] | None
    origin: tuple[float, ...]
    chunk: tuple[int, ...] | None = None
    finished: NDArray[np.bool_] | None = None
    plane: Mapping[str, int] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    facts: Mapping[str, Any] = field(default_factory=dict)
    objects: ObjectTable | None = None

    @property
    def place(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(scale, offset) on the slide."""
        return self.scale, self.offset

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.info.levels.shape(0)

    def class_name(self, value: int) -> str:
        known = next((c.name for c in self.classes if c.value == value), None)
        return known or LabelClass.default_name(value)


def open_label_image(
    what: Any,
    names: tuple[LabelClass, ...],
    pixel_size: float | Sequence[float] | None,
    output_image: str | None = None,
) -> LabelImage:
    """Whatever `measure` takes. Raises what opening raises, and BadRequest."""
    taken = ""
    if isinstance(getattr(what, "store", None), Store):  # a Result, whose module would load torch
        what = what.store
    if isinstance(what, str | Path):
        try:
            what, taken = result_at(what, output_image, labels=True)
        except InputUnreadable:
            what = _opened(what)
    source = open_image(what)
    info, ndim = source.info, source.info.ndim
    is_image = isinstance(what, Store) and what.kind != "labels" and info.dtype not in FROM_ARGMAX
    if info.channels != 1 or info.dtype.kind not in "iub" or is_image:
        kind = "an image" if not isinstance(what, Store) else "a result of images"
        raise BadRequest(
            f"only labels are measured, whole numbers in one channel; got {kind} of {info.channels} "
            f"{'channel' if info.channels == 1 else 'channels'} of {info.dtype}; choose a segmentation"
        )
    size, note = _micrometres(source, pixel_size)
    origin = origin_of(what) if isinstance(what, Store) else Origin("", {}, (1.0,) * ndim, (0.0,) * ndim)
    labels = LabelImage(
        source=source,
        name=info.name,
        classes=names or (tuple(what.classes) if isinstance(what, Store) else ()),
        scale=origin.scale,
        offset=origin.offset,
        pixel_size=size,
        origin=_origin(info),
        chunk=what.grid.cell if isinstance(what, Store) else None,
        plane=origin.plane,
        facts=export_provenance(what) if isinstance(what, Store) else {"image": info.name},
        objects=_objects_of(what),
        finished=what.finished.copy() if isinstance(what, Store) and not what.finished.all() else None,
    )
    if note is not None:
        labels.remarks.append(note)
    if taken:
        labels.remarks.append(Remark(taken))
    if isinstance(what, Store) and what.kind != "labels":
        labels.remarks.append(Remark("the result does not say that it is labels; its whole numbers are taken as such"))
    return labels


def _objects_of(what: Any) -> ObjectTable | None:
    """The table of a result whose labels are objects; None of class maps."""
    if not isinstance(what, Store) or OBJECTS not in what.provenance:
        return None
    return in_order(list(object_tables(what, computed=True)), what.info.ndim)


def _origin(info: ImageInfo) -> tuple[float, ...]:
    """Where the first pixel lies, in micrometres; 0 where the size of a pixel is not known."""
    factor = micrometres_in(info.unit)
    if info.pixel_size is None or factor is None or not info.origin:
        return (0.0,) * info.ndim
    return tuple(at * factor for at in info.origin)


def _opened(path: str | Path) -> Source:
    """A label image at a path; of an OME-Zarr image that has labels beside it, it is said which these are."""
    source = open_image(path)
    folder = Path(path) / "labels"
    if folder.is_dir() and (source.info.channels != 1 or source.info.dtype.kind not in "iub"):
        inside = sorted(f.name for f in folder.iterdir() if f.is_dir())
        if inside:
            raise BadRequest(
                f"only labels are measured; {path} is an image with labels beside it; give one of them: "
                f"{', '.join(str(folder / name) for name in inside[:5])}"
            )
    return source


def _micrometres(
    source: Source, given: float | Sequence[float] | None
) -> tuple[tuple[float, ...] | None, Remark | None]:
    """The size of a pixel, and what is to be said where it is not known."""
    info = source.info
    if given is not None:
        sizes = tuple(float(s) for s in given) if isinstance(given, Sequence) else (float(given),) * info.ndim
        if len(sizes) != info.ndim or not all(np.isfinite(s) and s > 0 for s in sizes):
            raise BadRequest(
                f"a pixel size is a positive number of micrometres, one for each of {info.ndim} axes; got {given}"
            )
        return sizes, None
    factor = micrometres_in(info.unit)
    if info.pixel_size is None or factor is None or not all(info.pixel_size):
        return None, Remark("the size of a pixel is not known, so areas are in pixels", SetPixelSize())
    return tuple(s * factor for s in info.pixel_size), None
