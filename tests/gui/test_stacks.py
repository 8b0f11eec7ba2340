"""Stacks and time series in the window: the plane that is looked at is the one that is run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from napari.utils._test_utils import read_only_mouse_event
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks
from pytestqt.qtbot import QtBot
from scipy import ndimage

import napari_seamless as ns
from docks import docked
from napari_seamless._napari.backend import lazy_backend
from napari_seamless._napari.layers.texture_patch import region_on_screen
from napari_seamless._napari.layers.tile_outlines import segments
from napari_seamless._napari.layers.view import displayed_axes
from napari_seamless._napari.measure.dock import MeasureDock
from napari_seamless._napari.measure.object_layers import centroids
from napari_seamless._napari.measure.object_layers import look_at as look_at_object
from napari_seamless._napari.run.copy_as import as_command, as_python
from napari_seamless._napari.run.dock import SeamlessDock
from napari_seamless._napari.widgets import Extent
from napari_seamless.geometry import Region
from napari_seamless.models import ClassInfo, Model

PATIENCE = 60_000
SIDE = (96, 130)
GREY = np.random.default_rng(3).integers(0, 255, (2, 3, *SIDE), np.uint8)
"""(t, z, y, x), or two channels of a volume."""


class Networks:
    """The real pipeline, which knows some networks by name: for planes and for volumes, of one and two channels."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.modules = {
            "planes": torch.nn.Conv2d(1, 1, 5, padding=2),
            "pairs": torch.nn.Conv2d(2, 1, 3, padding=1),
            "volumes": torch.nn.Conv3d(1, 1, 3, padding=1),
            "stacks of pairs": torch.nn.Conv3d(2, 1, 3, padding=1),
        }

    def load_model(self, what: Any, **options: Any) -> Any:
        return ns.load_model(self.modules.get(what, what), **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(lazy_backend(), name)


NETWORKS = Networks()


def opened(
    viewer: Any, qtbot: QtBot, network: str, data: Any, labels: tuple[str, ...], **settings: Any
) -> SeamlessDock:
    viewer.add_image(data, name="stack", axis_labels=labels, **settings)
    dock = docked(viewer, NETWORKS)
    dock.choose_model(network)
    qtbot.waitUntil(lambda: dock.poll().choice is not None, timeout=PATIENCE)
    return dock


def run(dock: SeamlessDock, qtbot: QtBot) -> Any:
    """The layer that a run makes."""
    before = dock.result_layers
    dock.run()
    qtbot.waitUntil(lambda: dock.poll().phase == "finished" and dock.result_layers != before, timeout=PATIENCE)
    (layer,) = dock.result_layers
    return layer


def expected(network: str, image: Any, **options: Any) -> Any:
    return np.asarray(ns.run(NETWORKS.load_model(network), image, scheduler="serial", **options))


def on_screen(layer: Any) -> Any:
    """What napari draws of a layer; None where it draws nothing."""
    return None if layer._slice.empty else np.asarray(layer._slice.image.raw)


def look_at(viewer: Any, *step: int) -> None:
    viewer.dims.current_step = (*step, *viewer.dims.current_step[len(step) :])


def test_each_plane_of_a_stack_has_a_result_of_its_own(make_napari_viewer, qtbot: QtBot) -> None:
    viewer = make_napari_viewer()
    dock = opened(viewer, qtbot, "planes", GREY[0], ("z", "y", "x"), scale=(4, 0.5, 0.5), translate=(10, 3, 7))
    image = viewer.layers["stack"]
    found = {}
    for z in (2, 0):
        look_at(viewer, z)
        found[z] = run(dock, qtbot)
        assert found[z].name == f"stack: planes, z {z}"
    assert found[2] in viewer.layers, "another plane's result stays"
    for z in (0, 1, 2):
        look_at(viewer, z)
        for k, layer in found.items():
            if k == z:
                np.testing.assert_allclose(on_screen(layer), expected("planes", GREY[0, z])[0], atol=1e-5)
                np.testing.assert_allclose(layer.data_to_world((0, 5, 6)), image.data_to_world((z, 5, 6)))
            else:
                assert on_screen(layer) is None, f"the result of plane {k} is shown on plane {z}"


def test_a_series_of_volumes_is_run_at_the_plane_and_time_on_screen(make_napari_viewer, qtbot: QtBot) -> None:
    viewer = make_napari_viewer()
    dock = opened(viewer, qtbot, "planes", GREY, ("t", "z", "y", "x"))
    look_at(viewer, 1, 2)
    layer = run(dock, qtbot)
    alone = expected("planes", GREY[1, 2])[0]
    np.testing.assert_allclose(on_screen(layer), alone, atol=1e-5)
    settings = dock._selection.settings(False, 2)
    assert settings.config["plane"] == {"t": 1, "z": 2}
    assert "plane={'t': 1, 'z': 2}" in as_python(settings)
    assert "--axes tzyx --plane t=1,z=2" in as_command(settings)
    said = expected("planes", viewer.layers["stack"], axes="tzyx", plane={"t": 1, "z": 2})[0]
    np.testing.assert_array_equal(said, alone)


def test_a_network_for_volumes_gets_the_whole_stack_of_a_time(make_napari_viewer, qtbot: QtBot) -> None:
    viewer = make_napari_viewer()
    dock = opened(viewer, qtbot, "volumes", GREY, ("t", "z", "y", "x"))
    look_at(viewer, 1, 0)
    layer = run(dock, qtbot)
    alone = expected("volumes", GREY[1], axes="zyx")[0]
    for z in range(3):
        look_at(viewer, 1, z)
        np.testing.assert_allclose(on_screen(layer), alone[z], atol=1e-5)
    look_at(viewer, 0, 0)
    assert on_screen(layer) is None


@pytest.mark.parametrize("labels", ["czyx", "zcyx"])
def test_a_plane_of_channels_lies_over_each_of_them(make_napari_viewer, qtbot: QtBot, labels: str) -> None:
    viewer, data = make_napari_viewer(), GREY if labels == "czyx" else GREY.swapaxes(0, 1)
    dock = opened(viewer, qtbot, "pairs", data, tuple(labels))
    z = labels.index("z")
    viewer.dims.set_current_step(z, 1)
    layer = run(dock, qtbot)
    alone = expected("pairs", GREY[:, 1])[0]
    for channel in range(2):
        viewer.dims.set_current_step(1 - z, channel)
        np.testing.assert_allclose(on_screen(layer), alone, atol=1e-5)
    viewer.dims.set_current_step(z, 2)
    assert on_screen(layer) is None


def test_colours_of_a_stack_are_run_plane_by_plane(make_napari_viewer, qtbot: QtBot) -> None:
    viewer, stack = make_napari_viewer(), np.random.default_rng(0).integers(50, 255, (3, *SIDE, 3), np.uint8)
    viewer.add_image(stack, rgb=True, name="stack")
    dock = docked(viewer, None)
    dock.choose_model("stain")
    qtbot.waitUntil(lambda: dock.poll().choice is not None, timeout=PATIENCE)
    look_at(viewer, 1)
    dock.run()
    qtbot.waitUntil(lambda: dock.poll().phase == "finished", timeout=PATIENCE)
    shown = [on_screen(layer) for layer in dock.result_layers]
    np.testing.assert_allclose(shown, expected("stain", stack[1]), atol=1e-5)


def test_an_object_on_a_plane_is_found_again_on_that_plane(make_napari_viewer) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(GREY[0], name="stack")
    labels = viewer.add_labels(np.ones((1, *SIDE), np.uint8), translate=(2, 0, 0))
    row = {"y_min": 10, "y_max": 20, "x_min": 30, "x_max": 50}
    look_at_object(viewer, labels, row)
    assert viewer.dims.current_step[0] == 2
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (14.5, 39.5))
    points = centroids(labels, {"y": np.array([14.5]), "x": np.array([39.5]), "object": np.array([1])}, [], 3.0)
    np.testing.assert_allclose(points.data_to_world(points.data[0]), (2, 14.5, 39.5))


def test_the_plane_follows_the_slider_and_a_run_of_the_view_follows_the_plane(make_napari_viewer, qtbot: QtBot) -> None:
    viewer = make_napari_viewer()
    dock = opened(viewer, qtbot, "planes", GREY[0], ("z", "y", "x"))
    about = dock.panel.image_section.about
    look_at(viewer, 1)
    qtbot.waitUntil(lambda: "runs on z 1" in about.text())
    dock.panel.extent.setValue(Extent("view"))
    dock.run()
    qtbot.waitUntil(lambda: dock.poll().phase == "following", timeout=PATIENCE)
    look_at(viewer, 2)
    qtbot.waitUntil(lambda: dock.poll().phase == "following" and dock.snapshot.plane.words == "z 2", timeout=PATIENCE)
    (layer,) = dock.result_layers
    np.testing.assert_allclose(on_screen(layer), expected("planes", GREY[0, 2])[0], atol=1e-5)
    assert [x.name for x in viewer.layers] == ["stack", "stack: planes, z 1", "stack: planes, z 2"]
    dock.press_cancel()


MIXED = np.random.default_rng(8).integers(0, 255, (2, 2, 3, *SIDE), np.uint8)
"""(t, c, z, y, x)."""
ORDERS = ["zcyx", "czyx", "zyxc", "tzcyx", "tczyx", "tzyxc", "ctzyx", "zycx"]


def arranged(labels: str, t: int = 0) -> Any:
    """`MIXED` with these axes; without t its first time point."""
    kept = MIXED if "t" in labels else MIXED[t]
    have = "tczyx" if "t" in labels else "czyx"
    return np.ascontiguousarray(kept.transpose([have.index(letter) for letter in labels]))


def at(viewer: Any, labels: str, **step: int) -> None:
    """Moves the sliders, and shows rows and columns wherever they are."""
    front = [axis for axis, letter in enumerate(labels) if letter not in "yx"]
    viewer.dims.order = (*front, labels.index("y"), labels.index("x"))
    for letter, number in step.items():
        if letter in labels:
            viewer.dims.set_current_step(labels.index(letter), number)


@pytest.mark.parametrize("labels", ORDERS)
@pytest.mark.parametrize("network", ["stacks of pairs", "pairs"])
def test_a_stack_with_channels_anywhere_has_its_result_over_it(
    make_napari_viewer, qtbot: QtBot, labels: str, network: str
) -> None:
    viewer, data = make_napari_viewer(), arranged(labels)
    step = tuple({"z": 4.0, "y": 0.5, "x": 0.25}.get(letter, 1.0) for letter in labels)
    start = tuple({"z": 7.0, "y": 3.0, "x": 5.0}.get(letter, 0.0) for letter in labels)
    dock = opened(viewer, qtbot, network, data, tuple(labels), scale=step, translate=start)
    time = 1 if "t" in labels else 0
    at(viewer, labels, t=time, z=1)
    layer, image = run(dock, qtbot), viewer.layers["stack"]
    is_flat = network == "pairs"
    alone = expected(network, MIXED[time][:, 1] if is_flat else MIXED[time], axes="cyx" if is_flat else "czyx")[0]
    corner = {"z": 1 if is_flat else 0, "t": time}
    first = [corner.get(letter, 0) for letter in labels]
    here = np.asarray(layer.data_to_world((0,) * layer.ndim))
    np.testing.assert_allclose(here, image.data_to_world(first)[-layer.ndim :])
    far = [n - 1 for n in layer.level_shapes[0]]
    there = np.asarray(layer.data_to_world(far))
    ends = [
        corner[x] if x in corner and (is_flat or x == "t") else n - 1 for x, n in zip(labels, data.shape, strict=True)
    ]
    np.testing.assert_allclose(there, image.data_to_world(ends)[-layer.ndim :])
    for z in range(3):
        for channel in range(2):
            at(viewer, labels, z=z, c=channel)
            np.testing.assert_array_equal(on_screen(image), MIXED[time, channel, z], "the source itself")
            if is_flat and z != 1:
                assert on_screen(layer) is None, f"the result of plane 1 is shown on plane {z}"
            else:
                np.testing.assert_allclose(on_screen(layer), alone if is_flat else alone[z], atol=1e-5)
    at(viewer, labels, t=1 - time, z=1)
    if "t" in labels:
        assert on_screen(layer) is None, "the result of a time point is shown on another"


def test_whoever_has_a_stack_without_labels_says_which_axis_are_channels(make_napari_viewer, qtbot: QtBot) -> None:
    viewer = make_napari_viewer()
    image = viewer.add_image(arranged("zcyx"), name="stack", scale=(4, 1, 0.5, 0.5))
    dock = docked(viewer, NETWORKS)
    dock.choose_model("stacks of pairs")
    options = dock.panel.image_section.options
    qtbot.waitUntil(lambda: dock.poll().problem is not None and len(options.questions().axes) > 1, timeout=PATIENCE)
    assert dict(options.questions().axes)["zcyx"] == "planes of channels (z c y x)"
    options._pick_axes("zcyx")
    qtbot.waitUntil(lambda: dock.poll().choice is not None, timeout=PATIENCE)
    assert "130 × 96 px × 3 planes · 2 channels · " in dock.panel.image_section.about.text().replace("\u00a0", " ")
    layer = run(dock, qtbot)
    alone = expected("stacks of pairs", MIXED[0], axes="czyx")[0]
    look_at(viewer, 2, 1)
    np.testing.assert_allclose(on_screen(layer), alone[2], atol=1e-5)
    np.testing.assert_allclose(layer.data_to_world((2, 1, 5, 6)), image.data_to_world((2, 1, 5, 6)))
    said = dock._selection.settings(False, 3)
    assert "axes='zcyx'" in as_python(said)
    np.testing.assert_array_equal(expected("stacks of pairs", image, axes="zcyx")[0], alone)


def test_axes_that_are_labelled_in_another_order_can_be_seen_in_the_list(make_napari_viewer, qtbot: QtBot) -> None:
    viewer = make_napari_viewer()
    dock = opened(viewer, qtbot, "stacks of pairs", arranged("zycx"), tuple("zycx"))
    assert ("zycx", "as it is labelled (z y c x)") in dock.panel.image_section.options.questions().axes


@pytest.mark.parametrize("network", ["stacks of pairs", "pairs"])
def test_of_channels_last_what_is_on_screen_goes_first_and_fills_in(
    make_napari_viewer, qtbot: QtBot, network: str
) -> None:
    viewer = make_napari_viewer()
    data = np.random.default_rng(1).integers(0, 255, (2, 1100, 1150, 2), np.uint8)
    dock = opened(viewer, qtbot, network, data, tuple("zyxc"), scale=(4, 0.5, 0.5, 1))
    at(viewer, "zyxc", z=1, c=1)
    viewer.scene.camera.zoom, viewer.scene.camera.center = 8, (0, 100, 150)
    half = np.asarray(viewer.canvas.size) / (2 * 8 * 0.5)
    view = dock._selection.view(dock.snapshot.prepared)
    middle = [(i.lo + i.hi) / 2 for i in view.intervals[-2:]]
    np.testing.assert_allclose(middle, (200, 300), atol=1)
    np.testing.assert_allclose(view.shape[-2:], 2 * half, atol=2)
    layer = run(dock, qtbot)
    assert layer.multiscale
    assert dock._run_view.view == view
    is_flat = network == "pairs"
    alone = expected(network, data[1] if is_flat else data, axes="yxc" if is_flat else "zyxc")[0]
    plane = alone if is_flat else alone[1]
    (top, left), (bottom, right) = layer.corner_pixels[:, [1, 2]]
    np.testing.assert_allclose(on_screen(layer), plane[top : bottom + 1, left : right + 1], atol=1e-5)
    line = segments(layer, [view], displayed_axes(viewer))
    world = (np.array([[i.lo, i.hi] for i in view.intervals[-2:]]) - 0.5) * 0.5
    np.testing.assert_allclose([line.min(0), line.max(0)], world.T[:, ::-1])
    dock._overview.go_to(40, 60)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (20, 30))


def test_all_rows_of_a_plane_of_one_level_are_on_screen(make_napari_viewer) -> None:
    layer = make_napari_viewer().add_image(np.zeros((1, *SIDE), np.uint8))
    assert region_on_screen(layer) == Region.from_shape(SIDE)


class Bright(torch.nn.Module):
    """1 where the two channels add up to more than 256, else 0; of planes and volumes."""

    def __init__(self, convolution: Any) -> None:
        super().__init__()
        self.sum = convolution(2, 1, 1, bias=False)
        torch.nn.init.ones_(self.sum.weight)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        total = self.sum(image)
        return torch.cat([torch.full_like(total, 256.5), total], 1).argmax(1).to(torch.uint8)


def bright(ndim: int) -> Model:
    convolution = torch.nn.Conv2d if ndim == 2 else torch.nn.Conv3d
    classes = (ClassInfo(0, "dark", "#000000"), ClassInfo(1, "bright", "#ffcc00"))
    return Model("bright", Bright(convolution), "Bright", channels=2, ndim=ndim, kind="labels", classes=classes)


def means_of(channels: Any) -> list[Any]:
    """By scipy on the whole array (c, [z,] y, x): the mean of each channel under each object."""
    numbers, count = ndimage.label(channels.sum(0, dtype=int) > 256)
    return [ndimage.mean(channel, numbers, range(1, count + 1)) for channel in channels]


BLOBS = np.clip(
    ndimage.gaussian_filter(np.random.default_rng(2).normal(120, 600, MIXED.shape), (0, 0, 1, 3, 3)), 0, 255
)


@pytest.mark.parametrize("labels", ["zcyx", "tczyx", "tzyxc"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_objects_of_a_plane_have_the_intensities_of_that_plane(
    make_napari_viewer, qtbot: QtBot, labels: str, ndim: int
) -> None:
    viewer, shades = make_napari_viewer(), BLOBS.astype(np.uint8)
    have, time = ("tczyx", 1) if "t" in labels else ("czyx", 0)
    data = (shades if "t" in labels else shades[0]).transpose([have.index(letter) for letter in labels])
    NETWORKS.modules["bright"] = bright(ndim)
    dock = opened(viewer, qtbot, "bright", data, tuple(labels))
    at(viewer, labels, t=time, z=2)
    layer = run(dock, qtbot)
    measuring = MeasureDock(viewer, lazy_backend())
    viewer.window.add_dock_widget(measuring, name="measure")
    panel = measuring.panel
    panel.labels.setCurrentIndex(panel.labels.findText(layer.name))
    panel.image.setCurrentIndex(panel.image.findText("stack"))
    at(viewer, labels, t=0, z=0, c=1)  # what is on screen meanwhile does not matter
    measuring.measure()
    qtbot.waitUntil(lambda: not measuring.poll().is_measuring, timeout=PATIENCE)
    found = measuring.snapshot.found
    assert found is not None, measuring.snapshot.problem
    means = means_of(shades[time, :, 2] if ndim == 2 else shades[time])
    assert len(means[0]) > 5
    for channel, mean in enumerate(means):
        np.testing.assert_allclose(found.objects[f"mean_channel_{channel}"], mean)
    measuring._look_at(0)
    objects = found.objects
    place = {letter: (objects[f"{letter}_min"][0] + objects[f"{letter}_max"][0] - 1) / 2 for letter in "zyx"[-ndim:]}
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (place["y"], place["x"]))
    assert viewer.dims.point[labels.index("z")] == pytest.approx(place.get("z", 2), abs=0.5)
    assert viewer.dims.current_step[labels.index("c")] == 1, "the channel that is looked at stays"
    if "t" in labels:
        assert viewer.dims.current_step[0] == time
    measuring._show_centroids()
    points = viewer.layers[-1]
    centre = dict(zip(labels, points.data_to_world(points.data[0]), strict=True))
    for letter in "zyx"[-ndim:]:
        assert centre[letter] == pytest.approx(objects[letter][0])


def reopened(viewer: Any, qtbot: QtBot, path: Any) -> Any:
    """The layer of a result that is opened in the dock that measures."""
    measuring, before = MeasureDock(viewer, lazy_backend()), len(viewer.layers)
    viewer.window.add_dock_widget(measuring, name="measure")
    measuring.open(path)
    qtbot.waitUntil(lambda: measuring.poll().problem is not None or len(viewer.layers) > before, timeout=PATIENCE)
    assert measuring.snapshot.problem is None
    return viewer.layers[-1]


@pytest.mark.parametrize(
    ("labels", "ndim", "is_labelled"),
    [
        *((labels, ndim, True) for labels in ("zcyx", "zyxc", "tczyx", "tzyxc") for ndim in (2, 3)),
        *((labels, 2, False) for labels in ("zcyx", "zyxc", "tzyxc")),
    ],
)
def test_a_result_that_is_opened_again_lies_where_it_was_made(
    make_napari_viewer, qtbot: QtBot, tmp_path: Any, labels: str, ndim: int, is_labelled: bool
) -> None:
    time, path, data = (1 if "t" in labels else 0), tmp_path / "bright.ome.zarr", arranged(labels)
    plane = {"z": 2} if ndim == 2 else {}
    plane |= {"t": time} if "t" in labels else {}
    made = np.asarray(ns.run(bright(ndim), data, axes=labels, plane=plane, scheduler="serial", output=path))
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((3, 40, 50), np.uint8), name="another stack")
    step = tuple({"z": 4.0, "y": 0.5, "x": 0.25}.get(letter, 1.0) for letter in labels)
    named = {"axis_labels": tuple(labels)} if is_labelled else {}
    image = viewer.add_image(data, name="stack", scale=step, translate=(3,) * len(labels), **named)
    viewer.add_image(np.zeros((2, 40, 50), np.uint8), name="on top")
    layer = reopened(viewer, qtbot, path)
    first = [{**plane}.get(letter, 0) for letter in labels]
    here = np.asarray(layer.data_to_world((0,) * layer.ndim))
    np.testing.assert_allclose(here, image.data_to_world(first)[-layer.ndim :])
    for t in range(data.shape[labels.index("t")] if "t" in labels else 1):
        for z in range(3):
            at(viewer, labels)
            viewer.dims.point = image.data_to_world([{"t": t, "z": z, "c": 1}.get(letter, 0) for letter in labels])
            if t == time and (ndim == 3 or z == 2):
                np.testing.assert_array_equal(on_screen(layer), made if ndim == 2 else made[z])
            else:
                assert on_screen(layer) is None, f"it is shown at t {t}, z {z}"


def test_a_result_of_a_plane_without_its_stack_is_shown_as_it_is(make_napari_viewer, qtbot: QtBot, tmp_path) -> None:
    path = tmp_path / "bright.ome.zarr"
    made = ns.run(bright(2), MIXED[0], axes="czyx", plane={"z": 2}, scheduler="serial", output=path)
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((2, *SIDE), np.uint8), axis_labels=("z", "y", "x"), name="has no plane 2")
    viewer.add_image(np.zeros((3, SIDE[0] + 9, SIDE[1]), np.uint8), axis_labels=("z", "y", "x"), name="is larger")
    layer = reopened(viewer, qtbot, path)
    assert layer.ndim == 2
    np.testing.assert_array_equal(on_screen(layer), np.asarray(made))


def drag(viewer: Any, shapes: Any, start: Any, end: Any) -> None:
    """Draws with the mouse, from one place in the world to another."""
    common = {"view_direction": None, "up_direction": None, "dims_displayed": list(viewer.dims.displayed)}
    for kind, place, callbacks in (
        ("mouse_press", start, mouse_press_callbacks),
        ("mouse_move", end, mouse_move_callbacks),
        ("mouse_release", end, mouse_release_callbacks),
    ):
        event = read_only_mouse_event(
            type=kind, is_dragging=kind == "mouse_move", modifiers=[], pos=np.zeros(2), position=place, **common
        )
        callbacks(shapes, event)


LARGE = (600, 1100)
"""Rows and columns in two by three chunks."""


@pytest.mark.parametrize("labels", ["zcyx", "zyxc", "tzyx", "tzyxc"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_what_is_drawn_on_a_stack_is_run_there_and_is_seen_on_every_plane(
    make_napari_viewer, qtbot: QtBot, labels: str, ndim: int
) -> None:
    viewer = make_napari_viewer()
    lengths = {"t": 2, "z": 3, "c": 2, "y": LARGE[0], "x": LARGE[1]}
    data = np.zeros([lengths[letter] for letter in labels], np.uint8)
    has_channels = "c" in labels
    network = {(2, True): "pairs", (2, False): "planes", (3, True): "stacks of pairs", (3, False): "volumes"}
    step = tuple({"z": 4.0, "y": 0.5, "x": 0.25}.get(letter, 1.0) for letter in labels)
    dock = opened(
        viewer, qtbot, network[ndim, has_channels], data, tuple(labels), scale=step, translate=(5,) * len(labels)
    )
    image = viewer.layers["stack"]
    at(viewer, labels, t=1, z=2, c=1)
    dock.panel.extent.setValue(Extent("shapes"))
    dock.draw()
    shapes = viewer.layers["where to run"]
    assert shapes.mode == "add_rectangle"
    here = {"t": 1, "z": 2, "c": 1}
    corners = [
        image.data_to_world([{**here, "y": y, "x": x}[letter] for letter in labels]) for y, x in ((20, 930), (60, 1010))
    ]
    drag(viewer, shapes, *corners)
    (where,) = dock._selection.request().roi
    np.testing.assert_allclose(where.min(0), (20.5, 930.5), atol=0.01)
    np.testing.assert_allclose(where.max(0), (60.5, 1010.5), atol=0.01)
    assert dock._selection.drawn_area() == pytest.approx(40 * 80, rel=0.01)
    layer = run(dock, qtbot)
    finished = dock._run_view.shown.image.finished
    assert np.argwhere(finished.reshape(-1, *finished.shape[-2:]).any(0)).tolist() == [[0, 1]]
    assert layer in viewer.layers
    for t in range(2):
        for z in range(3):
            for channel in range(2):
                place = {"t": t, "z": z, "c": channel, "y": 0, "x": 0}
                viewer.dims.point = image.data_to_world([place[letter] for letter in labels])
                assert shapes._data_view._displayed.tolist() == [True], f"the shape is not seen at {place}"


@pytest.mark.parametrize("labels", ["zcyx", "czyx", "zyxc", "tzyxc"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_centroids_are_seen_at_every_channel_and_on_their_plane_only(
    make_napari_viewer, qtbot: QtBot, labels: str, ndim: int
) -> None:
    viewer, data = make_napari_viewer(), arranged(labels)
    NETWORKS.modules["bright"] = bright(ndim)
    step = tuple({"z": 4.0, "y": 0.5, "x": 0.25}.get(letter, 1.0) for letter in labels)
    dock = opened(viewer, qtbot, "bright", data, tuple(labels), scale=step, translate=(5,) * len(labels))
    image = viewer.layers["stack"]
    at(viewer, labels, t=1, z=2)
    layer = run(dock, qtbot)
    objects = {
        letter: np.array([place]) for letter, place in zip("zyx"[-ndim:], (1.0, 20.0, 30.0)[-ndim:], strict=True)
    }
    points = centroids(layer, objects, [], 3.0)
    viewer.add_layer(points)
    for t in range(2):
        for z in range(3):
            for channel in range(2):
                place = {"t": t, "z": z, "c": channel, "y": 0, "x": 0}
                viewer.dims.point = image.data_to_world([place[letter] for letter in labels])
                is_there = z == (2 if ndim == 2 else 1) and ("t" not in labels or t == 1)
                assert len(points._view_data) == is_there, f"at {place}"
    world = dict(zip(labels[-points.ndim :], points.data_to_world(points.data[0]), strict=True))
    assert (world["y"], world["x"]) == pytest.approx((20 * 0.5 + 5, 30 * 0.25 + 5))
    if points.ndim == image.ndim:
        here = {"t": 1, "z": 2 if ndim == 2 else 1}
        viewer.dims.point = image.data_to_world([here.get(letter, 0) for letter in labels])
        drawn = viewer.window._qt_viewer.canvas.layer_to_visual[points].node.points_markers._data["a_size"]
        assert drawn == pytest.approx(3 * 0.25), "as large as three columns, wherever the channels are"
