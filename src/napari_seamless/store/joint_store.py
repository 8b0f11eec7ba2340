"""Several results that one run fills: the outputs of a network that gives more than one.

What the engine makes has the channels of all, one output after the other; each result gets its own. The first one
stands for all of them to a run: a tile counts there once the others have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import InputMismatch
from napari_seamless.file_lock import PlaceLock
from napari_seamless.geometry import Region
from napari_seamless.interfaces import TileResult
from napari_seamless.store.chunk_writer import RemoteWriter
from napari_seamless.store.spec import Kind
from napari_seamless.store.store import Store

Array = NDArray[Any]


@dataclass(frozen=True)
class ChannelSpan:
    """The channels [lo, hi) of what an engine makes that are one result's, and the type in which they are stored."""

    lo: int
    hi: int
    dtype: np.dtype[Any]

    def of(self, pixels: Array) -> Array:
        """These channels. Raises InputMismatch for whole numbers that were not told apart on the way."""
        own = pixels[self.lo : self.hi]
        if own.dtype.kind == "f" and self.dtype.kind in "iu":
            largest = float(np.abs(own).max(initial=0))
            if largest > 2 ** (np.finfo(own.dtype).nmant + 1):
                raise InputMismatch(
                    f"whole numbers that are made together with others of {own.dtype} must fit it; got {largest:g}; "
                    "make a run for this output alone (network_output=NAME, --network-output NAME)"
                )
        return np.ascontiguousarray(own.astype(self.dtype, copy=False))


class JointStore(Store):
    """The first of several results, with `others`; `spans` says which channels are whose, and `made_as` the type
    that an engine makes. `images` are all of them by name. A Sink for pixels of all; to read, it is the first one."""

    images: Mapping[str, Store]
    spans: Sequence[ChannelSpan]
    made_as: np.dtype[Any]
    _folder: PlaceLock | None

    @classmethod
    def over(
        cls,
        images: Mapping[str, Store],
        spans: Sequence[ChannelSpan],
        made_as: np.dtype[Any],
        folder: PlaceLock | None = None,
    ) -> JointStore:
        """Over results of one grid, which are this object's from here on, as is the lock of the `folder` of all."""
        joint = cls.__new__(cls)
        first = next(iter(images.values()))
        vars(joint).update(vars(first))
        joint.images = {**images, next(iter(images)): joint}
        joint.spans, joint.made_as, joint._folder = spans, made_as, folder
        joint._pyramid.finished[...] = np.logical_and.reduce([store.finished for store in images.values()])
        return joint

    @property
    def others(self) -> list[Store]:
        return [store for store in self.images.values() if store is not self]

    def write(self, region: Region, pixels: Array) -> None:
        """Pixels of all; see `Store.write`. Raises InputMismatch, too."""
        first, *rest = (span.of(pixels) for span in self.spans)
        for store, own in zip(self.others, rest, strict=True):
            store.write(region, own)
        super().write(region, first)

    def written(self, region: Region) -> Array:
        """What lies there of all, as an engine makes it."""
        return self._joined([super().written(region), *(store.written(region) for store in self.others)])

    def made(self, region: Region) -> Array:
        """Pixels of all, as an engine makes them."""
        return self._joined([super().made(region), *(store.made(region) for store in self.others)])

    @property
    def made_kind(self) -> Kind:
        """Labels only where all of them are."""
        return "labels" if all(store.kind == "labels" for store in self.images.values()) else "image"

    def _joined(self, parts: Sequence[Array]) -> Array:
        return np.concatenate([part.astype(self.made_as, copy=False) for part in parts])

    def note(self, region: Region, result: TileResult) -> None:
        """See `Store.note`."""
        for store in self.others:
            store.note(region, result)
        super().note(region, result)

    def commit(self, region: Region) -> None:
        """See `Store.commit`."""
        for store in self.others:
            store.commit(region)
        super().commit(region)

    def skip(self, chunks: Array) -> None:
        """See `Store.skip`."""
        for store in self.others:
            store.skip(chunks)
        super().skip(chunks)

    def forget(self, chunks: Array) -> None:
        """See `Store.forget`."""
        for store in self.others:
            store.forget(chunks)
        super().forget(chunks)

    def report(self, facts: Mapping[str, Any]) -> None:
        """See `Store.report`."""
        for store in self.others:
            store.report(facts)
        super().report(facts)

    def keep(self, name: str, content: bytes) -> None:
        """See `Store.keep`."""
        for store in self.others:
            store.keep(name, content)
        super().keep(name, content)

    def flush(self) -> None:
        """See `Store.flush`."""
        for store in self.others:
            store.flush()
        super().flush()

    def close(self) -> None:
        """See `Store.close`; all are closed, also where one of them cannot be flushed."""
        with ExitStack() as ended:
            ended.callback(super().close)
            for store in reversed(self.others):
                ended.callback(store.close)

    def accept(self) -> None:
        """See `Store.accept`."""
        for store in self.others:
            store.accept()
        super().accept()

    def let_go(self) -> None:
        """See `Store.let_go`."""
        for store in self.others:
            store.let_go()
        super().let_go()
        if self._folder is not None:
            self._folder.release()

    def __reduce__(self) -> Any:
        writers = tuple(Store.__reduce__(store)[1] for store in self.images.values())
        return JointWriter, (writers, tuple(self.spans), self.made_as)


class JointWriter:
    """What a joint store becomes in another process: one of `RemoteWriter` for each result, of these arguments."""

    def __init__(
        self, results: Sequence[tuple[str, str]], spans: Sequence[ChannelSpan], made_as: np.dtype[Any]
    ) -> None:
        self._given = (results, spans, made_as)
        self._writers = [RemoteWriter(*result) for result in results]

    def write(self, region: Region, pixels: Array) -> None:
        """As `JointStore.write`."""
        for writer, span in zip(self._writers, self._given[1], strict=True):
            writer.write(region, span.of(pixels))

    def written(self, region: Region) -> Array:
        """As `JointStore.written`."""
        return np.concatenate([writer.written(region).astype(self._given[2], copy=False) for writer in self._writers])

    def commit(self, region: Region) -> NoReturn:
        """Always raises BadRequest, as `RemoteWriter.commit`."""
        self._writers[0].commit(region)

    def __reduce__(self) -> Any:
        return JointWriter, self._given
