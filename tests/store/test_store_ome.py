"""Results are OME-Zarr 0.5 that other people's programs accept."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.interfaces import LabelClass
from napari_seamless.store import StoreSpec, create_store, open_store

CLASSES = (
    LabelClass(0, "background", "#000000"),
    LabelClass(1, "nucleus", "#ff8000"),
    LabelClass(2, "edge", "#00ff00"),
)

CASES: dict[str, dict[str, Any]] = {
    "labels": {"kind": "labels", "shape": (1100, 1300), "dtype": np.uint8, "classes": CLASSES},
    "labels without classes": {"kind": "labels", "shape": (7, 5), "dtype": np.uint16},
    "label volume": {"kind": "labels", "shape": (5, 1100, 30), "dtype": np.uint8, "classes": CLASSES},
    "rgb": {
        "kind": "image",
        "shape": (1100, 90),
        "dtype": np.uint8,
        "channels": 3,
        "channel_names": ("red", "green", "blue"),
    },
    "one plane": {"kind": "image", "shape": (1100, 90), "dtype": np.float32},
    "many channels": {"kind": "image", "shape": (40, 90), "dtype": np.uint16, "channels": 9},
    "image volume": {"kind": "image", "shape": (9, 40, 90), "dtype": np.float32, "channels": 2},
}


def spec_for(case: str = "labels", **more: Any) -> StoreSpec:
    facts = {"channels": None, "source_identity": "s", "program_hash": "p", "name": "my nuclei", **CASES[case], **more}
    return StoreSpec(**facts)


def made(folder: Path, spec: StoreSpec) -> Path:
    """A result with its first chunk filled."""
    path = folder / "result.ome.zarr"
    with create_store(path, spec) as store:
        region = spec.grid.region((0,) * len(spec.shape))
        store.write(region, np.ones((spec.channels or 1, *region.shape), spec.dtype))
        store.commit(region)
    return path


def ome(path: Path, group: str = "") -> dict[str, Any]:
    found: Any = zarr.open_group(path, path=group, mode="r").attrs.asdict()["ome"]
    return dict(found)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("pixel_size", [None, 0.25])
def test_yaozarrs_accepts_every_kind_of_result(tmp_path: Path, case: str, pixel_size: float | None) -> None:
    spec = spec_for(case)
    sizes = None if pixel_size is None else (pixel_size,) * len(spec.shape)
    path = made(tmp_path, spec_for(case, pixel_size=sizes, translation=sizes))
    yaozarrs.validate_zarr_store(str(path))
    if spec.kind == "labels":
        yaozarrs.validate_zarr_store(str(path / "labels" / "my-nuclei"))


# its 1.6 cannot read its own copy of `image-label` without colours, though the standard only recommends them
@pytest.mark.parametrize("case", sorted(CASES.keys() - {"labels without classes"}))
def test_ome_zarr_models_accepts_every_kind_of_result(tmp_path: Path, case: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import ome_zarr_models
        from ome_zarr_models.v05 import Image, ImageLabel, Labels
    path = made(tmp_path, spec_for(case))
    assert type(ome_zarr_models.open_ome_zarr(zarr.open_group(path, mode="r"))) is Image
    if CASES[case]["kind"] == "labels":
        assert Labels.from_zarr(zarr.open_group(path / "labels", mode="r")).label_paths == ["my-nuclei"]
        ImageLabel.from_zarr(zarr.open_group(path / "labels" / "my-nuclei", mode="r"))


def test_napari_ome_zarr_opens_labels_as_labels_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        reader = pytest.importorskip("napari_ome_zarr._reader")
    folder = tmp_path / "deep" / "results"
    path = made(folder, spec_for(pixel_size=(0.5, 0.5)))
    layers = reader.napari_get_reader(str(path))()
    capsys.readouterr()
    assert [kind for _, _, kind in layers] == ["image", "labels"]
    data, facts, _ = layers[1]
    assert [level.shape for level in data] == [(1100, 1300), (550, 650)]
    assert facts["scale"] == [0.5, 0.5]
    assert facts["colormap"][1] == [1.0, 128 / 255, 0.0, 1.0]
    assert facts["properties"] == {"index": [0, 1, 2], "class": ["background", "nucleus", "edge"]}
    assert sorted(f.name for f in tmp_path.iterdir()) == ["deep"]


def test_napari_ome_zarr_opens_rgb_as_three_channels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        reader = pytest.importorskip("napari_ome_zarr._reader")
    ((data, facts, kind),) = reader.napari_get_reader(str(made(tmp_path, spec_for("rgb"))))()
    capsys.readouterr()
    assert (kind, facts["channel_axis"], data[0].shape) == ("image", 0, (3, 1100, 90))
    assert facts["name"] == ["my nuclei: red", "my nuclei: green", "my nuclei: blue"]
    assert facts["contrast_limits"] == [[0, 255]] * 3


def test_axes_scales_and_the_place_of_the_first_pixel_are_written_for_every_level(tmp_path: Path) -> None:
    path = made(tmp_path, spec_for("label volume", pixel_size=(2.0, 0.5, 0.5), translation=(10.0, 100.0, 0.0)))
    (image,) = ome(path)["multiscales"]
    assert [(a["name"], a["unit"]) for a in image["axes"]] == [(n, "micrometer") for n in "zyx"]
    first, second = (d["coordinateTransformations"] for d in image["datasets"])
    assert [t.get("scale") or t["translation"] for t in first] == [[2, 0.5, 0.5], [10, 100, 0]]
    # the centre of a coarse pixel lies half a fine pixel further in, where y and x are halved
    assert [t.get("scale") or t["translation"] for t in second] == [[2, 1, 1], [10, 100.25, 0.25]]


def test_a_result_without_a_pixel_size_claims_no_unit(tmp_path: Path) -> None:
    (image,) = ome(made(tmp_path, spec_for("rgb")))["multiscales"]
    assert image["axes"] == [{"name": "c", "type": "channel"}, *({"name": n, "type": "space"} for n in "yx")]


@pytest.mark.parametrize(
    ("case", "window"), [("rgb", (0, 255)), ("many channels", (0, 65535)), ("one plane", (0, 1)), ("labels", (0, 2))]
)
def test_channels_have_the_range_of_their_values(tmp_path: Path, case: str, window: tuple[int, int]) -> None:
    channels = ome(made(tmp_path, spec_for(case)))["omero"]["channels"]
    assert {(c["window"]["start"], c["window"]["end"]) for c in channels} == {window}
    assert len({c["label"] for c in channels}) == len(channels)


def test_a_colour_that_is_none_is_refused(tmp_path: Path) -> None:
    spec = spec_for(classes=(LabelClass(1, "nucleus", "orange"),))
    with pytest.raises(BadRequest, match=r"a colour of the form #rrggbb; got 'orange' for nucleus"):
        create_store(tmp_path / "a.zarr", spec)


def test_provenance_reports_and_everything_else_survive_reopening(tmp_path: Path) -> None:
    spec = spec_for(pixel_size=(0.5, 0.5), translation=(1.0, 2.0), provenance={"model": "nuclei 1", "tile": 512})
    path = made(tmp_path, spec)
    with open_store(path) as store:
        store.report({"seconds": 1.5, "tile": 1024})
    again = open_store(path)
    assert again.spec == replace(spec, provenance=again.provenance)
    assert again.provenance == {"model": "nuclei 1", "tile": 1024, "seconds": 1.5}
    assert (again.info.rgb, again.info.channels, again.classes) == (False, 1, CLASSES)
    assert open_store(made(tmp_path / "rgb", spec_for("rgb"))).info.rgb


def test_a_result_says_when_it_is_complete(tmp_path: Path) -> None:
    path = made(tmp_path, spec_for())
    assert zarr.open_group(path).attrs["napari-seamless"]["complete"] is False  # type: ignore[index,call-overload]
    with open_store(path) as store:
        everything = Region.from_shape(store.grid.shape)
        store.write(everything, np.ones((1, *everything.shape), np.uint8))
        store.commit(everything)
    assert zarr.open_group(path).attrs["napari-seamless"]["complete"] is True  # type: ignore[index,call-overload]


@pytest.mark.parametrize("case", ["labels", "rgb", "many channels", "label volume"])
def test_a_sharded_result_is_accepted_and_has_fewer_files(tmp_path: Path, case: str) -> None:
    sharded = made(tmp_path / "sharded", spec_for(case, chunk=64, shard=512))
    plain = made(tmp_path / "plain", spec_for(case, chunk=64))
    yaozarrs.validate_zarr_store(str(sharded))
    folder = spec_for(case).folder
    array = zarr.open_array(sharded / f"{folder}0", mode="r")
    assert array.shards is not None
    assert (array.shards[-2:], array.chunks[-2:]) == ((512, 512), (64, 64))
    counts = [sum(f.is_file() for f in (path / f"{folder}0" / "c").rglob("*")) for path in (sharded, plain)]
    assert counts[0] <= counts[1]
    region = Region.of(*((0, min(n, 64)) for n in spec_for(case).shape))
    assert open_store(sharded).read(region).all()


def test_a_shard_that_cuts_chunks_is_refused() -> None:
    with pytest.raises(BadRequest, match="whole number of chunks of 64 pixels; got 100; use 128"):
        spec_for("labels", chunk=64, shard=100)
