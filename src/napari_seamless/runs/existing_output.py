"""What is at an output path already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_seamless.fingerprints import source_identity
from napari_seamless.runs.origin import notices_of
from napari_seamless.runs.prepared import Prepared
from napari_seamless.store import Store, open_store
from napari_seamless.store.output_path import is_ours


@dataclass(frozen=True)
class ExistingOutput:
    """A result: itself, opened to be read, the share of it that is done, whether a run of what was prepared would go on
    with it, and what those that made it told."""

    path: Path
    store: Store
    fraction: float
    continues: bool
    notices: tuple[str, ...] = ()


def existing_output_at(path: str | Path, prepared: Prepared) -> ExistingOutput | None:
    """The result of an earlier run at a path; None where there is nothing of ours. Any thread.

    Raises InputDamaged where it cannot be opened.
    """
    path = Path(path)
    if not is_ours(path):
        return None
    store = open_store(path)
    is_same = store.spec.shape == prepared.output_shape
    is_same = is_same and store.spec.source_identity == source_identity(prepared.source, prepared.level)
    continues = is_same and store.spec.program_hash == prepared.program_hash
    return ExistingOutput(path, store, float(store.finished.mean()), continues, notices_of(store))
