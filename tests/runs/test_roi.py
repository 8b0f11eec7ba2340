"""Runs that make only a part of the image: which chunks that is, and that their pixels are those of the whole run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import napari_seamless as ns
from napari_seamless.cli import main
from napari_seamless.errors import BadRequest, InputNotFound, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.runs.prepared import Prepared
from napari_seamless.runs.result import Result

TILE = 64
TRIANGLE = [(70.0, 100.0), (70.0, 250.0), (200.0, 100.0)]
FAR = [(400.0, 500.0), (400.0, 560.0), (470.0, 560.0), (470.0, 500.0)]


@pytest.fixture(scope="module")
def slide() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 255, (512, 640, 3), np.uint8)


@pytest.fixture(scope="module")
def prepared(slide: np.ndarray) -> Prepared:
    return ns.prepare("nuclei", slide)


@pytest.fixture(scope="module")
def everything(prepared: Prepared) -> np.ndarray:
    return np.asarray(run(prepared, None))


def expected_chunks(shape: tuple[int, int], *polygons: list[tuple[float, float]], finer: int = 8) -> np.ndarray:
    """Which chunks hold a point of a polygon, by trying many points of each."""
    from skimage.measure import points_in_poly

    found = np.zeros((-(-shape[0] // TILE), -(-shape[1] // TILE)), bool)
    steps = (np.arange(TILE * finer) + 0.5) / finer
    for row, column in np.ndindex(found.shape):
        y, x = np.meshgrid(steps[::4] + row * TILE, steps[::4] + column * TILE, indexing="ij")
        points = np.stack([y.ravel(), x.ravel()], axis=1)
        found[row, column] = any(points_in_poly(points, np.array(p)).any() for p in polygons)
    return found


def inside_of(shape: tuple[int, int], *polygons: list[tuple[float, float]]) -> np.ndarray:
    """Which pixels have their centre in a polygon, by scikit-image."""
    from skimage.measure import points_in_poly

    centres = np.stack(np.indices(shape), axis=-1).reshape(-1, 2) + 0.5
    found = [points_in_poly(centres, np.array(p)) for p in polygons]
    return np.any(found, axis=0).reshape(shape)


def spread(chunks: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.kron(chunks, np.ones((TILE, TILE), bool))[: shape[0], : shape[1]]


def run(prepared: Prepared, where: object, tile: int = TILE, **options: object) -> Result:
    handle = ns.start(prepared, tile=tile, scheduler="serial", roi=where, **options)  # type: ignore[arg-type]
    handle.wait()
    return handle.result()


def test_pixels_where_one_asked_for_them_are_those_of_the_whole_run(prepared, everything) -> None:
    result = run(prepared, [TRIANGLE, FAR])
    chunks = expected_chunks((512, 640), TRIANGLE, FAR)
    assert 0 < chunks.sum() < 20
    np.testing.assert_array_equal(result.store.finished, chunks)
    inside = spread(chunks, (512, 640))
    computed = result.store.read(Region.from_shape((512, 640)))[0]
    np.testing.assert_array_equal(computed[inside], everything[inside])
    assert everything[inside].any()
    assert not computed[~inside].any()


def test_an_array_of_a_result_is_empty_outside_of_the_shapes(prepared, everything) -> None:
    result = run(prepared, [TRIANGLE, FAR])
    inside = inside_of((512, 640), TRIANGLE, FAR)
    np.testing.assert_array_equal(np.asarray(result), np.where(inside, everything, 0))
    np.testing.assert_array_equal(result.to_dask().compute(scheduler="synchronous"), np.where(inside, everything, 0))


def test_the_report_says_what_share_was_left_out_and_counts_only_the_rest(prepared) -> None:
    result = run(prepared, [TRIANGLE])
    assert result.report.left_out == pytest.approx(1 - result.store.finished.mean())
    assert result.report.pixels == result.store.finished.sum() * TILE**2
    assert result.report.self_check is not None
    assert result.report.self_check.largest == 0


def test_other_shapes_on_the_same_output_add_to_it(prepared, everything, tmp_path: Path) -> None:
    path = tmp_path / "out.ome.zarr"
    first = run(prepared, [TRIANGLE], output=path)
    second = run(prepared, [TRIANGLE, FAR], output=path)
    assert second.report.tiles == second.store.finished.sum() - first.store.finished.sum()
    np.testing.assert_array_equal(np.asarray(run(prepared, None, output=path)), everything)


def test_where_it_was_made_is_kept_beside_the_result(prepared, tmp_path: Path) -> None:
    path = tmp_path / "out.ome.zarr"
    result = run(prepared, [TRIANGLE], output=path)
    assert result.store.side_folder is not None
    kept = json.loads((result.store.side_folder / "roi.geojson").read_text())["features"]
    assert [sorted(map(tuple, one["geometry"]["coordinates"][0]))[0] for one in kept] == [(100, 70)]
    again = run(prepared, result.store.side_folder / "roi.geojson", output=path)
    assert again.report.tiles == 0
    assert again.store.provenance["run"]["left_out"] == pytest.approx(1 - again.store.finished.mean())


def test_a_file_of_geojson_says_where_with_x_first(prepared, tmp_path: Path) -> None:
    ring = [[x, y] for y, x in [*FAR, FAR[0]]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    path = tmp_path / "annotations.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    np.testing.assert_array_equal(run(prepared, path).store.finished, expected_chunks((512, 640), FAR))


def test_a_mask_of_any_resolution_says_where(prepared) -> None:
    mask = np.zeros((8, 10), bool)
    mask[1:3, 2:5] = True
    np.testing.assert_array_equal(run(prepared, mask).store.finished, mask)


def test_a_rectangle_along_the_edges_of_chunks_touches_none_of_its_neighbours(prepared) -> None:
    result = run(prepared, [[(64, 128), (64, 256), (192, 256), (192, 128)]])
    assert np.argwhere(result.store.finished).tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]


def test_a_line_that_crosses_itself_encloses_both_of_its_parts(prepared) -> None:
    eight = [(10, 10), (100, 100), (10, 100), (100, 10)]
    assert run(prepared, [eight]).store.finished[0, 0]


def test_shapes_lie_where_they_lie_on_the_image_whatever_the_scale_of_the_output() -> None:
    import torch

    halving = torch.nn.AvgPool2d(2)
    image = np.random.default_rng(0).random((1, 1024, 1024), np.float32)
    result = ns.run(
        halving, image, tile=TILE, scheduler="serial", roi=[[(260, 520), (260, 600), (300, 600), (300, 520)]]
    )
    assert np.argwhere(result.store.finished).tolist() == [[2, 4]]


def test_shapes_and_a_region_ask_for_what_lies_in_both(prepared) -> None:
    result = run(prepared, [TRIANGLE, FAR], region=ns.Region.of((0, 256), (0, 320)))
    np.testing.assert_array_equal(result.store.finished, expected_chunks((512, 640), TRIANGLE))


REFUSALS = [
    ([[(1000, 1000), (1000, 1100), (1100, 1000)]], BadRequest, "must lie over what is asked for"),
    ([], BadRequest, "got none that holds anything"),
    ([[(0, 0), (1, 1)]], BadRequest, r"got a polygon of shape \(2, 2\)"),
    ([[(0, 0), (0, float("nan")), (9, 9)]], BadRequest, "all finite"),
    (np.zeros((4, 4), bool), BadRequest, r"got shape \(4, 4\) with 0 pixels set"),
    ("nowhere.geojson", InputNotFound, "there is none at nowhere.geojson"),
]


@pytest.mark.parametrize(("where", "kind", "sentence"), REFUSALS, ids=[r[2][:20] for r in REFUSALS])
def test_a_place_that_makes_no_sense_is_refused_in_one_sentence(
    prepared, where, kind, sentence, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=sentence):
        run(prepared, where, output=tmp_path / "out.ome.zarr")
    assert not (tmp_path / "out.ome.zarr").exists()


def test_a_file_that_is_no_geojson_is_refused(prepared, tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text("{ nothing")
    with pytest.raises(InputUnreadable, match="outlines come from a GeoJSON file"):
        run(prepared, tmp_path / "a.geojson")


def test_what_was_made_elsewhere_before_does_not_count_as_done(prepared, tmp_path: Path) -> None:
    path = tmp_path / "out.ome.zarr"
    run(prepared, [FAR], output=path)
    handle = ns.start(prepared, roi=[TRIANGLE], tile=TILE, scheduler="serial", output=path)
    total = expected_chunks((512, 640), TRIANGLE).sum() * TILE**2
    assert handle.progress().total == total
    handle.wait()
    assert handle.progress().done == total
    assert Region.from_shape((512, 640)) == handle.region


def test_a_result_keeps_its_chunks_when_it_goes_on_with_larger_tiles(prepared, everything, tmp_path: Path) -> None:
    path = tmp_path / "out.ome.zarr"
    run(prepared, [TRIANGLE], output=path)
    again = run(prepared, None, tile=2 * TILE, output=path)
    assert again.store.grid.cell == (TILE, TILE)
    assert (np.asarray(again) != everything).mean() < 1e-4


def test_a_command_line_takes_a_file_of_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import tifffile

    picture = np.random.default_rng(1).integers(0, 255, (256, 320, 3), np.uint8)
    tifffile.imwrite(tmp_path / "slide.tif", picture, tile=(64, 64), photometric="rgb")
    ring = [[x, y] for y, x in [(70, 70), (70, 120), (120, 120), (70, 70)]]
    (tmp_path / "roi.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    output = tmp_path / "out.ome.zarr"
    words = ["run", str(tmp_path / "slide.tif"), "--model", "stain", "--tile", "64", "--scheduler", "serial"]
    assert main([*words, "--roi", str(tmp_path / "roi.geojson"), "--output", str(output)]) == 0
    assert "95 % of the image lies elsewhere" in capsys.readouterr().err
    assert ns.open_image(output).read(Region.of((64, 128), (64, 128))).any()
    assert not ns.open_image(output).read(Region.of((128, 256), (0, 320))).any()
