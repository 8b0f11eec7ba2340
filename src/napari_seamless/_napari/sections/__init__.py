"""The parts of the dock, one under the other: each is a heading, its editors, and what there is to say about them."""

from napari_seamless._napari.sections.advanced import AdvancedSection
from napari_seamless._napari.sections.budget import BudgetSection
from napari_seamless._napari.sections.image import ImageSection
from napari_seamless._napari.sections.model import ModelSection
from napari_seamless._napari.sections.progress import ProgressSection
from napari_seamless._napari.sections.section import Section
from napari_seamless._napari.sections.where import WhereSection

__all__ = [
    "AdvancedSection",
    "BudgetSection",
    "ImageSection",
    "ModelSection",
    "ProgressSection",
    "Section",
    "WhereSection",
]
