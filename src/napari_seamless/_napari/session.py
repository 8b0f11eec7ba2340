"""What a dock holds that is not a widget, so that it can be closed when the widget is already gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from napari_seamless._napari.activity import ActivityBar
from napari_seamless._napari.controller import Controller
from napari_seamless._napari.layers import ResultLayers
from napari_seamless._napari.opener import Opener
from napari_seamless._napari.outlines import TileOutlines
from napari_seamless._napari.preview import Preview
from napari_seamless._napari.view import ViewWatch


@dataclass
class Session:
    """The run, its layers, its bar in the activity dock, and what must be disconnected. GUI thread."""

    controller: Controller
    opener: Opener
    watch: ViewWatch
    activity: ActivityBar | None = None
    activity_name: str | None = None
    shown: ResultLayers | None = None
    preview: Preview | None = None
    outlines: TileOutlines | None = None
    disconnect: list[Callable[[], object]] = field(default_factory=list)
    is_open: bool = True

    def close(self, _object: object = None) -> None:
        """Stops the run and lets go of the viewer. May be called twice."""
        if not self.is_open:
            return
        self.is_open = False
        self.controller.close()
        self.opener.close()
        self.watch.close()
        self.end_activity()
        if self.outlines is not None:
            self.outlines.close()
        self.shown = self.preview = None
        for undo in self.disconnect:
            undo()

    def end_activity(self) -> None:
        self.activity_name = None
        if self.activity is not None:
            self.activity.close()
            self.activity = None
