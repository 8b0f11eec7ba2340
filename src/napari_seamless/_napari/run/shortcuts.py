"""Keys of the viewer that work the dock while it is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari

RUN, CANCEL, DRAW = "Alt+R", "Alt+X", "Alt+D"


class Shortcuts:
    """Binds keys through napari's own keymap, and gives them back when it is closed. Keys in use are left alone."""

    def __init__(self, viewer: napari.Viewer, actions: Mapping[str, Callable[[], object]]) -> None:
        self._viewer: Any = viewer
        self._bound = [key for key in actions if self._bind(key, actions[key])]

    def close(self) -> None:
        """May be called twice."""
        for key in self._bound:
            self._viewer.bind_key(key, None)
        self._bound = []

    def _bind(self, key: str, action: Callable[[], object]) -> bool:
        if key in {str(bound) for bound in self._viewer.keymap}:
            return False

        def pressed(_viewer: object) -> None:
            action()

        self._viewer.bind_key(key, pressed)
        return True
