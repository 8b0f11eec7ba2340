"""What is at an output path already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_seamless.fingerprints import source_identity
from napari_seamless.runs.asked_roi import Place
from napari_seamless.runs.objects.plan import object_plan
from napari_seamless.runs.origin import notices_of
from napari_seamless.runs.prepared import Prepared
from napari_seamless.store import Store, images_at, open_store
from napari_seamless.store.output_path import is_ours


@dataclass(frozen=True)
class ExistingOutput:
    """A result: its images, opened to be read, by the names of the outputs ("" where there is one), the share of them
    that is done, whether a run of what was prepared would go on with it, and what those that made it told. `place` is
    (scale, offset) of labels of objects on level 0 of the image; None where the result is what the network gives."""

    path: Path
    images: Mapping[str, Store]
    fraction: float
    continues: bool
    notices: tuple[str, ...] = ()
    place: Place | None = None

    @property
    def store(self) -> Store:
        """The first of the images."""
        return next(iter(self.images.values()))


def existing_output_at(path: str | Path, prepared: Prepared) -> ExistingOutput | None:
    """The result of an earlier run at a path; None where there is nothing of ours. Any thread.

    Raises InputDamaged where it cannot be opened.
    """
    path = Path(path)
    if not is_ours(path):
        return None
    names = images_at(path)
    images = {name: open_store(path, image=name) for name in names} or {"": open_store(path)}
    store = next(iter(images.values()))
    plan = object_plan(prepared)
    is_same = store.spec.shape == (prepared.output_shape if plan is None else plan.shape)
    is_same = is_same and store.spec.source_identity == source_identity(prepared.source, prepared.level)
    continues = is_same and store.spec.program_hash == prepared.program_hash
    place = None if plan is None else plan.place
    return ExistingOutput(path, images, float(store.finished.mean()), continues, notices_of(store), place)
