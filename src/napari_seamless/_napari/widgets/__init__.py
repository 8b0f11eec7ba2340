"""Small widgets over frozen values: `value()`, `setValue()`, `valueChanged`. They know no viewer and no torch."""

from napari_seamless._napari.widgets.budget import Budget, BudgetEditor
from napari_seamless._napari.widgets.card import CardContent, ModelCard, Swatch
from napari_seamless._napari.widgets.combo import NameList
from napari_seamless._napari.widgets.extent import Extent, ExtentEditor
from napari_seamless._napari.widgets.fold import Fold
from napari_seamless._napari.widgets.image_options import ImageOptionsEditor, ImageQuestions, ImageSetting
from napari_seamless._napari.widgets.model import ModelChoice, ModelOption, ModelPicker
from napari_seamless._napari.widgets.notice import Notice, NoticeLabel
from napari_seamless._napari.widgets.options_form import OptionsForm
from napari_seamless._napari.widgets.output import OutputChoice, OutputEditor
from napari_seamless._napari.widgets.source import SourceChoice, SourceOption, SourcePicker
from napari_seamless._napari.widgets.status_label import StatusLabel, StatusMessage
from napari_seamless._napari.widgets.tile import TileEditor, TileSetting

__all__ = [
    "Budget",
    "BudgetEditor",
    "CardContent",
    "Extent",
    "ExtentEditor",
    "Fold",
    "ImageOptionsEditor",
    "ImageQuestions",
    "ImageSetting",
    "ModelCard",
    "ModelChoice",
    "ModelOption",
    "ModelPicker",
    "NameList",
    "Notice",
    "NoticeLabel",
    "OptionsForm",
    "OutputChoice",
    "OutputEditor",
    "SourceChoice",
    "SourceOption",
    "SourcePicker",
    "StatusLabel",
    "StatusMessage",
    "Swatch",
    "TileEditor",
    "TileSetting",
]
