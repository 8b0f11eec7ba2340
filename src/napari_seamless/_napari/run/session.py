"""What a dock holds that is not a widget, so that it can be closed when the widget is already gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from napari_seamless._napari.layers.view import ViewWatch
from napari_seamless._napari.run.controller import Controller
from napari_seamless._napari.run.image_opener import ImageOpener
from napari_seamless._napari.run.run_view import RunView


@dataclass
class Session:
    """The run, what is shown of it, and what must be disconnected. GUI thread."""

    controller: Controller
    opener: ImageOpener
    watch: ViewWatch
    stage: RunView
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
        self.stage.close()
        for undo in self.disconnect:
            undo()
