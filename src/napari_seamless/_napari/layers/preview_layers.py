"""The first look at a result whose norms and pools over the plane are still being measured, and when it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.layers.badge import Badge
from napari_seamless._napari.layers.live_layers import PREVIEW, ResultLayers, is_colour
from napari_seamless._napari.layers.outputs import images_of
from napari_seamless._napari.layers.run_pixels import seen_of
from napari_seamless._napari.layers.uncovered_preview import UncoveredPreview
from napari_seamless._napari.layers.view import result_on_screen
from napari_seamless.interfaces import LiveImage

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from napari_seamless.runs.run import Run

SIGN = "PREVIEW: statistics estimated from a sample;\npixels as on the whole image replace it"
ENDED = frozenset(("finished", "cancelled", "failed"))
GIVEN_UP = frozenset(("cancelled", "failed"))


class Preview:
    """Layers directly below those of the result, from the first estimated pixels on, until exact ones cover them all.

    `results` are the layers of each output of the network, by its name. `keep` is called with those of the preview, to
    keep them where their source is. `look` is called now and then, `tick` with every tick of the GUI timer. GUI thread.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        run: Run,
        results: Mapping[str, ResultLayers],
        placed: dict[str, Any],
        keep: Callable[[Sequence[Layer]], object],
    ) -> None:
        self._viewer, self._run, self._results = viewer, run, results
        self._placed, self._keep = placed, keep
        self._outputs: list[PreviewedOutput] = []
        self._badge: Badge | None = None
        self._is_over = False

    @property
    def layers(self) -> list[Any]:
        return [layer for output in self._outputs for layer in output.shown.layers]

    @property
    def is_on_screen(self) -> bool:
        """Whether something that is on screen is not exact yet."""
        return self._badge is not None and self._badge.is_shown

    def tick(self) -> None:
        """Shows pixels that have arrived."""
        for output in self._outputs:
            if output.uncovered is not None and not output.uncovered.pump():
                output.shown.finish()
            output.shown.tick()

    def look(self) -> None:
        """Comes, goes, and puts the sign up or takes it down. Cheap."""
        first = None if self._is_over else self._run.preview
        if first is None:
            return
        if self._run.progress().state in ENDED:
            self.close()
        elif self._outputs:
            self._watch(first)
        elif seen_of(first).finished.any() and first.progress().state not in GIVEN_UP:
            self._appear(seen_of(first))
            self._watch(first)

    def give_up(self) -> None:
        """The user does not want it."""
        first = self._run.preview
        if first is not None:
            first.cancel()
        self.close()

    def close(self) -> None:
        """Takes layers and sign away. May be called twice."""
        layers, self._outputs, self._is_over = self.layers, [], True
        if self._badge is not None:
            self._badge.close()
            self._badge = None
        for layer in layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _appear(self, first: LiveImage) -> None:
        chosen = set(self._viewer.layers.selection)
        facts = {"preview": True, "exact": False, "statistics": "estimated from a sample"}
        exact, estimated = images_of(seen_of(self._run)), images_of(first)
        for name, result in self._results.items():
            below = result.layers[0]
            if below not in self._viewer.layers:
                continue
            covered = None if is_colour(estimated[name]) else UncoveredPreview(estimated[name], exact[name])
            shown = ResultLayers(
                self._viewer,
                estimated[name] if covered is None else covered,
                f"{result.name}{PREVIEW}",
                self._placed,
                facts=facts,
                below=below,
                axes=result.axes,
            )
            self._outputs.append(PreviewedOutput(shown, covered))
        if self._outputs:
            self._keep(self.layers)
            self._viewer.layers.selection = chosen
            self._badge = Badge(self._viewer, SIGN)

    def _watch(self, first: Run) -> None:
        if not self._outputs or self._badge is None:
            return
        still = uncovered(seen_of(first), seen_of(self._run))
        are_shown = all(result.is_up_to_date for result in self._results.values())
        if first.progress().state in GIVEN_UP and are_shown and not still.any():
            self.close()
            return
        view = result_on_screen(self._viewer, self._outputs[0].shown)
        if view is not None:
            still = still[seen_of(first).grid.covering(view).slices()]
        elif self._viewer.dims.ndisplay == 2:
            still = still[:0]
        self._badge.show(any(layer.visible for layer in self.layers) and bool(still.any()))


@dataclass
class PreviewedOutput:
    """The layers of a preview of one output, and what empties them wherever exact pixels are."""

    shown: ResultLayers
    uncovered: UncoveredPreview | None


def uncovered(preview: LiveImage, exact: LiveImage) -> NDArray[np.bool_]:
    """Which chunks of a preview are written, and not wholly under finished chunks of the exact result."""
    covered = np.asarray(exact.finished)
    if not covered.any():
        return np.asarray(preview.finished)
    cells = zip(preview.grid.shape, preview.grid.counts, preview.grid.cell, exact.grid.cell, strict=True)
    for axis, (size, count, cell, other) in enumerate(cells):
        start = np.arange(count) * cell
        first, last = start // other, (np.minimum(start + cell, size) - 1) // other
        above = range(int((last - first).max()) + 1)
        covered = np.logical_and.reduce([covered.take(np.minimum(first + k, last), axis) for k in above])
    return np.asarray(preview.finished) & ~covered
