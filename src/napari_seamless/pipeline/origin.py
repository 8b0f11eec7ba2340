"""Where a result comes from, as it says itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_seamless.store import open_store
from napari_seamless.store.folder import attributes_at
from napari_seamless.store.metadata import spec_of


@dataclass(frozen=True)
class Origin:
    """Of which model and image a result was made, with what claim ("exact", "rounded" or "approximate"), and the share
    of it that is done."""

    model: str
    image: str
    scope: str
    fraction: float


def origin_of(path: str | Path) -> Origin | None:
    """Where the result at a path comes from; None where there is none of ours. Changes nothing. Any thread.

    Raises InputDamaged where it cannot be opened.
    """
    path = Path(path)
    if spec_of(attributes_at(path)) is None:
        return None
    store = open_store(path, repairs=False)
    model, image, scope = (str(store.provenance.get(name, "not known")) for name in ("model", "image", "scope"))
    return Origin(model, image, scope, float(store.finished.mean()))
