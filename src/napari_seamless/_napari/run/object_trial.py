"""Objects with other settings, on what is on screen: made again of what is kept of the output, not of the network.

A layer over the result shows them while the sliders say something else than what the result was made with; the result
is hidden meanwhile. GUI thread, but for the making, of which only the latest counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_seamless._napari.background import is_open
from napari_seamless._napari.layers.axes import own_axes
from napari_seamless._napari.layers.live_layers import FACTS, PREVIEW, placed_over
from napari_seamless._napari.layers.object_keys import ColourKeys, key_colours
from napari_seamless._napari.layers.view import result_on_screen
from napari_seamless._napari.run.sections.objects import ObjectsSection, ObjectWish
from napari_seamless.geometry import Interval, Region
from napari_seamless.runs.objects.facts import id_columns

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_seamless._napari.background import BackgroundJob, BackgroundJobs
    from napari_seamless._napari.layers.live_layers import ResultLayers
    from napari_seamless.interfaces import StopFlag
    from napari_seamless.runs.objects.again import RegionObjects
    from napari_seamless.runs.objects.reading import ResultObjects
    from napari_seamless.runs.run import Run

LARGEST = 1024
"""Pixels along each axis that are made at once: more would be seen too late."""


class ObjectTrial:
    """Of one result at a time. `tick` is called by the GUI timer."""

    def __init__(self, viewer: napari.Viewer, section: ObjectsSection, jobs: BackgroundJobs) -> None:
        self._viewer, self._section, self._jobs = viewer, section, jobs
        self._objects: ResultObjects | None = None
        self._shown: ResultLayers | None = None
        self._made: ObjectWish | None = None
        self._layer: Labels | None = None
        self._job: BackgroundJob[RegionObjects] | None = None
        self._asked: tuple[ObjectWish, Region] | None = None
        section.wished.connect(self._look)

    def begin(self, run: Run, shown: ResultLayers) -> None:
        """A run, and its layers: sliders come where it makes objects."""
        self.end()
        if run.objects is None:
            return
        from napari_seamless.runs.objects.reading import ResultObjects

        self._objects, self._shown = ResultObjects(run.objects.labels, run.objects.candidates), shown
        step = run.objects.plan.step
        self._made = _wish_of(step.settings)
        self._section.offer(self._made, step.kept.above)

    def tick(self) -> None:
        """Shows what is made, and begins anew where the view has moved."""
        if is_open(self._job):
            self._jobs.deliver()
        elif self._layer is not None:
            self._look()

    def end(self) -> None:
        """Takes the layer away; the result is seen again. May be called twice."""
        self._clear()
        self._section.setVisible(False)
        self._objects = self._shown = self._made = None

    def drop(self, layer: Any) -> None:
        """A layer is gone from the viewer."""
        if layer is self._layer:
            self._layer = None
            self._show_result(True)

    def close(self) -> None:
        """Stops what goes on. The window may be gone."""
        if self._job is not None:
            self._job.cancel()
        self._objects = self._shown = self._layer = None

    def _look(self, _wish: object = None) -> None:
        objects, shown, wish = self._objects, self._shown, self._section.value()
        if objects is None or shown is None:
            return
        if wish == self._made:
            self._clear()
            return
        view = result_on_screen(self._viewer, shown)
        if view is None or (wish, view) == self._asked:
            return
        self._asked = (wish, view)
        if self._job is not None:
            self._job.cancel()
        region = middle_of(view)

        def make(stop: StopFlag) -> RegionObjects:
            return objects.again(
                region,
                probability=wish.probability,
                overlap=wish.overlap,
                min_area=wish.min_area,
                cancelled=stop,
                rings=1,
            )

        self._job = self._jobs.begin(make, lambda made: self._show(made, is_all=region == view))

    def _show(self, made: RegionObjects, *, is_all: bool) -> None:
        objects, shown = self._objects, self._shown
        if objects is None or shown is None or not shown.layers:
            return
        labels = objects.labels
        keys = ColourKeys(id_columns(labels.provenance, labels.spec.shape)).of(made.labels)
        over = shown.layers[0]
        own, corner = own_axes(shown.axes, 2), [0.0] * over.ndim
        for axis, start in zip(own, made.region.start, strict=True):
            corner[axis] = float(start)
        shape = [1] * over.ndim
        for axis, size in zip(own, made.region.shape, strict=True):
            shape[axis] = size
        if own[0] > own[1]:
            keys = keys.T
        self._put(over, keys.reshape(shape), corner)
        where = "" if is_all else f" in the middle of the view ({LARGEST} x {LARGEST} pixels)"
        self._section.describe(f"{len(made.table):,} objects{where} with these settings; the result stays as it is.")

    def _put(self, over: Any, keys: Any, corner: list[float]) -> None:
        placed = placed_over(over, [1.0] * over.ndim, corner)
        if self._layer is None:
            self._layer = self._add(over, keys, placed)
        else:
            self._layer.data, self._layer.translate = keys, placed["translate"]
        self._show_result(False)

    def _add(self, over: Any, keys: Any, placed: Mapping[str, Any]) -> Labels:
        from napari.layers import Labels

        layer = Labels(
            keys,
            name=f"{over.name}{PREVIEW}",
            colormap=key_colours(),
            opacity=over.opacity,
            metadata={FACTS: {"preview": True}},
            **placed,
        )
        selected = set(self._viewer.layers.selection)
        self._viewer.layers.insert(self._viewer.layers.index(over) + 1, layer)
        self._viewer.layers.selection = selected
        layer.editable = False
        return layer

    def _clear(self) -> None:
        if self._job is not None:
            self._job.cancel()
        layer, self._layer, self._asked = self._layer, None, None
        self._section.describe("")
        if layer is not None:
            self._show_result(True)
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _show_result(self, is_seen: bool) -> None:
        for layer in () if self._shown is None else self._shown.layers:
            layer.visible = is_seen


def middle_of(view: Region) -> Region:
    """As much of a view as is made at once."""
    spans = []
    for span in view.intervals:
        start = span.lo + max(0, span.hi - span.lo - LARGEST) // 2
        spans.append(Interval(start, min(span.hi, start + LARGEST)))
    return Region(tuple(spans))


def _wish_of(settings: Mapping[str, Any]) -> ObjectWish:
    return ObjectWish(round(float(settings["probability"]), 2), round(float(settings["overlap"]), 2))
