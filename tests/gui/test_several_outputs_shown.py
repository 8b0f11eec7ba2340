"""A network of several outputs in the window: each is there as layers, which fill while the run goes on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from napari.layers import Image, Labels

from gui_fakes import FakeRun
from napari_seamless._napari.layers.axes import StackPlane
from napari_seamless._napari.run.object_trial import ObjectTrial
from napari_seamless._napari.run.run_view import RunView
from napari_seamless._napari.run.state import Started
from napari_seamless.geometry import Region
from napari_seamless.runs.existing_output import existing_output_at
from napari_seamless.store import JointStore, StoreSpec, create_store
from napari_seamless.store.joint_store import ChannelSpan
from napari_seamless.store.open_or_create import resume_or_create_images

SHAPE = (600, 800)
TOP = Region.of((0, 512), (0, 512))
UINT8, FLOAT = np.dtype(np.uint8), np.dtype(np.float32)
SPECS = {
    "seg": StoreSpec(SHAPE, None, UINT8, "labels", "source level 0", "program"),
    "scores": StoreSpec(SHAPE, 2, FLOAT, "image", "source level 0", "program"),
}
SOURCE = SimpleNamespace(info=SimpleNamespace(identity="source"))
SPANS = (ChannelSpan(0, 1, UINT8), ChannelSpan(1, 3, FLOAT))
PIXELS = np.random.default_rng(0).integers(1, 9, (3, *TOP.shape)).astype(np.float32)


@pytest.fixture
def source(viewer: Any) -> Image:
    layer = viewer.add_image(np.zeros(SHAPE, np.uint8), name="tissue", scale=(0.5, 0.5))
    assert isinstance(layer, Image)
    return layer


def joint(path: Path | None = None) -> JointStore:
    """A result of two outputs, of which one tile is made."""
    if path is None:
        images, folder = {name: create_store(None, spec) for name, spec in SPECS.items()}, None
    else:
        images, folder = resume_or_create_images(path, SPECS)
    return JointStore.over(images, SPANS, FLOAT, folder)


def prepared(**more: Any) -> Any:
    model = SimpleNamespace(postprocess=None)
    return SimpleNamespace(scale=(1.0, 1.0), offset=(0.0, 0.0), model=model, **more)


def begun(viewer: Any, source: Image, store: JointStore, path: Path) -> tuple[RunView, FakeRun]:
    run: Any = FakeRun(store)
    view = RunView(viewer, Mock(spec=ObjectTrial))
    view.begin(Started(run, prepared(), path, None, plane=StackPlane()), source, "tissue: two")
    return view, run


def shown(layer: Any) -> np.ndarray:
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)[TOP.slices()]


def test_every_output_fills_while_the_run_goes_on(viewer: Any, source: Image, tmp_path: Path) -> None:
    store = joint()
    view, _ = begun(viewer, source, store, tmp_path / "o")
    labels, *scores = view.layers
    assert [layer.name for layer in view.layers] == [
        "tissue: two, seg",
        "tissue: two, scores: channel 0",
        "tissue: two, scores: channel 1",
    ]
    assert isinstance(labels, Labels)
    assert viewer.layers[-1] is labels, "the first output lies on top"
    store.write(TOP, PIXELS)
    store.commit(TOP)
    view.tick()
    np.testing.assert_array_equal(np.stack([shown(layer) for layer in (labels, *scores)]), PIXELS)
    source.translate = (30, 40)
    assert all(np.allclose(layer.data_to_world((0, 0)), (30, 40)) for layer in view.layers)


def test_only_when_no_output_is_shown_any_more_the_run_is_not_wanted(
    viewer: Any, source: Image, tmp_path: Path
) -> None:
    view, _ = begun(viewer, source, joint(), tmp_path / "o")
    labels, first, second = view.layers
    assert not view.drop(first), "the classes are still there"
    assert view.layers == [labels]
    assert not view.drop(second), "it was let go of with the other channel"
    assert view.drop(labels)
    assert view.shown is None


def test_every_output_has_a_preview_below_it(viewer: Any, source: Image, tmp_path: Path) -> None:
    view, run = begun(viewer, source, joint(), tmp_path / "o")
    first = joint()
    first.write(TOP, PIXELS)
    first.commit(TOP)
    run.preview = FakeRun(first)  # type: ignore[arg-type]
    assert view.look_at_preview()
    below = [viewer.layers[viewer.layers.index(layer) - 1] for layer in (view.layers[0], view.layers[1])]
    assert all("preview" in layer.name for layer in below)
    np.testing.assert_array_equal(shown(below[0]), PIXELS[0])
    view.end_preview()
    assert not any("preview" in layer.name for layer in viewer.layers)


def test_all_outputs_of_an_earlier_run_are_shown(viewer: Any, source: Image, tmp_path: Path) -> None:
    path = tmp_path / "o.ome.zarr"
    store = joint(path)
    store.write(TOP, PIXELS)
    store.commit(TOP)
    store.close()
    store.let_go()
    asked = prepared(output_shape=SHAPE, program_hash="program", level=0, source=SOURCE)
    found = existing_output_at(path, asked)
    assert found is not None
    view = RunView(viewer, Mock(spec=ObjectTrial))
    view.show_found(found, asked, source, "tissue: two", StackPlane())
    kinds = {layer.name.partition(", ")[2]: type(layer) for layer in viewer.layers if "two" in layer.name}
    assert kinds == {"seg": Labels, "scores: channel 0": Image, "scores: channel 1": Image}
    np.testing.assert_array_equal(shown(viewer.layers[-1]), PIXELS[0])
    count = len(viewer.layers)
    view.show_found(found, asked, source, "tissue: two", StackPlane())
    assert len(viewer.layers) == count, "they are not put there twice"
