"""Rows of objects on their way into a file, and what all of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_seamless.interfaces import LabelClass


@dataclass(frozen=True, eq=False)
class ObjectRows:
    """Some objects: `columns` of equal lengths, by name, always the same names, "id" and "class" among them.

    `outlines` are shapely polygons or multipolygons, valid, their rings turned as RFC 7946 has them, x before y, in
    level-0 pixels of the slide, where pixel i covers [i, i + 1). None where nobody wants them.
    """

    columns: Mapping[str, NDArray[Any]]
    outlines: NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.columns["id"])


@dataclass(frozen=True)
class ObjectFile:
    """What all objects of a file share: the image's name and `identity` (objects of the same image and id have the same
    UUID wherever they are saved), their classes, provenance as JSON values, and micrometres a pixel of the slide."""

    name: str
    identity: str
    classes: Sequence[LabelClass] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    pixel_size: tuple[float, ...] | None = None


class ObjectWriter(Protocol):
    """Opens a file of objects: a context that gives what takes rows.

    When it is left, the file is in its place; after an error there is none. One thread. Raises OutputExists,
    OutputUnwritable.
    """

    def __call__(
        self, path: Path, file: ObjectFile, *, overwrite: bool = False
    ) -> AbstractContextManager[Callable[[ObjectRows], None]]: ...
