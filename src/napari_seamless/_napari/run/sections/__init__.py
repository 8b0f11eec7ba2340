"""The parts of the dock, one under the other: each is a heading, its editors, and what there is to say about them."""

from napari_seamless._napari.run.sections.advanced import AdvancedSection
from napari_seamless._napari.run.sections.budget import BudgetSection
from napari_seamless._napari.run.sections.image import ImageSection
from napari_seamless._napari.run.sections.model import ModelSection
from napari_seamless._napari.run.sections.progress import ProgressSection
from napari_seamless._napari.run.sections.roi import RoiSection
from napari_seamless._napari.run.sections.section import Section

__all__ = [
    "AdvancedSection",
    "BudgetSection",
    "ImageSection",
    "ModelSection",
    "ProgressSection",
    "RoiSection",
    "Section",
]
