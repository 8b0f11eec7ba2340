"""The editors alone: what is set comes back, and one change is told once."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QComboBox

from napari_seamless._napari.widgets import (
    Budget,
    BudgetEditor,
    Extent,
    ExtentEditor,
    ModelChoice,
    ModelOption,
    ModelPicker,
    Notice,
    NoticeLabel,
    OptionsForm,
    OutputChoice,
    OutputEditor,
    SourceChoice,
    SourceOption,
    SourcePicker,
    TileEditor,
    TileSetting,
)
from napari_seamless._napari.widgets.dialogs import DetailsDialog
from napari_seamless.runs.config import OPTIONS

MODELS = (ModelOption("nuclei", "Cell nuclei"), ModelOption("stain", "Stains apart"))
TILES = ((256, 100_000_000), (512, 400_000_000), (1024, 1_600_000_000))


def model_picker() -> ModelPicker:
    return ModelPicker(MODELS)


def source_picker() -> SourcePicker:
    picker = SourcePicker()
    picker.setOptions([SourceOption("a", "one"), SourceOption("b", "two")])
    return picker


def options_form() -> OptionsForm:
    return OptionsForm([OPTIONS["statistics"], OPTIONS["keep"]], {"keep": {"disk": "on disk"}})


def tile_editor() -> TileEditor:
    editor = TileEditor()
    editor.setChoices(TILES, 512, 1_000_000_000)
    return editor


ROUND_TRIPS = [
    pytest.param(BudgetEditor, Budget(750, "MB"), id="budget"),
    pytest.param(ExtentEditor, Extent("view"), id="extent"),
    pytest.param(options_form, {"statistics": "tissue", "keep": "disk"}, id="options"),
    pytest.param(OutputEditor, OutputChoice(Path("/data/out.ome.zarr")), id="output"),
    pytest.param(NoticeLabel, Notice("It does not fit.", "Traceback"), id="notice"),
    pytest.param(model_picker, ModelChoice("stain"), id="model"),
    pytest.param(source_picker, SourceChoice("b"), id="source"),
    pytest.param(tile_editor, TileSetting(256, follows_budget=False), id="tile"),
]


@pytest.mark.parametrize(("make", "value"), ROUND_TRIPS)
def test_what_is_set_comes_back_and_is_told_once(qtbot: QtBot, make, value) -> None:
    editor = make()
    qtbot.addWidget(editor)
    told: list[object] = []
    editor.valueChanged.connect(told.append)
    editor.setValue(value)
    editor.setValue(value)
    assert editor.value() == value
    assert told == [value]


def test_a_form_has_a_row_for_each_option_with_its_help_and_the_words_for_its_choices(qtbot: QtBot) -> None:
    form = options_form()
    qtbot.addWidget(form)
    statistics, keep = form.findChildren(QComboBox)
    assert [keep.itemText(row) for row in range(keep.count())] == ["auto", "recompute", "device", "host", "on disk"]
    assert "whole image" in statistics.toolTip()
    keep.setCurrentIndex(4)
    assert form.value() == {"keep": "disk"}
    form.setValue({})
    assert keep.currentIndex() == 0
    with pytest.raises(KeyError, match="budget"):
        form.setValue({"budget": 1})


def test_the_budget_is_the_same_on_the_slider_and_as_a_number(qtbot: QtBot) -> None:
    editor = BudgetEditor(Budget(1.5, "GB"))
    qtbot.addWidget(editor)
    editor.setMost(16 * 10**9)
    editor.slider.setValue(editor.slider.maximum())
    assert editor.value() == Budget(16, "GB")
    assert editor._amount.value() == 16
    editor._amount.setValue(0.5)
    assert editor.value() == Budget(500, "MB")
    assert 0 < editor.slider.value() < editor.slider.maximum()


def test_theslider_takes_the_tile_out_of_the_budgets_hands(qtbot: QtBot) -> None:
    editor = tile_editor()
    qtbot.addWidget(editor)
    editor.slider.setValue(0)
    assert editor.value() == TileSetting(256, follows_budget=False)
    editor.setChoices(TILES, 1024, 2_000_000_000)
    assert editor.value().tile == 256


def test_ticking_follow_budget_gives_the_tile_back_to_the_budget(qtbot: QtBot) -> None:
    editor = tile_editor()
    qtbot.addWidget(editor)
    editor.slider.setValue(0)
    editor._follow.click()
    assert editor.value() == TileSetting(512, follows_budget=True)


def test_a_tile_over_the_budget_says_so(qtbot: QtBot) -> None:
    editor = tile_editor()
    qtbot.addWidget(editor)
    editor.slider.setValue(2)
    assert editor._text.text() == "1024 px, 1.6 GB: over budget"


def test_an_unknown_model_name_is_taken_for_a_file_of_weights(qtbot: QtBot) -> None:
    picker = model_picker()
    qtbot.addWidget(picker)
    picker.setValue(ModelChoice("/data/mine.safetensors"))
    assert picker.value() == ModelChoice("/data/mine.safetensors")
    assert picker.description() == "Weights from mine.safetensors"


def test_the_chosen_image_stays_chosen_when_others_come_and_go(qtbot: QtBot) -> None:
    picker = source_picker()
    qtbot.addWidget(picker)
    picker.setValue(SourceChoice("b"))
    picker.setOptions([SourceOption("c", "three"), SourceOption("b", "renamed")])
    assert picker.value() == SourceChoice("b")
    picker.setOptions([SourceOption("c", "three")])
    assert picker.value() == SourceChoice("c")


def test_a_notice_takes_room_only_when_there_is_one(qtbot: QtBot) -> None:
    label = NoticeLabel()
    qtbot.addWidget(label)
    assert label.isHidden()
    label.setValue(Notice("It does not fit.", "Traceback"))
    assert not label.isHidden()
    label.setValue(None)
    assert label.isHidden()


def test_the_details_of_a_notice_come_in_a_window_and_can_be_copied(qtbot: QtBot) -> None:
    label = NoticeLabel()
    qtbot.addWidget(label)
    label.setValue(Notice("It does not fit.", "ValueError: 3\nTraceback"))
    label._more.click()
    (dialog,) = label.findChildren(DetailsDialog)
    dialog.copy.click()
    assert QGuiApplication.clipboard().text() == "ValueError: 3\nTraceback"
    dialog.reject()


def test_a_button_of_a_notice_names_what_it_does(qtbot: QtBot) -> None:
    label = NoticeLabel()
    qtbot.addWidget(label)
    told: list[str] = []
    label.actionPressed.connect(told.append)
    label.setValue(Notice("How large is a pixel?", action="Set pixel size…"))
    label._action.click()
    assert told == ["Set pixel size…"]
