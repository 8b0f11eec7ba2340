"""Problems as napari's own notifications: one sentence, and the details on demand. GUI thread."""

from __future__ import annotations

from typing import Any

from napari.utils.notifications import Notification, NotificationSeverity, notification_manager

from napari_seamless._napari.widgets.dialogs.details import DetailsDialog
from napari_seamless._napari.widgets.notice import Notice


class ProblemNotification(Notification):  # type: ignore[misc]
    """A notification that says where it comes from."""

    @property
    def source(self) -> str:
        return "napari-seamless"


def notify(notice: Notice) -> None:
    """Shows a red notification, with a button that opens the details."""

    def details(shown: Any) -> None:
        DetailsDialog(notice.sentence, notice.details, shown.parent()).open()

    actions = (("Details…", details),) if notice.details else ()
    notification_manager.dispatch(ProblemNotification(notice.sentence, NotificationSeverity.ERROR, actions))
