"""A row of an object says what scikit-image and scipy say of the whole array, bit for bit the same for any tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.color import rgb2hed
from skimage.measure import regionprops_table

from measured_objects import Columns, columns_of, nuclei, outlines_of, picture, polygons, ragged, source_of
from napari_seamless.errors import BadRequest, InputMismatch
from napari_seamless.measurement.objects.intensities import stains_of
from napari_seamless.measurement.objects.neighbours import Neighbours

SHAPES = {
    "perimeter": "perimeter",
    "solidity": "solidity",
    "axis_major_length": "major_axis",
    "axis_minor_length": "minor_axis",
}
CHANNELS = ("red", "green", "blue", "haematoxylin", "eosin", "DAB")


def shaped(kind: str) -> NDArray[Any]:
    if kind == "ragged":
        return ragged(nuclei())
    if kind == "lines":  # one pixel high, wide, large, and along a diagonal
        labels = np.zeros((40, 60), np.int64)
        labels[3, 4:50], labels[6:38, 2], labels[8, 8], labels[10:30, 10:40] = 1, 2, 3, 4
        labels[np.arange(12), 47 + np.arange(12)] = 5
        return labels
    return nuclei(kind)


def same_bits(a: Columns, b: Columns) -> bool:
    return list(a) == list(b) and all(a[n].tobytes() == b[n].tobytes() for n in a if a[n].dtype != object)


@pytest.mark.parametrize("kind", ["stained", "fluorescence", "ragged", "lines"])
def test_shapes_are_those_of_regionprops(kind: str) -> None:
    labels = shaped(kind)
    found = columns_of(source_of(labels))
    properties = ["label", "area", "centroid", "bbox", "orientation", *SHAPES]
    expected = regionprops_table(labels, properties=properties)
    np.testing.assert_array_equal(found["id"], expected["label"])
    np.testing.assert_array_equal(found["pixels"], expected["area"])
    for number, name in enumerate(("y_min", "x_min", "y_max", "x_max")):
        np.testing.assert_array_equal(found[name], expected[f"bbox-{number}"])
    for number, name in enumerate("yx"):
        np.testing.assert_allclose(found[name], expected[f"centroid-{number}"], rtol=1e-12)
    for theirs, ours in SHAPES.items():
        np.testing.assert_allclose(found[ours], expected[theirs], rtol=1e-9, atol=1e-6, err_msg=ours)
    apart = np.abs(found["orientation"] - expected["orientation"])
    is_round = found["major_axis"] - found["minor_axis"] < 1e-6
    assert (np.minimum(apart, np.pi - apart)[~is_round] < 1e-9).all()


def test_intensities_and_stains_are_those_of_regionprops_and_rgb2hed() -> None:
    labels = ragged(nuclei())
    image = picture(labels.shape)
    found = columns_of(source_of(labels, image=image))
    density = 6 * rgb2hed(image)  # scikit-image divides by -log10(1e-6)
    properties = [f"intensity_{name}" for name in ("mean", "std", "min", "max")]
    expected = regionprops_table(labels, np.concatenate([image, density], -1), properties=properties)
    for number, channel in enumerate(CHANNELS):
        for ours, theirs in (("mean", "mean"), ("sd", "std"), ("min", "min"), ("max", "max")):
            np.testing.assert_allclose(
                found[f"{ours}_{channel}"], expected[f"intensity_{theirs}-{number}"], rtol=1e-9, atol=1e-9
            )


def test_neighbours_are_those_of_a_tree_of_all_centroids() -> None:
    labels = nuclei("fluorescence")
    found = columns_of(source_of(labels))
    places = np.array(ndimage.center_of_mass(labels > 0, labels, found["id"]))
    expected = cKDTree(places).query(places, 2)[0][:, 1]
    np.testing.assert_allclose(found["neighbour_distance"], expected, rtol=1e-12)
    np.testing.assert_allclose(found["neighbour_distance_um"], expected / 2, rtol=1e-12)


def test_the_nearest_neighbour_in_micrometres_may_be_another_one_than_in_pixels() -> None:
    places = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    found = Neighbours(places, (2.0, 1.0)).columns(np.array([0]))
    assert (found["neighbour_distance"][0], found["neighbour_distance_um"][0]) == (3, 4)


@pytest.mark.parametrize("has_rays", [False, True])
def test_every_column_and_outline_is_the_same_bit_for_bit_however_labels_are_read(has_rays: bool) -> None:
    labels, table = polygons(nuclei()) if has_rays else (ragged(nuclei("fluorescence")[:200, :200]), None)
    image = np.moveaxis(picture(labels.shape), -1, 0).astype(np.float32) / 255  # sums depend on their order
    reference = source_of(labels, 1000, table, image)
    columns, outlines = columns_of(reference), outlines_of(reference)
    for tile, cell in ((64, 1024), (37, 64), (1000, 16)):
        source = source_of(labels, tile, table, image)
        assert same_bits(columns_of(source, cell), columns), (tile, cell)
        assert shapely.equals_exact(outlines_of(source, cell), outlines).all(), (tile, cell)


def test_lengths_are_told_in_micrometres_where_a_pixel_has_a_size() -> None:
    labels = nuclei()
    known, unknown = columns_of(source_of(labels)), columns_of(source_of(labels, pixel_size=None))
    np.testing.assert_allclose(known["area_um2"], known["pixels"] / 4)
    np.testing.assert_allclose(known["major_axis_um"], known["major_axis"] / 2)
    assert [name for name in unknown if "um" in name] == []


@pytest.mark.parametrize("has_rays", [False, True])
def test_outlines_are_valid_whole_and_turned_as_geojson_wants(has_rays: bool) -> None:
    labels, table = polygons(nuclei()) if has_rays else (ragged(nuclei()), None)
    source = source_of(labels, table=table)
    outlines, pixels = outlines_of(source), columns_of(source)["pixels"]
    assert len(outlines) == len(source.objects) > 0
    assert shapely.is_valid(outlines).all()
    rings = shapely.get_exterior_ring(shapely.get_parts(outlines))
    assert shapely.is_ccw(rings).all()
    assert shapely.is_closed(rings).all()
    if has_rays:  # the polygon goes through the middle of pixels at its edge, and keeps what a better one covers
        assert np.abs(shapely.area(outlines) / pixels - 1).mean() < 0.2
    else:
        np.testing.assert_array_equal(shapely.area(outlines), pixels)


def test_polygons_are_cut_at_the_edge_of_the_image() -> None:
    labels, table = polygons(nuclei())
    height, width = labels.shape
    bounds = shapely.total_bounds(outlines_of(source_of(labels, table=table)))
    assert (bounds >= 0).all()
    assert bounds[2] <= width
    assert bounds[3] <= height


def test_of_no_objects_there_are_columns_without_rows() -> None:
    labels = np.zeros((50, 60), np.int64)
    found = columns_of(source_of(labels, image=picture(labels.shape)))
    assert set(found) >= {"id", "class", "perimeter", "mean_DAB", "neighbour_distance"}
    assert all(len(column) == 0 for column in found.values())


def test_a_single_object_has_no_neighbour() -> None:
    labels = np.zeros((9, 9), np.int64)
    labels[2:5, 2:5] = 7
    assert np.isnan(columns_of(source_of(labels))["neighbour_distance"]).all()


def test_labels_without_a_row_in_the_table_are_refused() -> None:
    labels, table = polygons(nuclei())
    with pytest.raises(InputMismatch, match=r"each label must have a row .* 1 labels have none, the first of them"):
        source_of(labels, table=table.take(np.arange(1, len(table))))


@pytest.mark.parametrize(
    ("name", "image", "error", "message"),
    [
        ("pas", picture((3, 3)), BadRequest, "stains are one of hed, hdx, auto or none; got 'pas'"),
        ("hed", np.zeros((2, 3, 3), np.uint16), InputMismatch, "pictures of red, green and blue; got 2 channels"),
    ],
)
def test_stains_that_cannot_be_are_refused(name: str, image: Any, error: type[Exception], message: str) -> None:
    from napari_seamless.io.readers import open_image

    with pytest.raises(error, match=message):
        stains_of(open_image(image).info, name)
