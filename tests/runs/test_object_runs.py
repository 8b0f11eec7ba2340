"""Runs of networks that name a post-processing: objects of the whole image, whatever tiles and interruptions."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

import napari_seamless as ns
from clusters import ClusterProcesses
from napari_seamless.cli import main
from napari_seamless.errors import BadRequest, ModelError, RunCancelled
from napari_seamless.models.architecture import build
from napari_seamless.models.model import Model, Resolution
from napari_seamless.models.preprocessing.resolution import AtResolution
from napari_seamless.postprocess.object_table import ObjectTable
from napari_seamless.runs.objects.tables import object_tables
from napari_seamless.runs.result import Result
from napari_seamless.store import open_store
from object_models import STEP, WrittenOutput, dense, whole_image_labels, written_image, written_model

SHAPE = (259, 300)
SERIAL = {"axes": "cyx", "scheduler": "serial"}


@lru_cache
def image() -> np.ndarray:
    return written_image(SHAPE)


@lru_cache
def whole() -> tuple[np.ndarray, ObjectTable]:
    result = ns.run(written_model(), image(), tile=256, **SERIAL)
    return np.asarray(result), ns.objects_of(result)


def assert_same_objects(result: object, labels: np.ndarray | None = None) -> None:
    """Labels and table of a result are those of the undisturbed run over everything, bit for bit."""
    expected, table = whole()
    np.testing.assert_array_equal(np.asarray(result) if labels is None else labels, expected)
    found = ns.objects_of(result)
    assert found.columns.keys() == table.columns.keys()
    for name, column in table.columns.items():
        np.testing.assert_array_equal(found.columns[name], column, err_msg=name)


# --- the whole image ----------------------------------------------------------------------


def test_a_run_gives_the_objects_that_are_defined_on_the_whole_image() -> None:
    labels, table = whole()
    np.testing.assert_array_equal(dense(labels), whole_image_labels(image()))
    assert labels.dtype == np.uint32
    assert labels.shape == SHAPE
    assert set(np.unique(labels[labels > 0])) <= set(table.id.tolist())


def test_ids_follow_from_the_place_of_the_centre() -> None:
    _, table = whole()
    y, x = (table.extra["center"] // STEP.grid).T
    np.testing.assert_array_equal(table.id, y * -(-SHAPE[1] // STEP.grid) + x + 1)
    assert (np.diff(table.id) > 0).all()


def test_an_image_without_objects_gives_an_empty_table_and_a_notice() -> None:
    result = ns.run(written_model(), np.zeros_like(image()), tile=64, **SERIAL)
    assert len(ns.objects_of(result)) == 0
    assert not np.asarray(result).any()
    assert any("no object was found" in notice for notice in result.report.notices)
    assert not any("no object" in notice for notice in ns.run(written_model(), image(), **SERIAL).report.notices)


def test_a_run_counts_every_object_once_as_its_table_does() -> None:
    run = ns.start(ns.prepare(written_model(), image(), axes="cyx"), tile=64, scheduler="serial")
    run.wait()
    assert run.objects is not None
    assert run.objects.painted_objects == len(whole()[1])


@pytest.mark.parametrize("tile", [64, 96])
def test_tiles_of_another_size_give_the_same_objects(tile: int) -> None:
    assert_same_objects(ns.run(written_model(), image(), tile=tile, **SERIAL))


def test_tiles_in_the_order_of_a_view_that_moves_give_the_same_objects() -> None:
    prepared = ns.prepare(written_model(), image(), axes="cyx")
    run = ns.start(prepared, tile=64, scheduler="serial", view=ns.Region.of((60, 90), (70, 110)))
    run.retarget(ns.Region.of((0, 20), (120, 150)))
    run.wait()
    assert_same_objects(run.result())


def test_two_processes_give_the_same_objects(tmp_path: Path) -> None:
    cluster = ClusterProcesses(tmp_path, 2)
    try:
        options = {"axes": "cyx", "scheduler": cluster.address, "tile": 64}
        result = ns.run(written_model(), image(), output=tmp_path / "cells.ome.zarr", **options)
        assert_same_objects(result)
    finally:
        cluster.close()


# --- a part -------------------------------------------------------------------------------


@pytest.mark.parametrize("region", [((100, 160), (101, 183)), ((0, 30), (270, 300)), ((131, 132), (77, 78))])
def test_a_region_has_the_objects_of_the_whole_image(region: tuple[tuple[int, int], tuple[int, int]]) -> None:
    asked = ns.Region.of(*region)
    result = ns.run(written_model(), image(), tile=64, region=asked, **SERIAL)
    np.testing.assert_array_equal(np.asarray(result), whole()[0][asked.slices()])


def test_a_region_of_a_chain_makes_as_much_of_it_as_decides_it() -> None:
    """Each polygon of a chain loses against the one before, unless that has lost itself: all the way from its end."""
    step = replace(STEP, largest_radius=16, rays=8)
    chained = np.zeros((9, 40, 1200), np.float32)
    for k in range(149):
        chained[0, 20, 8 * k + 4], chained[1:, 20, 8 * k + 4] = 0.9 - 0.002 * k, 10
    everything = np.asarray(ns.run(written_model(step), chained, tile=64, **SERIAL))
    asked = ns.Region.of((0, 40), (1100, 1150))
    part = ns.run(written_model(step), chained, tile=64, region=asked, **SERIAL)
    np.testing.assert_array_equal(np.asarray(part), everything[asked.slices()])
    assert np.unique(np.asarray(part)).size > 3
    small = ns.run(written_model(step), chained * (np.arange(1200) > 1000), tile=64, region=asked, **SERIAL)
    assert small.report.tiles < part.report.tiles


def test_shapes_have_the_objects_of_the_whole_image_and_nothing_outside() -> None:
    triangle = np.array([(20.0, 20.0), (20.0, 200.0), (200.0, 20.0)])
    result = ns.run(written_model(), image(), tile=64, roi=[triangle], **SERIAL)
    found, inside = np.asarray(result), np.add.outer(np.arange(SHAPE[0]), np.arange(SHAPE[1])) < 219
    inside[:20] = inside[:, :20] = False
    np.testing.assert_array_equal(found, np.where(inside, whole()[0], 0))


# --- on disk ------------------------------------------------------------------------------


def test_what_is_opened_again_has_the_same_objects(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    ns.run(written_model(), image(), tile=64, output=path, **SERIAL)
    opened = ns.open_result(path)
    assert_same_objects(opened, opened.read(ns.Region.from_shape(SHAPE))[0])
    assert_same_objects(path, np.asarray(opened.levels[0]))
    candidates = open_store(path / "candidates")
    assert candidates.spec.dtype == np.float16
    np.testing.assert_array_equal(candidates.read(ns.Region.from_shape((130, 150)))[0] > 0, image()[0, ::2, ::2] > 0.1)


def test_a_cancelled_run_goes_on_to_the_same_objects(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    run = ns.start(ns.prepare(written_model(), image(), axes="cyx"), tile=64, scheduler="serial", output=path)
    while run.progress().done == 0:
        run.wait(0.01)
    run.cancel()
    run.wait()
    before = open_store(path / "candidates").finished.sum()
    assert 0 < before < open_store(path / "candidates").finished.size
    again = ns.run(written_model(), image(), tile=64, output=path, **SERIAL)
    assert again.report.tiles == 9 - before
    assert_same_objects(again)


def test_labels_that_are_lost_are_painted_again_of_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    ns.run(written_model(), image(), tile=64, output=path, **SERIAL)
    for chunk in (path / "labels" / "cells" / "0" / "c" / "1").iterdir():
        chunk.unlink()
    (path / "labels" / "cells" / "0" / ".seamless" / "clean").unlink()
    again = ns.run(written_model(), image(), tile=64, output=path, **SERIAL)
    assert again.report.tiles == 0
    assert_same_objects(again)


def test_a_killed_run_goes_on_to_the_same_objects(tmp_path: Path) -> None:
    path, script = tmp_path / "cells.ome.zarr", tmp_path / "killed.py"
    script.write_text(
        "import os, signal\n"
        "import napari_seamless as ns\n"
        "from napari_seamless.runs.objects.stream import ObjectStream\n"
        "from object_models import written_image, written_model\n"
        "put, count = ObjectStream._put, []\n"
        "def put_and_die(self, painted):\n"
        "    put(self, painted)\n"
        "    count.append(painted)\n"
        "    if len(count) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "ObjectStream._put = put_and_die\n"
        f"options = dict(axes='cyx', tile=64, scheduler='serial', output={str(path)!r})\n"
        f"ns.run(written_model(), written_image({SHAPE}), **options)\n"
    )
    builders = Path(__file__).parents[1] / "builders"
    code = f"import sys; sys.path.insert(0, {str(builders)!r}); exec(open({str(script)!r}).read())"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=240).returncode == -9
    again = ns.run(written_model(), image(), tile=64, output=path, **SERIAL)
    assert_same_objects(again)


def test_a_result_is_replaced_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    ns.run(written_model(), written_image(SHAPE, seed=1), tile=64, output=path, **SERIAL)
    result = ns.run(written_model(), image(), tile=64, output=path, overwrite=True, **SERIAL)
    assert_same_objects(result)
    assert result.candidates is not None
    assert result.candidates.read(ns.Region.from_shape((130, 150))).any()
    assert_same_objects(path, np.asarray(ns.open_result(path).levels[0]))


def test_another_image_makes_all_objects_anew_where_its_pixels_tell(tmp_path: Path) -> None:
    source, path = tmp_path / "image.zarr", tmp_path / "cells.ome.zarr"
    import zarr

    array = zarr.create_array(source, shape=image().shape, chunks=(9, 128, 128), dtype="float32")
    array[:] = written_image(SHAPE, seed=1)
    ns.run(written_model(), str(source), tile=64, output=path, **SERIAL)
    array[:] = image()
    assert_same_objects(ns.run(written_model(), str(source), tile=64, output=path, **SERIAL))


# --- other settings -----------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"probability": 0.7}, {"overlap": 0.1}, {"probability": 0.3, "overlap": 0.6}])
def test_objects_are_made_again_with_other_settings_as_a_run_makes_them(settings: dict[str, float]) -> None:
    first = ns.run(written_model(), image(), tile=64, **SERIAL)
    again = ns.objects_of(first, **settings)
    expected = ns.objects_of(ns.run(written_model(replace(STEP, **settings)), image(), tile=256, **SERIAL))
    assert again.id.tolist() == expected.id.tolist() != whole()[1].id.tolist()
    np.testing.assert_array_equal(again.area, expected.area)


def test_of_a_region_objects_with_their_centroid_in_it_are_made_again() -> None:
    result, region = ns.run(written_model(), image(), tile=64, **SERIAL), ns.Region.of((50, 140), (60, 201))
    everything = ns.objects_of(result, probability=0.7)
    inside = (np.abs(everything.centroid + 0.5 - (95, 130.5)) < (45, 70.5)).all(axis=1)
    found = ns.objects_of(result, probability=0.7, region=region)
    assert found.id.tolist() == everything.id[inside].tolist()
    assert len(found) > 5


def test_small_objects_are_left_out() -> None:
    result = ns.run(written_model(), image(), tile=64, **SERIAL)
    kept = ns.objects_of(result, min_area=200)
    assert kept.id.tolist() == whole()[1].id[whole()[1].area >= 200].tolist()
    assert 0 < len(kept) < len(whole()[1])


# --- another pixel size -------------------------------------------------------------------


def test_a_model_with_a_resolution_has_its_labels_in_its_own_pixels_and_in_their_place() -> None:
    """An image of twice the pixels, which the model sees at half of them."""
    network = WrittenOutput().eval()
    resolution = Resolution((1.0, 1.0), 0.1, lambda ratio: AtResolution(network, ratio, back=False))
    model = Model("cells", network, "Cells", kind="labels", postprocess=STEP, resolution=resolution)
    twice = np.repeat(np.repeat(image()[:, ::2, ::2], 4, axis=1), 4, axis=2)
    size, batch = [n // 2 for n in twice.shape[1:]], torch.from_numpy(twice)[None]
    seen = nn.functional.interpolate(batch, size=size, mode="bilinear", antialias=True)[0].numpy()
    expected = np.asarray(ns.run(written_model(), seen, tile=256, **SERIAL))
    result = ns.run(model, twice, tile=64, pixel_size=0.5, **SERIAL)
    np.testing.assert_array_equal(np.asarray(result), expected)
    assert expected.any()
    assert result.store.provenance["to_slide"] == {"scale": [2.0, 2.0], "offset": [0.5, 0.5]}
    part = ns.run(model, twice, tile=64, pixel_size=0.5, region=ns.Region.of((100, 200), (120, 220)), **SERIAL)
    np.testing.assert_array_equal(np.asarray(part), expected[50:100, 60:110])


# --- what cannot be -----------------------------------------------------------------------


def test_an_output_of_other_channels_or_another_grid_is_refused_with_what_would_fit() -> None:
    wrong = replace(written_model(), module=WrittenOutput().eval(), postprocess=replace(STEP, rays=9))
    with pytest.raises(
        ModelError, match=r"are made of 10 channels of 130 x 150 cells; 'cells' gives 9 channels of 130"
    ):
        ns.run(wrong, image(), **SERIAL)
    full = replace(written_model(), module=nn.Conv2d(9, 9, 1).eval())
    with pytest.raises(ModelError, match="gives 9 channels of 259 x 300"):
        ns.run(full, image(), **SERIAL)


def test_numbers_that_are_none_are_refused_and_nothing_is_painted_of_them(tmp_path: Path) -> None:
    class Broken(WrittenOutput):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.log(super().forward(x) - 2)

    model = replace(written_model(), module=Broken().eval())
    with pytest.raises(BadRequest, match="a network for polygons gives numbers; got NaN or infinity"):
        ns.run(model, image(), tile=64, **SERIAL)


def test_empty_tissue_has_no_objects_and_takes_no_room(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.zarr"
    result = ns.run(written_model(), np.zeros((9, *SHAPE), np.float32), tile=64, output=path, **SERIAL)
    assert not np.asarray(result).any()
    assert len(ns.objects_of(result)) == 0
    assert not [file for file in path.rglob("c/*") if file.is_file()]


def test_objects_below_what_was_kept_and_of_other_results_are_refused() -> None:
    result: Result = ns.run(written_model(), image(), tile=256, **SERIAL)
    with pytest.raises(BadRequest, match=r"more likely than 0\.1; got a probability of 0\.05; run the network again"):
        ns.objects_of(result, probability=0.05)
    with pytest.raises(BadRequest, match=r"objects may overlap by a part of at least 0 and less than 1; got 1\.5"):
        ns.objects_of(result, overlap=1.5)
    plain = ns.run(nn.Conv2d(9, 1, 1).eval(), image(), **SERIAL)
    with pytest.raises(BadRequest, match="only a model with post-processing makes objects; 'Conv2d' was made by"):
        ns.objects_of(plain)


def test_an_object_that_is_larger_than_the_limit_is_told() -> None:
    result = ns.run(written_model(), image(), tile=256, **SERIAL)
    clipped = int(whole()[1].extra["clipped"].sum())
    assert f"{clipped} objects reach further than largest_radius, 24 pixels" in " ".join(result.report.notices)


def test_a_cancelled_run_raises_and_keeps_what_is_there(tmp_path: Path) -> None:
    def stop(_progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, RunCancelled)):
        ns.run(written_model(), image(), tile=64, output=tmp_path / "c.ome.zarr", on_progress=stop, **SERIAL)
    assert_same_objects(ns.run(written_model(), image(), tile=64, output=tmp_path / "c.ome.zarr", **SERIAL))


# --- recipes, and what is told ------------------------------------------------------------


def star_recipe(folder: Path, **postprocess: object) -> Path:
    arguments = {"inputs": 1, "rays": 8, "stem": 4, "widths": [4, 6], "features": 6}
    fields = {
        "name": "cells",
        "network": {"architecture": "stars", "arguments": arguments},
        "input": {"channels": ["one"], "multiple_of": 4},
        "output": {"kind": "image"},
        "postprocess": {"method": "polygons", "rays": 8, "largest_radius": 24, "probability": 0.4, **postprocess},
    }
    torch.manual_seed(1)
    return ns.save_recipe(folder / "cells", build("stars", arguments), fields)


def test_a_recipe_names_the_post_processing_and_its_settings(tmp_path: Path) -> None:
    model = ns.load_model(star_recipe(tmp_path))
    assert model.postprocess == replace(STEP, probability=0.4)
    result = ns.run(model, np.zeros((1, 101, 130), np.float32), axes="cyx", tile=64, scheduler="serial")
    assert result.shape == (101, 130)
    assert result.dtype == np.uint32


def test_a_recipe_with_settings_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the probability of an object is at least 0 and less than 1; got 1\.5"):
        star_recipe(tmp_path, probability=1.5)


def test_the_report_and_info_say_how_objects_were_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cells.ome.zarr"
    result = ns.run(written_model(), image(), tile=64, output=path, **SERIAL)
    report = result.report.objects
    assert report is not None
    assert report.method == "polygons"
    assert report.undecided > 100
    assert report.state_bytes > 10_000
    assert "probability 0.5, overlap 0.4, largest radius 24" in str(report)
    assert "a share of 0 of what objects are made of differs beyond rounding over 5 checks" in str(
        result.report.self_check
    )
    main(["info", str(path)])
    assert "objects     method polygons, rays 8, grid 2, classes 0, probability 0.5" in capsys.readouterr().out


def test_of_a_part_the_objects_with_their_centroid_in_it_are_given() -> None:
    asked = ns.Region.of((100, 160), (101, 183))
    found = ns.objects_of(ns.run(written_model(), image(), tile=64, region=asked, **SERIAL))
    centroid = whole()[1].centroid + 0.5
    inside = ((centroid >= asked.start) & (centroid < asked.stop)).all(axis=1)
    assert found.id.tolist() == whole()[1].id[inside].tolist() != []


def test_other_settings_on_the_same_output_make_labels_again_without_the_network(tmp_path: Path) -> None:
    path, other = tmp_path / "cells.ome.zarr", replace(STEP, probability=0.7)
    ns.run(written_model(other), image(), tile=64, output=path, **SERIAL)
    again = ns.run(written_model(), image(), tile=64, output=path, **SERIAL)
    assert again.report.tiles == 0
    assert "objects are made again of what an earlier run kept, with probability 0.5 instead of 0.7" in again.notices
    assert_same_objects(again)
    assert_same_objects(path, np.asarray(ns.open_result(path).levels[0]))
    assert not ns.run(written_model(), image(), tile=64, output=path, **SERIAL).notices[1:]


def test_every_label_of_a_part_has_a_row_wherever_its_centre_lies() -> None:
    asked = ns.Region.of((100, 160), (101, 183))
    result = ns.run(written_model(), image(), tile=64, region=asked, **SERIAL)
    ids = np.unique(result.store.read(ns.Region.from_shape(SHAPE)))
    rows = np.concatenate([table.id for table in object_tables(result.store, computed=True)])
    assert set(ids[ids > 0].tolist()) <= set(rows.tolist())
    assert len(np.unique(rows)) == len(rows)


def test_the_shell_saves_the_objects_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, output = star_recipe(tmp_path, probability=0.2, floor=0.1), tmp_path / "cells.ome.zarr"
    grey = (np.random.default_rng(0).random((1, 101, 130)) * 255).astype(np.uint8)
    tifffile.imwrite(tmp_path / "grey.tif", grey[0])
    run = ["run", str(tmp_path / "grey.tif"), "--model", str(recipe), "--output", str(output), "--tile", "64"]
    files = [tmp_path / "cells.geojson", tmp_path / "cells.csv"]
    assert main([*run, *(word for file in files for word in ("--objects", str(file)))]) == 0
    features = json.loads(files[0].read_text())["features"]
    found = ns.objects_of(output)
    assert len(features) == len(files[1].read_text().splitlines()) - 1 == len(found) > 0
    assert {feature["properties"]["objectType"] for feature in features} == {"detection"}
    assert "objects saved" in capsys.readouterr().err
    assert main([*run, "--objects", str(tmp_path / "cells.xls")]) != 0
    assert "objects are saved as .csv, .geojson" in capsys.readouterr().err
