"""A sign on the canvas itself, where nobody can overlook it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.components.overlays import TextOverlay

if TYPE_CHECKING:
    import napari

KEY = "napari_seamless_preview"


class Badge:
    """An overlay of its own, so that the user's text overlay stays as it is. GUI thread."""

    def __init__(self, viewer: napari.Viewer, text: str) -> None:
        self._overlays = viewer.canvas.overlays
        self._overlay = TextOverlay(
            text=text,
            position="top_left",  # so that the first word stays on the narrowest canvas
            font_size=9,
            color="black",
            box=True,
            box_color="#ffc233",
        )
        self._overlays[KEY] = self._overlay

    @property
    def is_shown(self) -> bool:
        return bool(self._overlay.visible)

    def show(self, visible: bool) -> None:
        if visible != self.is_shown:
            self._overlay.visible = visible

    def close(self) -> None:
        """Takes it off the canvas. May be called twice."""
        if self._overlays.get(KEY) is self._overlay:
            del self._overlays[KEY]
