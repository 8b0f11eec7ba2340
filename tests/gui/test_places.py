"""In the window an image lies where its file says, at every level, and its result over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import napari_seamless as ns
from napari_seamless._napari.layers.live_layers import placed_over
from napari_seamless._napari.layers.readable import readable
from napari_seamless._napari.layers.source_layer import source_layer


def padded(path: Path, unit: str | None) -> Path:
    """1000 x 1000 pixels of 0.5 x 0.25 at (30, -4), and a level of half the size in whole chunks of 512."""
    fine = np.zeros((1000, 1000), np.uint8)
    fine[900:904, 900:904] = 200
    coarse = np.zeros((512, 512), np.uint8)
    coarse[:500, :500] = fine[::2, ::2]
    group = zarr.open_group(path, mode="w")
    datasets = []
    for k, level in enumerate((fine, coarse)):
        group.create_array(str(k), data=level)
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": [0.5 * 2**k, 0.25 * 2**k]}]
        if k == 0:
            steps.append({"type": "translation", "translation": [30, -4]})
        datasets.append({"path": str(k), "coordinateTransformations": steps})
    axes = [{"name": n, "type": "space", **({"unit": unit} if unit else {})} for n in "yx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return path


@pytest.mark.parametrize("unit", ["micrometer", None])
def test_an_image_lies_where_its_file_says_and_its_result_over_it(
    tmp_path: Path, make_napari_viewer: Callable[..., Any], unit: str | None
) -> None:
    viewer = make_napari_viewer()
    data, options, kind = source_layer(ns.open_image(padded(tmp_path / "i.zarr", unit)))
    layer = getattr(viewer, f"add_{kind}")(data, **options)
    size = np.array([0.5, 0.25]) if unit else np.ones(2)
    start = np.array([30, -4]) if unit else np.array([60, -16])
    np.testing.assert_allclose(layer.scale, size)
    np.testing.assert_allclose(layer.translate, start)
    np.testing.assert_allclose(layer.downsample_factors, [[1, 1], [2, 2]])
    placed = placed_over(layer, (1, 1), (20, 20))
    np.testing.assert_allclose(placed["translate"], start + 20 * size)
    info = ns.open_image(readable(layer)).info
    np.testing.assert_allclose(info.origin, start)


def test_an_axis_of_an_unknown_size_has_the_scale_1(tmp_path: Path, make_napari_viewer: Callable[..., Any]) -> None:
    group = zarr.open_group(tmp_path / "i.zarr", mode="w")
    group.create_array("0", data=np.zeros((3, 8, 8), np.uint8))
    axes = [{"name": "z", "type": "space"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [7, 0.5, 0.5]}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    data, options, kind = source_layer(ns.open_image(tmp_path / "i.zarr"))
    layer = getattr(make_napari_viewer(), f"add_{kind}")(data, **options)
    np.testing.assert_allclose(layer.scale, [1, 0.5, 0.5])
