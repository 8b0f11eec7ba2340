"""Where there is tissue on a slide."""

from __future__ import annotations

import numpy as np
import pytest

from napari_seamless.errors import BadRequest
from napari_seamless.io.readers import MirrorTiled, open_image, sample_slide
from napari_seamless.io.readers.thumbnail import thumbnail
from napari_seamless.runs.tissue import tissue_mask
from sources_oracle import texture


def slide(*, speck: bool = False, hole: bool = False) -> np.ndarray:
    """Glass of 400 x 600 with pink tissue in rows 100 to 250, columns 200 to 500."""
    rng = np.random.default_rng(0)
    image = np.full((400, 600, 3), 235, np.int16) + rng.integers(-4, 5, (400, 600, 3))
    image[100:250, 200:500] = np.array([200, 90, 160]) + rng.integers(-20, 21, (150, 300, 3))
    if speck:
        image[10:14, 10:14] = (200, 90, 160)
    if hole:
        image[150:154, 300:304] = 235
    return image.astype(np.uint8)


def wanted() -> np.ndarray:
    mask = np.zeros((400, 600), bool)
    mask[100:250, 200:500] = True
    return mask


@pytest.mark.parametrize("options", [{}, {"speck": True}, {"hole": True}])
def test_stained_tissue_is_told_from_glass(options: dict[str, bool]) -> None:
    np.testing.assert_array_equal(tissue_mask(open_image(slide(**options))), wanted())


def test_small_objects_stay_where_that_is_wanted() -> None:
    mask = tissue_mask(open_image(slide(speck=True)), smallest=0)
    assert mask[10:14, 10:14].all()


def test_the_threshold_is_the_users_where_given() -> None:
    source = open_image(slide())
    assert not tissue_mask(source, threshold=0.95).any()
    assert tissue_mask(source, threshold=0.0, smallest=0).mean() > 0.8
    shares = [tissue_mask(source, adjust=factor, smallest=0).mean() for factor in (0.5, 1.0, 1.6)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


def test_an_image_without_background_is_all_tissue() -> None:
    assert tissue_mask(open_image(np.full((50, 60, 3), 200, np.uint8))).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_without_colours_it_is_what_differs_from_the_commonest_brightness(dtype: str) -> None:
    for sign in (1, -1):
        grey = np.full((400, 600), 100) + sign * 60 * wanted() + np.random.default_rng(1).integers(-3, 4, (400, 600))
        np.testing.assert_array_equal(tissue_mask(open_image(grey.astype(dtype))), wanted())


def test_of_a_volume_the_middle_plane_is_taken() -> None:
    volume = np.zeros((5, 400, 600), np.uint8)
    volume[2][wanted()] = 200
    np.testing.assert_array_equal(tissue_mask(open_image(volume, axes="zyx")), wanted())


def test_a_mask_of_a_large_image_covers_all_of_it_coarsely() -> None:
    coarse = slide()
    fine = coarse.repeat(8, axis=0).repeat(8, axis=1)
    mask = tissue_mask(open_image([fine, coarse.repeat(2, axis=0).repeat(2, axis=1), coarse]))
    assert max(mask.shape) <= 1024
    assert mask.shape[1] / mask.shape[0] == pytest.approx(1.5, rel=0.01)
    assert mask.mean() == pytest.approx(wanted().mean(), rel=0.02)


def test_the_sample_slide_is_partly_tissue_at_any_size() -> None:
    source = open_image(sample_slide())
    share = tissue_mask(source).mean()
    assert 0.2 < share < 0.9
    tiled = MirrorTiled(source, (2 * 2967, 2 * 2220))
    assert tissue_mask(tiled).mean() == pytest.approx(share, abs=0.05)
    source.close()


@pytest.mark.parametrize(("height", "width", "edge"), [(100, 64, 100), (101, 64, 25), (7, 90, 11), (5, 5, 1)])
def test_a_thumbnail_averages_whole_squares(height: int, width: int, edge: int) -> None:
    image = texture(3, height, width, dtype="uint16")
    step = -(-max(height, width) // edge)
    rows, columns = (range(0, n, step) for n in (height, width))
    expected = [[image[:, y : y + step, x : x + step].mean(axis=(1, 2)) for x in columns] for y in rows]
    seen = thumbnail(open_image(image), edge)
    assert np.abs(seen - np.moveaxis(expected, 2, 0)).max() <= 0.51


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"threshold": 2.0}, "lies between 0 and 1; got 2.0"),
        ({"threshold": float("nan")}, "lies between 0 and 1; got nan"),
        ({"adjust": 0}, "a factor above 0; got 0"),
        ({"adjust": float("nan")}, "a factor above 0; got nan"),
        ({"smallest": 1.5}, "from 0 to below 1; got 1.5"),
    ],
)
def test_parameters_that_cannot_be_are_refused(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        tissue_mask(open_image(slide()), **options)
