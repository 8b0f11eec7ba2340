"""Of a slide that is a small scanned area on a large canvas, that area is the image, and it keeps its place."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from napari_seamless.geometry import Region

openslide = pytest.importorskip("openslide")


class Canvas:
    """What OpenSlide gives of a Mirax slide: 900 x 1200 pixels, of which 400 x 600 from (y 100, x 200) were scanned."""

    level_count = 2
    level_dimensions = ((1200, 900), (300, 225))
    level_downsamples = (1.0, 4.0)
    bounds: ClassVar = {"x": "200", "y": "100", "width": "600", "height": "400"}

    def __init__(self, path: Path) -> None:
        del path
        self.properties = {"openslide.vendor": "mirax", "openslide.mpp-x": "0,25", "openslide.mpp-y": "0.5"}
        self.properties |= {f"openslide.bounds-{name}": value for name, value in self.bounds.items()}
        y, x = np.indices((900, 1200))
        self.pixels = np.stack([y % 256, x % 256, (y // 256 + 16 * (x // 256)), np.full_like(x, 255)], -1)

    def read_region(self, place: tuple[int, int], level: int, size: tuple[int, int]) -> Image.Image:
        step = int(self.level_downsamples[level])
        (x, y), (width, height) = place, size
        return Image.fromarray(self.pixels[y : y + height * step : step, x : x + width * step : step].astype(np.uint8))

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from napari_seamless.io.readers.openslide import OpenSlideSource

    monkeypatch.setattr(openslide, "OpenSlide", Canvas)
    (tmp_path / "a.mrxs").write_bytes(b"x")
    return OpenSlideSource(tmp_path / "a.mrxs")


def places(pixels: Any) -> tuple[Any, Any]:
    """Row and column on the canvas that a picture of it shows."""
    red, green, blue = pixels.astype(int)
    return red + 256 * (blue % 16), green + 256 * (blue // 16)


def test_the_scanned_area_is_the_image_and_its_place_is_the_origin(source: Any) -> None:
    assert source.info.levels.shapes == ((400, 600), (100, 150))
    assert source.info.levels.scale(1) == (4, 4)
    assert (source.info.pixel_size, source.info.origin) == ((0.5, 0.25), (50, 50))
    assert any("of which 400 x 600 from y 100, x 200 were scanned" in notice for notice in source.info.notices)


def test_pixels_count_from_the_scanned_area_at_every_level(source: Any) -> None:
    rows, columns = places(source.read(Region.of((3, 9), (5, 25))))
    assert (rows[0, 0], columns[0, 0], rows[-1, -1], columns[-1, -1]) == (103, 205, 108, 224)
    rows, columns = places(source.read(Region.of((10, 100), (20, 150)), 1))
    assert (rows[0, 0], columns[0, 0]) == (140, 280)


def test_bounds_that_cannot_be_are_not_used(source: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Canvas, "bounds", {"x": "900", "y": "0", "width": "600", "height": "400"})
    info = type(source)(tmp_path / "a.mrxs").info
    assert (info.levels.shape(0), info.origin, info.notices) == ((900, 1200), (), ())


def test_levels_have_the_whole_scale_that_their_rounded_shapes_stand_for(
    source: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Canvas, "bounds", {})
    monkeypatch.setattr(Canvas, "level_dimensions", ((1203, 901), (300, 225)))
    monkeypatch.setattr(Canvas, "level_downsamples", (1.0, (1203 / 300 + 901 / 225) / 2))
    info = type(source)(tmp_path / "a.mrxs").info
    assert info.levels.scale(1) == (Fraction(4), Fraction(4))
