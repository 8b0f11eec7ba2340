"""What the dock says about a run, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from napari_seamless._napari.run.state import Snapshot
from napari_seamless._napari.widgets.status_label import StatusMessage
from napari_seamless._napari.widgets.wording import advance, first_look, megapixels, size


def caption(now: Snapshot) -> str:
    """How far the run is, or its first look."""
    if now.progress is None:
        return ""
    if now.first_look is not None and now.phase == "running":
        return first_look(now.first_look, now.progress)
    return " · ".join(part for part in (advance(now.progress), now.objects) if part)


def verdict_message(now: Snapshot) -> StatusMessage | None:
    """What is to be thought of the result."""
    verdict = now.verdict
    if verdict is not None:
        return StatusMessage(f"{verdict.text[:1].upper()}{verdict.text[1:]}.", "good" if verdict.is_good else "caution")
    return StatusMessage(BLENDED, "caution") if now.approximate else None


def status(now: Snapshot, image_shape: Sequence[int] | None) -> str:
    """One sentence on what is going on. `image_shape` is that of the chosen image, None where none is chosen."""
    if now.exporting:
        return "Exporting…"
    if now.exported is not None:
        return f"Exported to {now.exported}."
    if now.phase == "preparing" and image_shape is not None:
        then = " The run starts when it is done." if now.queued else ""
        return f"Preparing the network for {size(image_shape)}…{then}"
    progress = now.progress
    if now.phase == "running" and progress is not None:
        if progress.passes > 1 and progress.state == "waiting":
            return "Looking at a sample of the image, for a first look…"
        if now.first_look is not None:
            return "A first look at what is on screen, before the whole image is measured."
        if progress.pass_number < progress.passes:
            return "Pixels come with the last pass; what is on screen comes first."
        if 0 < progress.total <= progress.done:
            return "Checking a few places again…"
    if now.phase == "empty":
        if now.problem is not None:
            return ""
        return "Open an image to begin." if image_shape is None else "Choose a model."
    return STATUS[now.phase]


def left_out_message(now: Snapshot) -> StatusMessage | None:
    """What could not be read."""
    failed = 0 if now.progress is None else now.progress.failed
    if not failed:
        return None
    places = f" in {len(now.failed)} places (red on the map)" if now.failed else ""
    return StatusMessage(
        f"The image could not be read everywhere: {megapixels(failed)} of the result were left out{places}. Repair or "
        "copy the file, and run again to fill them.",
        "caution",
    )


def found_message(now: Snapshot) -> StatusMessage | None:
    """What is at the output path already."""
    there = now.found
    if there is None:
        return None
    if not there.continues:
        return StatusMessage("The result of another network or image is there. Choose another path.", "caution")
    if there.fraction == 1:
        return StatusMessage("The whole result is there already, and shown.", "good")
    return StatusMessage(f"A result is there, {there.fraction:.0%} done, and shown. Run goes on with it.", "good")


BLENDED = "Approximate: overlapping tiles are blended, so the result is not the same as on the whole image."
STATUS = {
    "preparing": "Preparing the network…",
    "ready": "Ready.",
    "starting": "Starting the workers…",
    "running": "",
    "paused": "Paused. What is finished stays.",
    "following": "All that is on screen is done; pan or zoom to go on.",
    "finished": "Finished.",
    "cancelled": "Cancelled. What is finished stays and can be exported.",
    "failed": "Stopped by an error. What is finished stays and can be exported.",
}
