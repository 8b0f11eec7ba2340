"""What all docks have in common: a viewer, background work, a timer, a style, and an end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_seamless._napari._compat import unwrapped
from napari_seamless._napari.backend import Backend, lazy_backend
from napari_seamless._napari.background import BackgroundJobs
from napari_seamless._napari.style import sheet

if TYPE_CHECKING:
    import napari


class Cleanup:
    """What is to be done when a dock closes, in that order. It outlives the widget, which may be gone by then."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []
        self.is_open = True

    def add(self, *steps: Callable[[], object]) -> None:
        self._steps += steps

    def close(self, _object: object = None) -> None:
        """May be called twice."""
        if self.is_open:
            self.is_open = False
            for step in self._steps:
                step()


class Dock(QWidget):
    """A widget in a dock of a viewer. `tick` is called by its one timer; no other thread touches Qt or napari.

    napari closes plugins by taking their widget out of its dock: then, or when it is destroyed, `_cleanup` is done, and
    the background jobs are told to end.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, backend: Backend | None = None) -> None:
        super().__init__()
        self._viewer: Any = unwrapped(napari_viewer)
        self._backend: Backend = lazy_backend() if backend is None else backend
        self._jobs = BackgroundJobs(self.report)
        self._cleanup = Cleanup()
        self._was_docked = False
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.tick)

    def report(self, error: BaseException) -> None:
        """Shows an error next to the field that it is about. GUI thread."""
        raise NotImplementedError

    def tick(self) -> None:
        """Called by the timer."""
        raise NotImplementedError

    def undocked(self) -> None:
        """Called once, before the cleanup, while the viewer is still there."""

    def event(self, event: QEvent | None) -> bool:
        """Notices that napari has taken the widget out of its dock."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._was_docked = True
            elif self._was_docked:
                self._timer.stop()
                self.undocked()
                self._cleanup.close()
                self.deleteLater()
        return super().event(event)

    def _start(self, face: QWidget, tick_ms: int) -> None:
        """Shows `face`, in the style of the viewer's theme, and starts the timer.

        Once, and after the cleanup of what uses the background jobs was added: they are closed after it.
        """
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(face)
        self._restyle()
        self._listen(self._viewer.events.theme, self._restyle)
        self._cleanup.add(self._jobs.close)
        self.destroyed.connect(self._cleanup.close)
        self._timer.setInterval(tick_ms)
        self._timer.start()

    def _listen(self, emitter: Any, slot: Callable[..., object]) -> None:
        """Connects to one of napari's events, until the dock closes."""
        emitter.connect(slot)
        self._cleanup.add(partial(emitter.disconnect, slot))

    def _listen_to_layers(self, listed: Callable[..., object], removed: Callable[..., object] | None = None) -> None:
        """Calls `listed` whenever the list of layers changes; `removed`, if given, when one of them is gone."""
        layers = self._viewer.layers.events
        self._listen(layers.inserted, listed)
        self._listen(layers.removed, listed if removed is None else removed)
        self._listen(layers.reordered, listed)

    def _restyle(self, _event: object = None) -> None:
        self.setStyleSheet(sheet(str(self._viewer.theme)))
