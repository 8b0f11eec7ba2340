"""The bundled networks for single nuclei, on pictures in which everybody sees them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

import napari_seamless as ns

CENTERS = [(30, 34), (36, 88), (42, 104), (90, 40), (100, 92), (130, 30), (128, 130), (80, 140)]
"""Two of them touch."""


def discs(radius: float = 8) -> NDArray[np.int64]:
    """Numbers of round nuclei (y, x)."""
    y, x = np.mgrid[:160, :168]
    found = np.zeros(y.shape, np.int64)
    for number, (cy, cx) in enumerate(CENTERS, 1):
        found[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    return found


def stained() -> NDArray[np.uint8]:
    """Purple nuclei in pink tissue, (y, x, c)."""
    random = np.random.default_rng(0)
    inside = ndimage.gaussian_filter((discs() > 0).astype(float), 0.8)[..., None]
    picture = (1 - inside) * np.array([230, 170, 200]) + inside * np.array([90, 50, 130])
    return np.clip(picture + random.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)


def fluorescent() -> NDArray[np.uint16]:
    """Bright nuclei of 12 bits on a dark ground, (y, x)."""
    random = np.random.default_rng(0)
    inside = ndimage.gaussian_filter((discs() > 0).astype(float), 0.8)
    return (200 + 1500 * inside + random.normal(0, 20, inside.shape)).astype(np.uint16)


@pytest.mark.parametrize(("name", "image"), [("nuclei-he", stained()), ("nuclei-fluorescence", fluorescent())])
def test_every_nucleus_is_one_object_also_where_two_touch(name: str, image: np.ndarray) -> None:
    result = ns.run(name, image, device="cpu", scheduler="serial")
    found, real = np.asarray(result), discs()
    assert {one for rows in ns.measure_objects(result).rows() for one in rows.columns["class"]} == {"nucleus"}
    ids = [np.bincount(found[real == number]).argmax() for number in range(1, len(CENTERS) + 1)]
    if name == "nuclei-he":
        assert "taken as one of 0.17 to 0.52 um per pixel" in " ".join(result.report.notices)
    assert len(set(ids)) == len(CENTERS)
    assert set(np.unique(found)) == {0, *ids}
    for number, one in enumerate(ids, 1):
        both, either = (found == one) & (real == number), (found == one) | (real == number)
        assert both.sum() / either.sum() > 0.7
