"""Results, and any other image, as a file of a kind that follows from its name: whole, a region, or a coarser level."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from napari_seamless.durable_files import beside
from napari_seamless.errors import BadRequest, InputUnreadable, OutputExists
from napari_seamless.file_lock import PlaceLock
from napari_seamless.fingerprints import OnDisk
from napari_seamless.geometry import Levels, Region, SlidePosition, cells_of
from napari_seamless.interfaces import LabelClass, Source
from napari_seamless.io.readers import open_image
from napari_seamless.io.slide_position import ON_SLIDE, TO_SLIDE, on_slide
from napari_seamless.io.writers.formats import Kind, OnProgress, format_for, writer_of
from napari_seamless.io.writers.geojson import check_outlines, save_geojson
from napari_seamless.runs.asked_roi import Asked, add_asked, place_of, placed
from napari_seamless.runs.component_labels import numbered_objects
from napari_seamless.runs.exportable_source import ExportableSource
from napari_seamless.runs.result_at import result_at
from napari_seamless.runs.roi_choice import chosen_roi
from napari_seamless.runs.roi_parts import EDGE_RULE, RoiPart, any_mask, hull, words
from napari_seamless.runs.whole_objects import WholeObjects
from napari_seamless.store import Store, StoreSpec, create_store
from napari_seamless.store.output_path import require_apart
from napari_seamless.store.zarr_arrays import disk_errors

IN_MEMORY_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Part:
    """What is saved of an image: what somebody asked for, on the slide and on its pixels ((): all of it), the smallest
    region that holds it (None: all of it), and a level."""

    asked: tuple[Asked, ...]
    parts: tuple[RoiPart, ...]
    level: int

    @property
    def region(self) -> Region | None:
        return hull(self.parts) if self.parts else None

    @property
    def is_box(self) -> bool:
        """Whether all pixels of the region are saved."""
        return not self.parts or (len(self.parts) == 1 and self.parts[0].is_box)


def export(
    what: Any,
    path: str | Path,
    *,
    region: Region | None = None,
    roi: Any = None,
    level: int = 0,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    kind: Kind = "image",
    classes: tuple[LabelClass, ...] = (),
    output_image: str | None = None,
) -> Path:
    """Save a result, or anything else that `open_image` takes, as .ome.zarr, .ome.tif or .geojson; returns the path.

    Of a result what was asked of its runs so far is saved, not all of the chunks that they made; roi="computed" saves
    these, and such a copy can be continued. `region`, in pixels of level 0 of what is saved, and `roi` (a GeoJSON file,
    its content, or outlines of corners y, x, in level-0 pixels of the slide) say where else. Pictures are cropped to
    the smallest region that holds it; pixels in that which lie outside of outlines are 0. Of labels saved as GeoJSON
    an object counts, whole, where its centroid lies inside.

    The `level` saved becomes level 0 of the file. A result that is not finished, or that a run is writing now, is saved
    as far as it is, and marked as partial. `kind` and `classes` say what an image that is no result of this package
    holds. `output_image` names one of the outputs of a network that lie in one result, by default the first.
    `on_progress` gets (done, in all) in this thread, in steps of its own choosing. Any thread.

    Raises BadRequest, OutputExists, OutputUnwritable, and what opening raises.
    """
    path = Path(path)
    format_for(path)
    if isinstance(what, str | Path):
        with suppress(InputUnreadable):
            what, _ = result_at(what, output_image)
    store = what if isinstance(what, Store) else None
    source = open_image(what) if store is None else store
    require_apart(path, _paths_of(source))
    spec = described(source, kind, classes) if store is None else store.spec
    facts = spec.provenance if store is None else store.provenance
    source.info.levels.shape(level)
    asked, parts = chosen_roi(source, place_of(facts, source.info.ndim), source.info.levels.shape(0), region, roi)
    return _export(source, spec, path, Part(asked, parts, level), overwrite, on_progress, store)


def _paths_of(source: Source) -> list[Path]:
    """Where what is exported lies, and the image that a result was made of, as far as they are known."""
    if not isinstance(source, Store):
        return list(source.paths) if isinstance(source, OnDisk) else []
    places = [source.path and source.path.resolve(), Path(source.spec.source_identity.partition("|")[0])]
    return [place for place in places if place is not None and place.is_absolute() and place.exists()]


def saved_as(
    what: Any, path: str | Path, *, region: Region | None = None, roi: Any = None, output_image: str | None = None
) -> str:
    """Sentences on what `export` would save, where that is not all of it; "" otherwise. Raises as `export` does."""
    taken = ""
    if isinstance(what, str | Path):
        with suppress(InputUnreadable):
            what, taken = result_at(what, output_image)
    part = _part_saved(what, path, region, roi)
    return "\n".join(sentence for sentence in (taken, part) if sentence)


def _part_saved(what: Any, path: str | Path, region: Region | None, roi: Any) -> str:
    source = open_image(what)
    facts = source.provenance if isinstance(source, Store) else {}
    _, parts = chosen_roi(source, place_of(facts, source.info.ndim), source.info.levels.shape(0), region, roi)
    if not parts:
        return ""
    asked = "what was asked for, " if region is None and roi is None else ""
    more = " (--roi computed saves all that was computed)" if asked else ""
    if format_for(Path(path)).writer == "geojson":
        return f"saved is {asked}{words(parts)}; {EDGE_RULE}{more}"
    is_box = len(parts) == 1 and parts[0].is_box
    return f"saved is {asked}{words(parts)}{'' if is_box else '; pixels outside of the outlines are 0'}{more}"


def described(source: Source, kind: Kind, classes: tuple[LabelClass, ...] = ()) -> StoreSpec:
    """A source as a result would be described."""
    info = source.info
    is_plain = kind == "labels" or (info.channels == 1 and not info.rgb)
    if kind == "labels" and info.channels > 1:
        raise BadRequest(f"labels have no channels; got {info.channels}; save it as an image")
    names = ("red", "green", "blue") if info.rgb and info.channels == 3 else info.channel_names
    ones, zeros = (1.0,) * info.ndim, (0.0,) * info.ndim
    return StoreSpec(
        shape=info.levels.shape(0),
        channels=None if is_plain else info.channels,
        dtype=info.dtype if info.dtype.kind != "b" else "uint8",  # type: ignore[arg-type]
        kind=kind,
        source_identity=info.identity,
        program_hash="",
        classes=classes,
        channel_names=names if len(names) == info.channels else (),
        name=info.name,
        pixel_size=info.pixel_size,
        translation=info.origin or None,
        channel_colours=info.channel_colours if not is_plain or (info.channels == 1 and kind == "image") else (),
        unit=info.unit,
        provenance={"image": info.name, **on_slide(info.on_slide, {"scale": ones, "offset": zeros})},
    )


def _export(
    source: Source,
    spec: StoreSpec,
    path: Path,
    wanted: Part,
    overwrite: bool,
    on_progress: OnProgress | None,
    store: Store | None = None,
) -> Path:
    is_outlined = format_for(path).writer == "geojson"
    write = writer_of(format_for(path))
    if is_outlined:
        check_outlines(spec.kind, source.info.ndim)
    if is_outlined and wanted.level == 0:
        readable = ExportableSource(source, spec) if store is None else store
        within = WholeObjects(wanted.parts, source.info.levels.shape(0)) if wanted.parts else None
        numbered = numbered_objects(source, readable.classes)
        return save_geojson(
            readable, path, overwrite=overwrite, on_progress=on_progress, within=within, numbered=numbered
        )
    if store is not None and not wanted.parts and wanted.level == 0 and store.is_current:
        return write(store, path, overwrite=overwrite, on_progress=on_progress)
    # of objects all is read, so that they are whole; and coarse levels that another process is making lag behind
    base = (None if is_outlined else wanted.region) or Region.from_shape(source.info.levels.shape(0))
    read = wanted.level if store is None or store.is_current else 0
    region = source.info.levels.to_level(base, read)
    facts = store.provenance if store is not None else spec.provenance
    part = part_of(spec, facts, region, source.info.levels, read)
    left = () if is_outlined or wanted.is_box else wanted.asked
    if left:
        part = replace(part, provenance={**part.provenance, "roi": f"{words(wanted.parts)}; pixels outside are 0"})
    with _room(part, path) as folder:
        copy = create_store(None if folder is None else folder / "part.ome.zarr", part)
        _fill(copy, source, region, read, store, _placed(left, part), on_progress)
        if left:
            add_asked(copy, left)
        again = _placed(wanted.asked, part) if is_outlined else ()
        still = Part(wanted.asked if again else (), again, wanted.level if read != wanted.level else 0)
        if still.parts or still.level or is_outlined:
            return _export(copy, copy.spec, path, still, overwrite, None, copy)
        return write(copy, path, overwrite=overwrite)


def _placed(asked: tuple[Asked, ...], spec: StoreSpec) -> tuple[RoiPart, ...]:
    """What was asked for, on the pixels of a part."""
    return placed(asked, place_of(spec.provenance, len(spec.shape)), spec.shape)


def part_of(spec: StoreSpec, provenance: Mapping[str, Any], wanted: Region, levels: Levels, level: int) -> StoreSpec:
    """What `wanted`, a region of a level, is as a result of its own, in its place on the slide."""
    factors = tuple(float(f) for f in levels.scale(level))
    shift = [lo * f + float(at) for lo, f, at in zip(wanted.start, factors, levels.offset(level), strict=True)]
    size, start = spec.pixel_size, spec.translation or (0.0,) * len(factors)
    steps = size or (1.0,) * len(factors)
    part = {"level": level, "region": [[i.lo, i.hi] for i in wanted.intervals]}
    facts = {**provenance, "part": part}
    if TO_SLIDE in provenance:
        place = provenance[TO_SLIDE]
        facts[TO_SLIDE] = {
            "scale": [s * f for s, f in zip(place["scale"], factors, strict=True)],
            "offset": [o + s * by for o, s, by in zip(place["offset"], place["scale"], shift, strict=True)],
        }
    else:
        facts[TO_SLIDE] = {"scale": list(factors), "offset": shift}
    position = SlidePosition.from_json(provenance.get(ON_SLIDE), len(factors))
    facts |= on_slide(position, {"scale": factors, "offset": shift})
    return replace(
        spec,
        shape=wanted.shape,
        pixel_size=None if size is None else tuple(s * f for s, f in zip(size, factors, strict=True)),
        translation=tuple(t + s * by for t, s, by in zip(start, steps, shift, strict=True)),
        settings={**spec.settings, "part": part},
        provenance=facts,
        shard=None,
    )


@contextmanager
def _room(spec: StoreSpec, path: Path) -> Iterator[Path | None]:
    """A place for the levels of a part while it is written: memory (None) if it is small, else beside the output."""
    if prod(spec.shape) * spec.pixel_bytes <= IN_MEMORY_BYTES:
        yield None
        return
    folder = beside(path, "part")
    lock = PlaceLock(folder)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.take(OutputExists)
    try:
        shutil.rmtree(folder, ignore_errors=True)  # what a kill left
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _fill(
    copy: Store,
    source: Source,
    wanted: Region,
    level: int,
    store: Store | None,
    parts: tuple[RoiPart, ...],
    on_progress: OnProgress | None,
) -> None:
    """Copy chunk by chunk; of a result what is finished, and with `parts` what lies in them, the rest 0."""
    grid = copy.grid
    for number, cell in enumerate(cells_of(Region.from_shape(grid.counts))):
        region = grid.region(cell)
        there = region.shift(wanted.start)
        if store is None or _is_begun(store, there, level):
            pixels = source.read(there, level).astype(copy.spec.dtype, copy=False)
            copy.write(region, np.where(any_mask(parts, region), pixels, 0).astype(pixels.dtype) if parts else pixels)
            copy.commit(region)
        if on_progress is not None:
            on_progress(number + 1, grid.size)
    copy.close()


def _is_begun(store: Store, region: Region, level: int) -> bool:
    """Whether anything of a region of a level is finished."""
    return bool(store.finished[store.grid.covering(store.info.levels.to_base(region, level)).slices()].any())
