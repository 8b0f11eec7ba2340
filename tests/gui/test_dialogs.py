"""Questions and forms alone: what is asked, what an answer gives, and that nobody's code runs by a slip."""

from __future__ import annotations

import json
from inspect import signature
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QWidget

import napari_seamless as ns
from napari_seamless._napari.causes import details_of
from napari_seamless._napari.layers.readings import labelled_axes
from napari_seamless._napari.run.network_loader import free_name
from napari_seamless._napari.widgets import (
    CardContent,
    ImageOptionsEditor,
    ImageQuestions,
    ImageSetting,
    ModelCard,
    ModelOption,
    ModelPicker,
    Swatch,
)
from napari_seamless._napari.widgets.dialogs import (
    ArchitectureDialog,
    ArchitectureWish,
    ExportDialog,
    ExportWish,
    PixelSizeDialog,
    TrustDialog,
)
from napari_seamless._napari.widgets.dialogs.arguments import ArgumentsForm
from napari_seamless._napari.widgets.image_options import ChannelMapping
from napari_seamless.runs.export_options import EXPORT_OPTIONS


@pytest.fixture
def window(qtbot: QtBot) -> QWidget:
    """A dialog's parent: dialogs delete themselves when they are closed."""
    window = QWidget()
    qtbot.addWidget(window)
    return window


def answers(dialog: TrustDialog) -> list[bool]:
    told: list[bool] = []
    dialog.answered.connect(told.append)
    return told


def test_the_question_about_trust_names_the_file_its_digest_and_what_would_run(window) -> None:
    dialog = TrustDialog("net.pt", "0123456789abcdef" * 4, "the Python objects in it", parent=window)
    assert "net.pt  (sha256 0123456789ab…)\nwould run the Python objects in it." in dialog.question.text()


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Escape])
def test_neither_return_nor_escape_lets_code_run(qtbot: QtBot, window, key) -> None:
    dialog = TrustDialog("net.pt", "00", "code", parent=window)
    told = answers(dialog)
    dialog.open()
    qtbot.waitExposed(dialog)
    qtbot.keyClick(dialog, key)
    assert told == [False]


def test_only_the_button_that_says_yes_is_a_yes(window) -> None:
    dialog = TrustDialog("net.pt", "00", "code", parent=window)
    told = answers(dialog)
    dialog.open()
    dialog.yes.click()
    assert told == [True]


def test_no_pixel_size_is_filled_in_and_none_is_taken_for_nothing(window) -> None:
    dialog = PixelSizeDialog("phase", parent=window)
    told: list[float] = []
    dialog.answered.connect(told.append)
    ok = dialog.buttons.button(dialog.buttons.StandardButton.Ok)
    assert dialog.amount.text() == "not known"
    assert not ok.isEnabled()
    dialog.amount.setValue(0.25)
    ok.click()
    assert told == [0.25]


def named_dialog(window: QWidget) -> ArchitectureDialog:
    dialog = ArchitectureDialog("mine.pt", ["unet", "monai:BasicUNet"], parent=window)
    dialog.architecture.setText("unet")
    dialog.setParameters("unet", [("outputs", None), ("depth", "4")])
    return dialog


def test_the_form_of_arguments_and_their_json_are_two_views_of_one(window) -> None:
    dialog = named_dialog(window)
    lines = dialog.form._lines
    assert (lines["outputs"].placeholderText(), lines["depth"].placeholderText()) == ("must be given", "4")
    lines["outputs"].setText("2")
    lines["outputs"].textEdited.emit("2")
    assert json.loads(dialog.arguments.text()) == {"outputs": 2}
    pasted = '{"outputs": 3, "mode": "bilinear", "depth": 5}'
    dialog.arguments.setText(pasted)
    dialog.arguments.textEdited.emit(pasted)
    assert (lines["outputs"].text(), lines["depth"].text()) == ("3", "5")
    assert dialog.form.value()["mode"] == "bilinear"


@pytest.mark.parametrize(
    ("typed", "value"),
    [("[16, 32]", [16, 32]), ("(16, 32)", [16, 32]), ("True", True), ("None", None), ("relu", "relu"), ("1e-3", 1e-3)],
)
def test_values_are_understood_as_they_are_typed(qtbot: QtBot, typed: str, value: object) -> None:
    form = ArgumentsForm()
    qtbot.addWidget(form)
    form.setParameters([("it", None)])
    form._lines["it"].setText(typed)
    form._lines["it"].textEdited.emit(typed)
    assert form.value() == {"it": value}


def test_what_is_no_json_is_told_in_the_dialog_and_not_tried(window) -> None:
    dialog = named_dialog(window)
    tried: list[ArchitectureWish] = []
    dialog.tried.connect(tried.append)
    dialog.arguments.setText('{"outputs": ')
    dialog.load.click()
    assert not tried
    assert "Arguments are a JSON object" in dialog.refusal.toPlainText()
    dialog.arguments.setText('{"outputs": 2}')
    dialog.keep.setChecked(True)
    dialog.load.click()
    assert tried == [ArchitectureWish("unet", '{"outputs": 2}', keep=True)]
    assert not dialog.load.isEnabled()
    dialog.show_refusal("the weights differ")
    assert dialog.load.isEnabled()


def test_architectures_are_completed_from_any_part_of_their_name(window) -> None:
    dialog = ArchitectureDialog("mine.pt", ["unet", "monai:BasicUNet"], parent=window)
    completer = dialog.architecture.completer()
    completer.setCompletionPrefix("basicu")
    assert completer.currentCompletion() == "monai:BasicUNet"


def test_a_card_shows_classes_at_once_and_the_rest_when_it_is_unfolded(qtbot: QtBot) -> None:
    card = ModelCard()
    qtbot.addWidget(card)
    assert card.isHidden()
    rows = (("Licence", "CC0-1.0"),)
    card.setValue(CardContent("Nuclei", "Finds nuclei", rows, (Swatch("<b>cell</b>", "#ff0000"),), ("mud",)))
    assert "&lt;b&gt;cell&lt;/b&gt;" in card._classes.text(), "a name from a file is text, not markup"
    assert "#ff0000" in card._classes.text()
    assert card._body.isHidden()
    card._fold.click()
    assert not card._body.isHidden()
    texts = [label.text() for label in card._body.findChildren(type(card._classes))]
    assert {"Finds nuclei", "CC0-1.0", "• mud"} <= set(texts)


def test_channels_that_are_not_chosen_are_asked_for_one_by_one(qtbot: QtBot) -> None:
    options = ImageOptionsEditor()
    qtbot.addWidget(options)
    told: list[ImageSetting] = []
    options.valueChanged.connect(told.append)
    assert options.isHidden()
    options.setQuestions(ImageQuestions(ChannelMapping(("phase", "dapi"), ("red", "green"), (None, None))))
    assert not options.isHidden()
    first, second = options._channels
    assert first.currentText() == "choose…"
    for combo, number in ((first, 2), (second, 1)):
        combo.setCurrentIndex(number)
        combo.activated.emit(number)
    assert [setting.channels for setting in told] == [(1, None), (1, 0)]


def test_a_scene_is_asked_for_where_a_file_holds_several(qtbot: QtBot) -> None:
    options = ImageOptionsEditor()
    qtbot.addWidget(options)
    told: list[str] = []
    options.sceneChosen.connect(told.append)
    options.setQuestions(ImageQuestions(scenes=("left", "right"), scene="left"))
    (combo,) = [c for c in options.findChildren(type(ModelPicker()._combo)) if c.accessibleName() == "Scene"]
    for number in (0, 1):
        combo.setCurrentIndex(number)
        combo.activated.emit(number)
    assert told == ["right"]


def test_a_list_of_networks_keeps_its_choice_when_one_is_added(qtbot: QtBot) -> None:
    picker = ModelPicker([ModelOption("nuclei", "Cell nuclei")])
    qtbot.addWidget(picker)
    told: list[object] = []
    picker.valueChanged.connect(told.append)
    picker.add(ModelOption("/data/net.pt as unet {}", "unet with the weights of net.pt", "net.pt (unet)"))
    picker.setOptions([ModelOption("nuclei", "Cell nuclei"), ModelOption("stain", "Stains")])
    assert picker.value().name == "nuclei"
    assert [option.shown for option in picker.options()] == ["nuclei", "stain", "net.pt (unet)"]


def test_axis_labels_that_mean_something_are_believed() -> None:
    assert labelled_axes(("channel", "y", "x")) == "cyx"
    assert labelled_axes(("axis -3", "axis -2", "axis -1")) is None


def test_a_name_for_the_library_is_plain_and_free() -> None:
    assert free_name("mine", ["nuclei"]) == "mine"
    assert free_name("Mein Netz (2)", ["Mein-Netz-2"]) == "Mein-Netz-2-2"
    assert free_name("..", []) == "model"


def test_details_begin_with_the_chain_of_causes() -> None:
    try:
        try:
            raise KeyError("bytes")
        except KeyError as cause:
            raise ValueError("the file is damaged") from cause
    except ValueError as error:
        lines = details_of(error).splitlines()
    assert lines[:2] == ["ValueError: the file is damaged", "because of: KeyError: 'bytes'"]
    assert any(line.startswith("Traceback") for line in lines)


def test_an_export_says_what_is_saved_and_where(window: QWidget) -> None:
    dialog = ExportDialog(window)
    wanted: list[ExportWish] = []
    dialog.wanted.connect(wanted.append)
    dialog.path.value = "/out/cells.txt"
    dialog.save.click()
    assert "ends in .ome.zarr, .ome.tif or .geojson" in dialog.form.problem.value().sentence
    dialog.path.value = "/out/cells.geojson"
    dialog.form.setValue({"roi": "computed", "level": 1})
    rows = dialog.findChildren(QComboBox)[0]
    assert [rows.itemText(k) for k in range(rows.count())] == [
        "what was asked of the run",
        "all that was computed",
        "from a file…",
    ]
    dialog.save.click()
    assert wanted == [ExportWish(Path("/out/cells.geojson"), {"roi": "computed", "level": 1})]


def test_the_form_of_an_export_has_every_option_of_the_function() -> None:
    names = {"what", "path", "on_progress", "kind", "classes"}
    names.add("output_image")  # says which of several images a path means; the window exports one that is open
    assert signature(ns.export).parameters.keys() - names == EXPORT_OPTIONS.keys()
