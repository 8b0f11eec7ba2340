"""What a network gave of which objects are made: kept beside their labels, to make them again without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_seamless.store.joint_store import ChannelSpan, JointStore
from napari_seamless.store.spec import CANDIDATES
from napari_seamless.store.store import Store


class CandidateStore(JointStore):
    """A Sink for the pixels of an engine, of which it keeps fewer digits."""

    @classmethod
    def of(cls, store: Store, made_as: np.dtype[np.generic]) -> CandidateStore:
        """Over a result, which is this object's from here on; `made_as` is the type that an engine makes."""
        span = ChannelSpan(0, store.spec.channels or 1, store.spec.dtype)
        made = cls.over({CANDIDATES: store}, [span], made_as)
        assert isinstance(made, CandidateStore)
        return made

    def moved(self, path: Path) -> None:
        """The folder lies elsewhere from now on. After `close`."""
        self.path = self._target = path
        if self._arrays.place is not None:
            self._arrays.place.moved(path)
        if self._journal is not None:
            self._journal.move(path / f"{self.spec.folder}0")
