"""An image that is no result of this package, as what can be exported without a copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, LabelClass, Source
from napari_seamless.store import StoreSpec
from napari_seamless.store.spec import Kind


@dataclass(frozen=True)
class LabelLevel:
    """Level 0 of labels (y, x), read where it is sliced."""

    source: Source

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.info.levels.shape(0)

    def __getitem__(self, at: tuple[slice, slice]) -> NDArray[Any]:
        spans = (one.indices(size)[:2] for one, size in zip(at, self.shape, strict=True))
        return np.asarray(self.source.read(Region.of(*spans), 0)[0])


@dataclass(frozen=True)
class ExportableSource:
    """Implements `io.writers.output_file.Exportable`, of labels in a plane."""

    source: Source
    spec: StoreSpec

    @property
    def info(self) -> ImageInfo:
        return self.source.info

    @property
    def kind(self) -> Kind:
        return self.spec.kind

    @property
    def classes(self) -> Sequence[LabelClass]:
        return self.spec.classes

    @property
    def levels(self) -> Sequence[LabelLevel]:
        return (LabelLevel(self.source),)

    @property
    def finished(self) -> NDArray[np.bool_]:
        return np.ones((1, 1), bool)

    @property
    def provenance(self) -> Mapping[str, Any]:
        return self.spec.provenance
