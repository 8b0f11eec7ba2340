"""Results, and any other image, as a file of a kind that follows from its name: whole, a region, or a coarser level."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from napari_seamless.errors import BadRequest, InputUnreadable
from napari_seamless.geometry import Levels, Region, cells_of
from napari_seamless.interfaces import LabelClass, Source
from napari_seamless.io.readers import open_image
from napari_seamless.io.writers.formats import Kind, OnProgress, Writer, format_for, writer_of
from napari_seamless.io.writers.geojson import TO_SLIDE
from napari_seamless.store import Store, StoreSpec, create_store, open_store
from napari_seamless.store.zarr_arrays import disk_errors

IN_MEMORY_BYTES = 256 * 2**20


def export(
    what: Any,
    path: str | Path,
    *,
    region: Region | None = None,
    level: int = 0,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    kind: Kind = "image",
    classes: tuple[LabelClass, ...] = (),
) -> Path:
    """Save a result, or anything else that `open_image` takes, as .ome.zarr, .ome.tif or .geojson; returns the path.

    `region` is in pixels of level 0 of what is saved; the `level` saved becomes level 0 of the file. A result that is
    not finished, or that a run is writing now, is saved as far as it is, and marked as partial. `kind` and `classes`
    say what an image that is no result of this package holds. `on_progress` gets (done, in all) in this thread, in
    steps of its own choosing. Any thread.

    Raises BadRequest, OutputExists, OutputUnwritable, and what opening raises.
    """
    path = Path(path)
    write = writer_of(format_for(path))
    if isinstance(what, Store):
        return _export(what, what.spec, path, write, region, level, overwrite, on_progress, what)
    if isinstance(what, str | Path):
        try:
            store = open_store(what)
        except InputUnreadable:
            pass
        else:
            return export(store, path, region=region, level=level, overwrite=overwrite, on_progress=on_progress)
    source = open_image(what)
    return _export(source, described(source, kind, classes), path, write, region, level, overwrite, on_progress)


def described(source: Source, kind: Kind, classes: tuple[LabelClass, ...] = ()) -> StoreSpec:
    """A source as a result would be described."""
    info = source.info
    is_plain = kind == "labels" or (info.channels == 1 and not info.rgb)
    if kind == "labels" and info.channels > 1:
        raise BadRequest(f"labels have no channels; got {info.channels}; save it as an image")
    names = ("red", "green", "blue") if info.rgb and info.channels == 3 else info.channel_names
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
        provenance={"image": info.name},
    )


def _export(
    source: Source,
    spec: StoreSpec,
    path: Path,
    write: Writer,
    region: Region | None,
    level: int,
    overwrite: bool,
    on_progress: OnProgress | None,
    store: Store | None = None,
) -> Path:
    if store is not None and region is None and level == 0 and store.is_current:
        return write(store, path, overwrite=overwrite, on_progress=on_progress)
    _check(source, region, level)
    base = Region.from_shape(source.info.levels.shape(0)) if region is None else region
    # coarse levels that another process is making lag behind: they are made anew from the finest
    read = level if store is None or store.is_current else 0
    wanted = source.info.levels.to_level(base, read)
    facts = store.provenance if store is not None else spec.provenance
    part = part_of(spec, facts, wanted, source.info.levels, read)
    with _room(part, path) as folder:
        copy = create_store(None if folder is None else folder / "part.ome.zarr", part)
        _fill(copy, source, wanted, read, store, on_progress)
        if read == level:
            return write(copy, path, overwrite=overwrite)
        return _export(copy, copy.spec, path, write, None, level, overwrite, None, copy)


def _check(source: Source, region: Region | None, level: int) -> None:
    whole = Region.from_shape(source.info.levels.shape(0))
    source.info.levels.shape(level)
    if region is not None and (region.ndim != whole.ndim or region.is_empty or not whole.contains(region)):
        raise BadRequest(f"a region must lie inside the image and hold a pixel; the image is {whole!r}, got {region!r}")


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
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(
    copy: Store, source: Source, wanted: Region, level: int, store: Store | None, on_progress: OnProgress | None
) -> None:
    """Copy chunk by chunk; of a result what is finished."""
    grid = copy.grid
    for number, cell in enumerate(cells_of(Region.from_shape(grid.counts))):
        region = grid.region(cell)
        there = region.shift(wanted.start)
        if store is None or _is_begun(store, there, level):
            copy.write(region, source.read(there, level).astype(copy.spec.dtype, copy=False))
            copy.commit(region)
        if on_progress is not None:
            on_progress(number + 1, grid.size)
    copy.close()


def _is_begun(store: Store, region: Region, level: int) -> bool:
    """Whether anything of a region of a level is finished."""
    return bool(store.finished[store.grid.covering(store.info.levels.to_base(region, level)).slices()].any())
