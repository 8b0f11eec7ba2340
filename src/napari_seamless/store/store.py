"""A result that fills while it is shown: Sink, Source and LiveImage in one.

::

    worker threads, processes        driving thread                         any thread
    write(region, pixels) ──────>  commit(region)                           levels[k][...]
      level-0 chunks on disk         coarse levels, last level in place     read(region, k)
                                     journal line                           finished
                                     pieces into every watcher's deque

A chunk is readable from the moment its region was committed. What is on disk at any moment is a valid OME-Zarr; its
coarse levels lag behind until `flush` or `close`, and are rebuilt from level 0 when the process died before that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.file_lock import PlaceLock
from napari_seamless.fingerprints import digest_of
from napari_seamless.geometry import Grid, Levels, Region
from napari_seamless.interfaces import FreshPixels, ImageInfo, LabelClass, SourceRead, TileResult
from napari_seamless.store.chunk_cache import CleanChunks
from napari_seamless.store.chunk_writer import ChunkWriter, RemoteWriter, absolute, check, owned
from napari_seamless.store.clean_copy import copy_pixels
from napari_seamless.store.journal import Journal, JournalEntry
from napari_seamless.store.level_array import LevelArray
from napari_seamless.store.metadata import info_of
from napari_seamless.store.pyramid import Pyramid
from napari_seamless.store.result_attributes import ResultAttributes
from napari_seamless.store.side_files import SideFiles
from napari_seamless.store.spec import Kind, StoreSpec
from napari_seamless.store.sync_pacer import SyncPacer
from napari_seamless.store.watchers import Watchers
from napari_seamless.store.zarr_arrays import ZarrArrays, disk_errors

Array = NDArray[Any]

CACHE_BYTES = 128 * 2**20
"""About five screens of RGB. More would break the promise that memory does not grow with the image."""

FRESH_BYTES = 64 * 2**20


class Store:
    """Made by `create_store`, `open_store` or `resume_or_create`; `with` closes it. See the module for the threads.

    Pickled, it becomes a writer of level-0 chunks at the same path; a store in memory refuses (BadRequest).
    """

    def __init__(
        self,
        spec: StoreSpec,
        arrays: ZarrArrays,
        finished: NDArray[np.bool_],
        path: Path | None = None,
        journal: Journal | None = None,
        cache_bytes: int = CACHE_BYTES,
        reads: Mapping[Region, tuple[SourceRead, ...]] = MappingProxyType({}),
        partial: NDArray[np.bool_] | None = None,
        *,
        lock: PlaceLock | None = None,
        target: Path | None = None,
        is_current: bool = True,
    ) -> None:
        self.spec = spec
        self.path = path
        self._target = target or path
        self._lock = lock
        self._arrays = arrays
        self._pacer = SyncPacer()
        self._is_accepted = False
        self._place = self._target or "memory"
        self._writer = ChunkWriter(arrays, spec, self._place)
        self._fresh = CleanChunks(FRESH_BYTES)
        self._journal = journal
        self._attributes = ResultAttributes(arrays.group, lock)
        self._reads = dict(reads)
        self._noted: dict[Region, TileResult] = {}
        self._partial = np.zeros(finished.shape, bool) if partial is None else partial.copy()
        self._watchers = Watchers()
        self._side_files = SideFiles(arrays, spec.folder)
        self.lags = False
        """Whether the coarse levels must be made anew before anything is committed."""
        with disk_errors(self._place):
            self._pyramid = Pyramid(spec, arrays, finished, cache_bytes, is_current)

    # -- what it is

    @property
    def program_hash(self) -> str:
        return self.spec.program_hash

    @property
    def paths(self) -> tuple[Path, ...]:
        """The folder of the result; none for one in memory."""
        return () if self.path is None else (self.path,)

    @property
    def side_folder(self) -> Path | None:
        """Where what belongs to the result, but is no part of OME-Zarr, lies; None for a result in memory."""
        return self._side_files.folder

    def keep(self, name: str, content: bytes) -> None:
        """Put a small file beside the result, instead of the last one of this name. Raises OutputUnwritable."""
        with disk_errors(self._place):
            self._side_files.put(name, content)

    def kept(self, name: str) -> bytes | None:
        """What lies beside the result under this name; None where nothing does."""
        return self._side_files.get(name)

    @property
    def kind(self) -> Kind:
        return self.spec.kind

    @property
    def classes(self) -> Sequence[LabelClass]:
        return self.spec.classes

    @property
    def grid(self) -> Grid:
        """Level-0 chunks, spatial axes only."""
        return self.spec.grid

    @property
    def is_current(self) -> bool:
        """Whether the coarse levels are those of level 0: not so while another process writes the result."""
        return self._journal is None or self._journal.is_open or self._journal.has_marker

    @property
    def finished(self) -> NDArray[np.bool_]:
        """Which chunks of `grid` are committed: a read-only view that goes on changing."""
        view = self._pyramid.finished.view()
        view.flags.writeable = False
        return view

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Which finished chunks have all of their pixels, and not only those that were asked for; a copy."""
        chunks: NDArray[np.bool_] = self.finished & ~self._partial
        return chunks

    @property
    def info(self) -> ImageInfo:
        return info_of(self.spec, f"memory-{id(self)}" if self.path is None else absolute(self.path))

    @property
    def levels(self) -> Sequence[object]:
        """Array-likes, finest first, ([c,] [z,] y, x); the last one, if not `flat`, an array that changes in place."""
        held = self._pyramid.held
        read = len(self.spec.level_shapes) - len(held)
        return [*(LevelArray(self._pyramid, level) for level in range(read)), *held]

    # -- Source

    def read(self, region: Region, level: int = 0) -> Array:
        """(c, *region.shape) of a level, 0 where nothing is committed. Any thread. Raises BadRequest outside it."""
        shape = Levels(self.spec.level_shapes).shape(level)
        if region.ndim != len(shape) or not Region.from_shape(shape).contains(region):
            raise BadRequest(f"a region must lie inside its level of {shape} pixels; got {region!r} of level {level}")
        return self._pyramid.read(level, region)

    def made(self, region: Region) -> Array:
        """Pixels of level 0 as an engine makes them, to be compared with what it makes now."""
        return self.read(region)

    @property
    def made_kind(self) -> Kind:
        """How what `made` gives is compared."""
        return self.kind

    # -- Sink

    def write(self, region: Region, pixels: Array) -> None:
        """Put whole chunks on disk. Any thread, each chunk by one of them. Raises as `ChunkWriter.write` does."""
        self._writer.write(region, pixels)
        self._fresh.put(region, owned(pixels))

    def written(self, region: Region) -> Array:
        """As `ChunkWriter.written`."""
        return self._writer.written(region)

    def note(self, region: Region, result: TileResult) -> None:
        """How a region was made, and of what; before its commit, which writes it down. Driving thread."""
        self._noted[region] = result

    @property
    def reads(self) -> Mapping[Region, tuple[SourceRead, ...]]:
        """For boxes of chunks what they were made of, as it was known when the result was opened."""
        return self._reads

    def forget(self, chunks: Array) -> None:
        """Count these chunks of `grid` (bool) as not finished, and empty them. Before a run begins.

        Raises OutputUnwritable.
        """
        cells = [tuple(map(int, index)) for index in np.argwhere(chunks)]
        with disk_errors(self._place):
            self._begin()
            if self._journal is not None:
                for cell in cells:
                    box = Region.of(*((k, k + 1) for k in cell))
                    self._journal.record(JournalEntry(box, is_kept=False))
            self.sync()  # or a power cut would leave chunks that are empty, and count as finished
            self._pyramid.empty(cells)
        self.repair()

    def commit(self, region: Region) -> None:
        """Take a written region into levels, journal and watchers. Driving thread. Raises OutputUnwritable."""
        check(self.spec, region)
        if self.lags:
            self.repair()
        noted = self._noted.pop(region, None)
        box, is_partial = self.grid.covering(region), noted is not None and noted.is_partial
        with disk_errors(self._place):
            self._begin()
            known = self._fresh.get(region)
            self._fresh.drop(region)
            pixels = self._pyramid.read_disk(region) if known is None else known
            changed = self._pyramid.add(region, pixels)
            if self._journal is not None:
                reads, sizes = None if noted is None else noted.reads, self._arrays.sizes(region)
                entry = JournalEntry(box, reads, is_partial=is_partial, digest=digest_of(pixels), sizes=sizes)
                self._journal.record(entry)
            if self._pacer.is_due:
                self._pacer.run(self.sync)
        self._partial[box.slices()] = is_partial
        self._watchers.tell(changed)

    def skip(self, chunks: Array) -> None:
        """Count these chunks of `grid` (bool) as finished, with 0 in them; nothing is written. Before the run begins.

        Raises OutputUnwritable.
        """
        with disk_errors(self._place):
            self._pyramid.finished[chunks] = True
            self._attributes.add_finished(self.spec, chunks)

    # -- LiveImage

    def watch(self) -> deque[FreshPixels]:
        """A deque that receives every piece from now on; the oldest of more than 256 go. Any thread."""
        return self._watchers.add()

    def unwatch(self, watcher: deque[FreshPixels]) -> None:
        """Stop filling a deque that `watch` gave. Any thread."""
        self._watchers.remove(watcher)

    # -- its life

    def report(self, facts: Mapping[str, Any]) -> None:
        """Merge JSON-able facts (seconds, passes, self-check) into the provenance on disk. Driving thread."""
        with disk_errors(self._place):
            self._attributes.set("provenance", {**self.provenance, **facts})

    def set_classes(self, classes: Sequence[LabelClass]) -> None:
        """Give the classes of labels other names and colours, on disk and in `classes`; pixels stay as they are.

        Any thread, also while a run of this process fills the result. Raises BadRequest for classes that cannot be,
        and OutputUnwritable where the disk says no or another process is writing the result.
        """
        with disk_errors(self._place):
            self.spec = self._attributes.set_classes(self.spec, classes)

    def adopt(self, source_identity: str) -> None:
        """Say that the image is another file than before, with the same pixels: the result goes on with that.

        Before a run begins. Raises as `set_classes` does.
        """
        with disk_errors(self._place):
            self.spec = self._attributes.set_source(self.spec, source_identity)

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Model, version, settings, and what `report` added."""
        return self._attributes.provenance

    def flush(self) -> None:
        """Write the coarse levels, and put everything on the disk. Driving thread. Raises OutputUnwritable."""
        with disk_errors(self._place):
            self._pyramid.flush()
            self.sync()

    def sync(self) -> None:
        """Put what was committed on the disk itself, and then into the journal that it is. Driving thread."""
        with disk_errors(self._place):
            self._arrays.sync()
            if self._journal is not None:
                self._journal.mark()

    def accept(self) -> None:
        """All that was asked for is there: with `close` it takes the place of the result that it is made to replace."""
        self._is_accepted = True

    @property
    def replaces(self) -> Path | None:
        """Where an earlier result lies whose place this one has not taken yet; None where there is none."""
        return None if self._target == self.path else self._target

    def close(self) -> None:
        """Flush, mark the result as consistent, and let others write it. What was made to replace an earlier result
        takes its place, if it was accepted or is complete. Reading goes on working; so does `commit`, until the next
        close."""
        with disk_errors(self._place):
            try:
                if self._journal is not None and self._journal.is_open:
                    self.flush()
                    self._attributes.set("complete", bool(self.whole.all()))
                    self._journal.finish(self._arrays.coarse_bytes())
                if self._is_accepted or self.finished.all():
                    self._take_place()
            finally:
                self.let_go()

    def let_go(self) -> None:
        """Let others write the result; what is not flushed is made again by whoever opens it next."""
        if self._journal is not None:
            self._journal.let_go()
        self._arrays.end_fence()
        if self._lock is not None:
            self._lock.release()

    def _take_place(self) -> None:
        place, target = self._arrays.place, self.replaces
        if place is not None and target is not None:
            place.take_place_of(target)
            self.path = target
            if self._journal is not None:
                self._journal.move(target / f"{self.spec.folder}0")

    def _begin(self) -> None:
        """From here on the disk changes. Raises OutputUnwritable where others are at it, or were since."""
        if self._journal is None or self._journal.is_open:
            return
        is_new = self._lock is not None and self._lock.take()
        try:
            if is_new or self._arrays.fence is None:
                self._arrays.raise_fence(self._place)
            self._journal.begin()
        except BaseException:
            if is_new:
                self.let_go()
            raise

    def repair(self) -> None:
        """Rebuild the coarse levels from level 0. Driving thread."""
        with disk_errors(self._place), nullcontext() if self._lock is None else self._lock.held():
            self._begin()
            try:
                self._pyramid.rebuild()
                self.sync()
                if self._journal is not None:
                    self._journal.finish(self._arrays.coarse_bytes())
            finally:
                if self._journal is not None:
                    self._journal.let_go()
        if self._lock is not None and not self._lock.is_ours:
            self._arrays.end_fence()
        self.lags = False

    def copy_to(
        self, path: str | Path, *, overwrite: bool = False, on_progress: Callable[[int, int], None] | None = None
    ) -> Path:
        """A clean OME-Zarr of what is finished by now, see `copy_pixels`. Any thread, also while the run goes on."""
        if self.path is not None and Path(path).resolve() == self.path.resolve():
            raise BadRequest(f"a result cannot be saved onto itself; got {path}; choose another path")
        spec = replace(self.spec, provenance=self.provenance)
        done = (self.finished.copy(), self._partial.copy())
        copied = self._side_files.copied()
        return copy_pixels(spec, self._pyramid.read, *done, Path(path), overwrite, on_progress, copied)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[RemoteWriter], tuple[str, str]]:
        if self.path is None:
            raise BadRequest(
                "a result in memory cannot be written from another process; "
                "got a store without a path; give the run an output path"
            )
        with disk_errors(self._place):
            if self._arrays.fence is None:
                self._begin()
        fence = self._arrays.fence
        assert fence is not None
        return RemoteWriter, (absolute(self.path), fence.token)
