"""What a result says of itself on disk: the attributes of its groups, changed while it is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import RLock
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_seamless.file_lock import PlaceLock
from napari_seamless.interfaces import LabelClass
from napari_seamless.store.metadata import KEY, checked_classes, packed, unpacked, with_classes
from napari_seamless.store.spec import StoreSpec


class ResultAttributes:
    """Any thread; one change at a time. Methods raise OSError, and OutputUnwritable where another process writes."""

    def __init__(self, group: zarr.Group, place: PlaceLock | None) -> None:
        self._group = group
        self._place = place
        self._lock = RLock()

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Model, version, settings, and what was added since."""
        return dict(self._own()["provenance"])

    def set(self, key: str, value: Any) -> None:
        """Write down one of our own attributes. The run that fills the result, or whoever has it to themselves."""
        with self._lock:
            self._group.attrs[KEY] = {**self._own(), key: value}

    def add_finished(self, spec: StoreSpec, chunks: NDArray[np.bool_]) -> None:
        """Write down chunks that are finished and have no pixels, so that the journal says nothing of them."""
        with self._lock:
            own = self._own()
            self._group.attrs[KEY] = {**own, "finished": packed(unpacked(own.get("finished"), spec) | chunks)}

    def set_classes(self, spec: StoreSpec, classes: Sequence[LabelClass]) -> StoreSpec:
        """Other names and colours of labels, for us and for others. Raises BadRequest for classes that cannot be."""
        changed_spec = replace(spec, classes=checked_classes(spec, classes))
        with self._lock, self._alone():
            for path, changed in with_classes(changed_spec, self._group.attrs.asdict()).items():
                within = self._group[path] if path else self._group
                within.attrs.update(changed)
        return changed_spec

    def set_source(self, spec: StoreSpec, identity: str) -> StoreSpec:
        """Another file with the same pixels is the image from here on."""
        with self._lock, self._alone():
            facts = {**self.provenance, "source": identity, "earlier_source": spec.source_identity}
            self._group.attrs[KEY] = {**self._own(), "source_identity": identity, "provenance": facts}
        return replace(spec, source_identity=identity)

    def _own(self) -> dict[str, Any]:
        attributes: Mapping[str, Any] = self._group.attrs.asdict()
        return dict(attributes[KEY])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else writes meanwhile, and what others wrote before is known."""
        if self._place is None or self._place.is_ours:
            yield
            return
        with self._place.held():
            self._group = zarr.open_group(self._group.store_path.store, mode="r+", zarr_format=3)
            yield
