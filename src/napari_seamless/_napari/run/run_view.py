"""What is shown of a run: the layers of its result, its first look, and its bar in the activity dock. GUI thread."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_seamless._napari.layers.asked_outlines import show_asked
from napari_seamless._napari.layers.axes import StackPlane
from napari_seamless._napari.layers.following import follow
from napari_seamless._napari.layers.live_layers import ResultLayers, layers_of, placed_over
from napari_seamless._napari.layers.preview_layers import Preview
from napari_seamless._napari.layers.view import result_on_screen
from napari_seamless._napari.run.activity_bar import ActivityBar
from napari_seamless._napari.run.state import Started
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Progress

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

    from napari_seamless.runs.existing_output import ExistingOutput
    from napari_seamless.runs.prepared import Prepared

QUIET_SECONDS = 1.0
"""The bar in the activity dock takes 50 ms to make: it comes after the first pixels, or when they are late."""


class RunView:
    """One run at a time. Layers of earlier runs stay in the viewer, and are taken up again by their place on disk."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._shown: ResultLayers | None = None
        self._preview: Preview | None = None
        self._activity: ActivityBar | None = None
        self._activity_name: str | None = None

    @property
    def shown(self) -> ResultLayers | None:
        """The layers of the run."""
        return self._shown

    @property
    def layers(self) -> list[Any]:
        return [] if self._shown is None else self._shown.layers

    @property
    def view(self) -> Region | None:
        """The pixels of the result that are on screen."""
        return None if self._shown is None else result_on_screen(self._viewer, self._shown)

    def begin(self, started: Started, source: Image, name: str) -> None:
        """Puts the empty result over its source."""
        prepared, plane = started.prepared, started.plane
        placed = placed_over(source, prepared.scale, prepared.offset, plane.axes)
        self.end_preview()
        self._shown = ResultLayers(
            self._viewer,
            started.run.store,
            name,
            placed,
            started.folder,
            started.output,
            onto=layers_of(self._viewer, started.output),
            axes=plane.axes,
        )
        keep = partial(follow, source, scale=prepared.scale, offset=prepared.offset, axes=plane.axes)
        keep(self._shown.layers)
        self._preview = Preview(self._viewer, started.run, self._shown, self._shown.name, placed, keep)
        self.end_activity()
        self._activity_name = name

    def show_found(
        self, found: ExistingOutput, prepared: Prepared, source: Image, name: str, plane: StackPlane
    ) -> None:
        """Puts the result of an earlier run over its source, unless it is there."""
        if found.continues and not layers_of(self._viewer, found.path):
            placed = placed_over(source, prepared.scale, prepared.offset, plane.axes)
            shown = ResultLayers(self._viewer, found.store, name, placed, place=found.path, axes=plane.axes)
            follow(source, shown.layers, prepared.scale, prepared.offset, plane.axes)
            show_asked(self._viewer, found.store, shown.layers[0])

    def tick(self) -> None:
        """Shows pixels that have arrived."""
        if self._shown is not None:
            self._shown.tick()
        if self._preview is not None:
            self._preview.tick()

    def look_at_preview(self) -> bool:
        """Lets the first look come and go. Says whether something on screen is estimated."""
        if self._preview is not None:
            self._preview.look()
        return self._preview is not None and self._preview.is_on_screen

    def update_metadata(self, facts: Mapping[str, Any]) -> None:
        """Adds these to the metadata of the layers."""
        if self._shown is not None:
            self._shown.update_metadata(facts)

    def follow(self, progress: Progress | None) -> bool:
        """Moves the bar in the activity dock. Says whether the run was cancelled there."""
        if progress is None or self._activity_name is None:
            return False
        if self._activity is None and (progress.tiles or progress.seconds > QUIET_SECONDS):
            self._activity = ActivityBar(self._activity_name)
        activity = self._activity
        if activity is None:
            return False
        activity.show(progress)  # napari lets events pass meanwhile, and the run may end in one of them
        return activity.is_cancelled

    def drop(self, layer: Layer) -> bool:
        """A layer is gone from the viewer. Says whether it was one of the run's."""
        if self._preview is not None and layer in self._preview.layers:
            self._preview.give_up()
        if layer not in self.layers:
            return False
        self._shown = None
        self.end_preview()
        return True

    def finish(self) -> None:
        """Shows the last pixels."""
        self.end_activity()
        if self._shown is not None:
            self._shown.finish()

    def end_preview(self) -> None:
        """Takes the first look away."""
        preview, self._preview = self._preview, None
        if preview is not None:
            preview.close()

    def end_activity(self) -> None:
        """Takes the bar away."""
        self._activity_name = None
        if self._activity is not None:
            self._activity.close()
            self._activity = None

    def close(self) -> None:
        """Lets go of the run; its layers stay. May be called twice, and when the window is gone."""
        self.end_activity()
        self._shown = self._preview = None
