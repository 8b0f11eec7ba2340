"""In the window, too, a result shows what was asked for; what its chunks hold beyond that is hidden."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from napari_seamless._napari.layers.asked_outlines import show_asked
from napari_seamless._napari.layers.live_layers import ResultLayers
from napari_seamless.geometry import Region
from napari_seamless.runs.annotations import Annotation
from napari_seamless.runs.asked_roi import Asked, add_asked
from napari_seamless.runs.roi import roi_of
from napari_seamless.store import Store, StoreSpec, create_store

napari = pytest.importorskip("napari")
SHAPE = (1300, 1400)
BOX = ((100.0, 500.0), (200.0, 900.0))


@pytest.fixture
def viewer() -> Iterator[object]:
    shown = napari.components.ViewerModel()
    yield shown
    shown.layers.clear()


def store_of(kind: str, channels: int | None) -> Store:
    names = ("red", "green", "blue") if channels == 3 else ()
    spec = StoreSpec(SHAPE, channels, np.dtype(np.uint8), kind, "s", "p", channel_names=names)  # type: ignore[arg-type]
    store = create_store(None, spec)
    add_asked(store, (Asked(BOX),))
    return store


def inside(level: int, shape: tuple[int, ...]) -> np.ndarray:
    """Which pixels of a level have their centre in the box."""
    rows, columns = ((np.arange(n) + 0.5) * 2**level for n in shape)
    (top, bottom), (left, right) = BOX
    return ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))[None]


@pytest.mark.parametrize(("kind", "channels"), [("labels", None), ("image", None), ("image", 2), ("image", 3)])
@pytest.mark.parametrize("when", ["before", "after"])
def test_pixels_beyond_what_was_asked_for_are_hidden_on_every_level(
    viewer: object, monkeypatch: pytest.MonkeyPatch, kind: str, channels: int | None, when: str
) -> None:
    monkeypatch.setattr("napari_seamless._napari.layers.live_layers.TexturePatch.patch", lambda *_: False)
    store = store_of(kind, channels)
    shown = ResultLayers(viewer, store, "result", {}) if when == "after" else None  # type: ignore[arg-type]
    for cell in np.ndindex(store.grid.counts):
        region = store.grid.region(cell)
        store.write(region, np.full((channels or 1, *region.shape), 7, np.uint8))
        store.commit(region)
    shown = shown or ResultLayers(viewer, store, "result", {})  # type: ignore[arg-type]
    while not shown.is_up_to_date:
        shown.tick()
    for _ in ("as it fills", "at its end"):
        for layer in shown.layers:
            levels = layer.data if layer.multiscale else [layer.data]
            for number, level in enumerate(levels):
                pixels = np.asarray(level[0 : level.shape[0], 0 : level.shape[1]])
                seen = pixels[..., -1] > 0 if pixels.ndim == 3 else pixels > 0
                np.testing.assert_array_equal(seen, inside(number, level.shape[:2]))
        shown.finish()


def test_a_result_of_all_of_an_image_is_shown_as_it_is(viewer: object) -> None:
    store = create_store(None, StoreSpec(SHAPE, None, np.dtype(np.uint8), "labels", "s", "p"))
    add_asked(store, (Asked(((0.0, 1300.0), (0.0, 1400.0))),))
    shown = ResultLayers(viewer, store, "result", {})  # type: ignore[arg-type]
    store.write(Region.of((0, 512), (0, 512)), np.full((1, 512, 512), 7, np.uint8))
    store.commit(Region.of((0, 512), (0, 512)))
    assert np.asarray(shown.layers[0].data[-1])[:256, :256].all()


def corners_of(layer: object) -> list[np.ndarray]:
    """Shapes over a result that lies on the slide pixel by pixel, along the edges of pixels."""
    return [np.asarray(points) + 0.5 for points in layer.data]  # type: ignore[attr-defined]


def square(top: float, left: float, size: float) -> np.ndarray:
    return np.array([(top, left), (top, left + size), (top + size, left + size), (top + size, left)])


def test_what_was_asked_for_is_drawn_over_the_result_with_its_names(viewer: object) -> None:
    store = create_store(None, StoreSpec(SHAPE, None, np.dtype(np.uint8), "labels", "s", "p"))
    whole = ((0.0, 1300.0), (0.0, 1400.0))
    tumour = Annotation(((square(100, 200, 400), square(200, 300, 100)),), "tumour", "Tumor")
    add_asked(store, (Asked(whole, tumour, name="tumour", classification="Tumor"), Asked(BOX)))
    shown = ResultLayers(viewer, store, "result", {"scale": (0.5, 0.5), "translate": (10, 20)})  # type: ignore[arg-type]
    for _ in ("once", "again"):
        show_asked(viewer, store, shown.layers[0])  # type: ignore[arg-type]
    (layer,) = [layer for layer in viewer.layers if isinstance(layer, napari.layers.Shapes)]
    assert list(layer.features["name"]) == ["tumour", ""]
    assert list(layer.features["class"]) == ["Tumor", ""]
    first, second = (np.array([layer.data_to_world(point) for point in data]) for data in layer.data)
    np.testing.assert_allclose([first.min(0), first.max(0)], [(59.75, 119.75), (259.75, 319.75)])
    np.testing.assert_allclose([second.min(0), second.max(0)], [(59.75, 119.75), (259.75, 469.75)])
    assert roi_of(corners_of(layer)[:1]).shapes.area == pytest.approx(400**2 - 100**2)


def test_a_region_without_a_name_is_drawn_without_a_word(viewer: object) -> None:
    shown = ResultLayers(viewer, store_of("labels", None), "result", {})  # type: ignore[arg-type]
    layer = show_asked(viewer, shown.image, shown.layers[0])  # type: ignore[arg-type]
    np.testing.assert_array_equal(corners_of(layer), [[(100, 200), (100, 900), (500, 900), (500, 200)]])


def test_tissue_that_was_asked_for_is_outlined_with_its_holes(viewer: object) -> None:
    store = create_store(None, StoreSpec(SHAPE, None, np.dtype(np.uint8), "labels", "s", "p"))
    mask = np.zeros((13, 14), bool)
    mask[2:9, 3:11], mask[4:6, 5:8], mask[11, 12] = True, False, True
    add_asked(store, (Asked(((0.0, 1300.0), (0.0, 1400.0)), mask=mask, extent=(1300.0, 1400.0), name="tissue"),))
    shown = ResultLayers(viewer, store, "result", {})  # type: ignore[arg-type]
    layer = show_asked(viewer, store, shown.layers[0])  # type: ignore[arg-type]
    outlined = roi_of(corners_of(layer)).shapes
    assert outlined.area == pytest.approx(mask.sum() * 10_000)
    assert list(layer.features["name"]) == ["tissue", "tissue"]


def test_nothing_is_drawn_over_a_result_of_which_all_was_asked_for(viewer: object) -> None:
    store = create_store(None, StoreSpec(SHAPE, None, np.dtype(np.uint8), "labels", "s", "p"))
    add_asked(store, (Asked(((0.0, 1300.0), (0.0, 1400.0))),))
    shown = ResultLayers(viewer, store, "result", {})  # type: ignore[arg-type]
    assert show_asked(viewer, store, shown.layers[0]) is None  # type: ignore[arg-type]
    assert len(viewer.layers) == 1
