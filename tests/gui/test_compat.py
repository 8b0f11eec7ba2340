"""The private names of napari and vispy are all there; where one goes, the feature that goes with it is named."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import napari
import numpy as np
import pytest
from napari.layers import Labels

from napari_seamless._napari import _compat
from napari_seamless._napari._compat import OUTLINES, PATCHES, THUMBNAILS, FeatureMissing

USES: dict[str, tuple[str, Callable[[Any, Any], object]]] = {
    "displayed axes": (PATCHES, lambda _viewer, layer: _compat.displayed_axes_of(layer)),
    "slice": (PATCHES, lambda _viewer, layer: _compat.shown_slice(layer)),
    "label colours": (PATCHES, lambda _viewer, layer: _compat.as_drawn(layer, np.ones((2, 3), np.uint8))),
    "texture": (
        PATCHES,
        lambda viewer, layer: _compat.write_texture(
            viewer, layer, (30, 40), (4, 5), _compat.as_drawn(layer, np.ones((2, 3), np.uint8))
        ),
    ),
    "thumbnail": (THUMBNAILS, lambda _viewer, layer: _compat.update_thumbnail(layer)),
    "scene": (OUTLINES, lambda viewer, _layer: _compat.scene_of(viewer)),
}


@pytest.fixture
def labels(viewer: napari.Viewer) -> Labels:
    return viewer.add_labels(np.zeros((30, 40), np.uint8))


@pytest.mark.parametrize("use", USES)
def test_this_napari_has_what_a_feature_needs(viewer: napari.Viewer, labels: Labels, use: str) -> None:
    feature, used = USES[use]
    try:
        assert used(viewer, labels) is not False
    except FeatureMissing as missing:
        pytest.fail(f"missing: {feature} ({missing})")


def test_the_names_mean_what_they_did(viewer: napari.Viewer, labels: Labels) -> None:
    assert _compat.displayed_axes_of(labels) == (-2, -1)
    assert _compat.shown_slice(labels).raw.shape == (30, 40)
    assert _compat.unwrapped(viewer) is viewer
    scene, canvas = _compat.scene_of(viewer)
    assert hasattr(scene, "children")
    assert canvas.isWidgetType()


@pytest.mark.parametrize("use", USES)
def test_without_its_names_a_feature_is_refused_by_name(use: str) -> None:
    feature, used = USES[use]
    with pytest.raises(FeatureMissing, match=feature):
        used(SimpleNamespace(), SimpleNamespace(ndim=2))
