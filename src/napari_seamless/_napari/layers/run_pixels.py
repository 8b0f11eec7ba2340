"""What is seen of a run: its output, or, where objects are made of that, their labels, in pixels of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_seamless.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_seamless.interfaces import LiveImage
    from napari_seamless.runs.prepared import Prepared
    from napari_seamless.runs.run import Run


def seen_of(run: Run) -> LiveImage:
    """The live image of a run that somebody sees."""
    return run.store if run.objects is None else run.objects.labels


def place_of_seen(run: Run, prepared: Prepared) -> tuple[Sequence[float], Sequence[float]]:
    """(scale, offset): its pixel p lies at pixel p * scale + offset of the image's level 0."""
    return (prepared.scale, prepared.offset) if run.objects is None else run.objects.plan.place


def seen_regions(run: Run, regions: Iterable[Region]) -> tuple[Region, ...]:
    """The pixels of what is seen that are made of these of the output."""
    plan = None if run.objects is None else run.objects.plan
    return tuple(regions) if plan is None else tuple(plan.labels_of(region) for region in regions)


def made_region(run: Run, seen: Region | None) -> Region | None:
    """The pixels of the output of which what is seen there is made."""
    return seen if seen is None or run.objects is None else run.objects.plan.cells_of(seen)


def objects_made(run: Run) -> str:
    """How many objects a run has made so far, such as "1,234 objects"; "" where it makes none."""
    if run.objects is None:
        return ""
    more = "more " if run.objects.goes_on else ""
    return f"{run.objects.painted_objects:,} {more}objects"
