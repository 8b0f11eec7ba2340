"""What is shown of a run: the layers of its result, its first look, and its bar in the activity dock. GUI thread."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_seamless._napari.layers.asked_outlines import show_asked
from napari_seamless._napari.layers.axes import StackPlane
from napari_seamless._napari.layers.following import follow
from napari_seamless._napari.layers.live_layers import ResultLayers, layers_of, placed_over
from napari_seamless._napari.layers.outputs import images_of, output_layers, place_of_output
from napari_seamless._napari.layers.preview_layers import Preview
from napari_seamless._napari.layers.run_pixels import place_of_seen, seen_of
from napari_seamless._napari.layers.view import result_on_screen
from napari_seamless._napari.run.activity_bar import ActivityBar
from napari_seamless._napari.run.object_trial import ObjectTrial
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
    """One run at a time, with layers of each output of its network. Layers of earlier runs stay in the viewer, and are
    taken up again by their place on disk."""

    def __init__(self, viewer: napari.Viewer, trial: ObjectTrial) -> None:
        self._viewer, self._trial = viewer, trial
        self._outputs: dict[str, ResultLayers] = {}
        self._preview: Preview | None = None
        self._activity: ActivityBar | None = None
        self._activity_name: str | None = None

    @property
    def shown(self) -> ResultLayers | None:
        """The layers of the run's first output that is shown."""
        return next(iter(self._outputs.values()), None)

    @property
    def layers(self) -> list[Any]:
        return [layer for output in self._outputs.values() for layer in output.layers]

    @property
    def view(self) -> Region | None:
        """The pixels of the result that are on screen."""
        shown = self.shown
        return None if shown is None else result_on_screen(self._viewer, shown)

    def begin(self, started: Started, source: Image, name: str) -> None:
        """Puts the empty result over its source."""
        prepared, plane = started.prepared, started.plane
        scale, offset = place_of_seen(started.run, prepared)
        placed = placed_over(source, scale, offset, plane.axes)
        self.end_preview()
        self._outputs = output_layers(
            self._viewer, images_of(seen_of(started.run)), name, placed, started.output, started.folder, plane.axes
        )
        keep = partial(follow, source, scale=scale, offset=offset, axes=plane.axes)
        keep(self.layers)
        self._trial.begin(started.run, next(iter(self._outputs.values())))
        self._preview = Preview(self._viewer, started.run, self._outputs, placed, keep)
        self.end_activity()
        self._activity_name = name

    def show_found(
        self, found: ExistingOutput, prepared: Prepared, source: Image, name: str, plane: StackPlane
    ) -> None:
        """Puts the result of an earlier run over its source, unless it is there."""
        places = [place_of_output(found.path, found.images, output) for output in found.images]
        if found.continues and not any(layers_of(self._viewer, place) for place in places):
            scale, offset = found.place or (prepared.scale, prepared.offset)
            placed = placed_over(source, scale, offset, plane.axes)
            outputs = output_layers(self._viewer, found.images, name, placed, found.path, axes=plane.axes)
            layers = [layer for output in outputs.values() for layer in output.layers]
            follow(source, layers, scale, offset, plane.axes)
            show_asked(self._viewer, found.store, layers[0])

    def tick(self) -> None:
        """Shows pixels that have arrived."""
        for output in self._outputs.values():
            output.tick()
        if self._preview is not None:
            self._preview.tick()
        self._trial.tick()

    def look_at_preview(self) -> bool:
        """Lets the first look come and go. Says whether something on screen is estimated."""
        if self._preview is not None:
            self._preview.look()
        return self._preview is not None and self._preview.is_on_screen

    def update_metadata(self, facts: Mapping[str, Any]) -> None:
        """Adds these to the metadata of the layers."""
        for output in self._outputs.values():
            output.update_metadata(facts)

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
        """A layer is gone from the viewer. Says whether nothing of the run is shown any more because of it."""
        if self._preview is not None and layer in self._preview.layers:
            self._preview.give_up()
        self._trial.drop(layer)
        if layer not in self.layers:
            return False
        self._outputs = {name: shown for name, shown in self._outputs.items() if layer not in shown.layers}
        if self._outputs:
            return False
        self._trial.end()
        self.end_preview()
        return True

    def finish(self) -> None:
        """Shows the last pixels."""
        self.end_activity()
        for output in self._outputs.values():
            output.finish()

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
        self._trial.close()
        self._outputs, self._preview = {}, None
