"""Small widgets over frozen values: `value()`, `setValue()`, `valueChanged`. They know no viewer and no torch."""

from napari_seamless._napari.editors.budget import Budget, BudgetEditor
from napari_seamless._napari.editors.card import CardFacts, ModelCard, Swatch
from napari_seamless._napari.editors.combo import NameList
from napari_seamless._napari.editors.extent import Extent, ExtentEditor
from napari_seamless._napari.editors.fold import Fold
from napari_seamless._napari.editors.image_options import ImageOptions, ImageQuestions, ImageSetting
from napari_seamless._napari.editors.model import ModelChoice, ModelOption, ModelPicker
from napari_seamless._napari.editors.notice import Notice, NoticeLabel
from napari_seamless._napari.editors.output import OutputChoice, OutputEditor
from napari_seamless._napari.editors.passes import Passes, PassesEditor
from napari_seamless._napari.editors.remark import Remark, RemarkLabel
from napari_seamless._napari.editors.source import SourceChoice, SourceOption, SourcePicker
from napari_seamless._napari.editors.tile import TileEditor, TileSetting

__all__ = [
    "Budget",
    "BudgetEditor",
    "CardFacts",
    "Extent",
    "ExtentEditor",
    "Fold",
    "ImageOptions",
    "ImageQuestions",
    "ImageSetting",
    "ModelCard",
    "ModelChoice",
    "ModelOption",
    "ModelPicker",
    "NameList",
    "Notice",
    "NoticeLabel",
    "OutputChoice",
    "OutputEditor",
    "Passes",
    "PassesEditor",
    "Remark",
    "RemarkLabel",
    "SourceChoice",
    "SourceOption",
    "SourcePicker",
    "Swatch",
    "TileEditor",
    "TileSetting",
]
