"""The run in napari's activity dock, where it can be cancelled too."""

from __future__ import annotations

from napari.utils import cancelable_progress

from napari_seamless._napari.widgets.wording import in_passes
from napari_seamless.interfaces import Progress

STEPS = 1000


class ActivityBar:
    """One bar for one run. GUI thread."""

    def __init__(self, description: str) -> None:
        self._bar = cancelable_progress(total=STEPS, desc=description)
        self._name = self._words = description
        self._is_open = True

    @property
    def is_cancelled(self) -> bool:
        """Whether the user pressed Cancel in the activity dock."""
        return bool(self._bar.is_canceled)

    def show(self, progress: Progress) -> None:
        if not self._is_open:
            return
        words = f"{self._name}: {in_passes(progress)}" if progress.passes > 1 else self._name
        if words != self._words:
            self._words = words
            self._bar.set_description(words)
        done = int(progress.fraction * STEPS)
        if done > self._bar.n:
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Takes the bar away. May be called twice."""
        if self._is_open:
            self._is_open = False
            self._bar.close()
