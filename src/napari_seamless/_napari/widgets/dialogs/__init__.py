"""Questions to the user: each a window of its own that never blocks, and knows neither the viewer nor the library."""

from napari_seamless._napari.widgets.dialogs.architecture import ArchitectureDialog, ArchitectureWish
from napari_seamless._napari.widgets.dialogs.details import DetailsDialog
from napari_seamless._napari.widgets.dialogs.export import ExportDialog, ExportWish
from napari_seamless._napari.widgets.dialogs.pixel_size import PixelSizeDialog
from napari_seamless._napari.widgets.dialogs.trust import TrustDialog

__all__ = [
    "ArchitectureDialog",
    "ArchitectureWish",
    "DetailsDialog",
    "ExportDialog",
    "ExportWish",
    "PixelSizeDialog",
    "TrustDialog",
]
