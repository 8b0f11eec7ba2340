"""Files and objects that hold several images."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_seamless.errors import BadRequest, InputUnreadable
from napari_seamless.io.readers import open_image
from scene_files import IMAGES, raw_folder, several
from sources_oracle import assert_reads_equal, texture


def test_an_ome_tiff_gives_its_first_image_and_tells_of_the_others(tmp_path: Path) -> None:
    source = open_image(several(tmp_path / "several.ome.tif"))
    assert source.info.scenes == ("left 0", "right", "left 2")
    assert source.info.scene == "left 0"
    assert source.info.notices == (
        "several.ome.tif holds 3 images; this is 'left 0'; choose another by scene=1 (--scene 1), or its name",
    )
    assert_reads_equal(source, IMAGES[0][None], count=3)
    source.close()


@pytest.mark.parametrize("scene", [1, "right", "1"])
def test_a_scene_is_chosen_by_number_or_name(scene: int | str, tmp_path: Path) -> None:
    source = open_image(several(tmp_path / "several.ome.tif"), scene=scene)
    assert source.info.pixel_size == (1.5, 1.5)
    assert source.info.notices == ()
    assert_reads_equal(source, IMAGES[1], count=3)
    copy = pickle.loads(pickle.dumps(source))
    assert copy.info == source.info
    assert_reads_equal(copy, IMAGES[1], count=1)
    first = open_image(tmp_path / "several.ome.tif")
    assert first.info.identity != source.info.identity
    for each in (first, copy, source):
        each.close()


@pytest.mark.parametrize("scene", [3, -1, "middle", ""])
def test_a_scene_that_is_not_there_gets_a_list_of_those_that_are(scene: int | str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=rf"got {scene!r}; several.ome.tif has 0 'left 0', 1 'right', 2 'left 2'"):
        open_image(several(tmp_path / "several.ome.tif"), scene=scene)


def test_what_holds_one_image_has_no_other_scene(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", texture(10, 10))
    zarr.save_array(str(tmp_path / "a.zarr"), texture(10, 10))
    for what in (tmp_path / "a.tif", tmp_path / "a.zarr", texture(10, 10)):
        source = open_image(what, scene=0)
        assert source.info.scenes == ()
        source.close()
        with pytest.raises(BadRequest, match=r"got 1; .* (has 0 'a.tif'|holds a single image)"):
            open_image(what, scene=1)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_images_of_a_bioformats2raw_folder_are_scenes(zarr_format: int, tmp_path: Path) -> None:
    path = raw_folder(tmp_path / "raw.zarr", zarr_format, listed=False)
    first, second = open_image(path), open_image(path, scene=1)
    assert first.info.scenes == ("cells 0", "cells 1")
    assert (first.info.name, second.info.name) == ("raw.zarr", "raw.zarr")
    assert_reads_equal(first, texture(1, 30, 40), count=2)
    assert_reads_equal(second, texture(1, 20, 10), count=2)
    assert first.info.identity != second.info.identity
    assert pickle.loads(pickle.dumps(second)).info == second.info
    listed = open_image(raw_folder(tmp_path / "listed.zarr", zarr_format, listed=True))
    assert_reads_equal(listed, texture(1, 20, 10), count=2)


class Scenes:
    """What AICSImage and BioImage share, over one array (t, c, z, y, x) a scene."""

    scenes = ("a", "b")
    channel_names = ("0",)
    physical_pixel_sizes = SimpleNamespace(Z=None, Y=0.5, X=0.5)

    def __init__(self) -> None:
        self.current_scene_index = 0

    def set_scene(self, scene: int) -> None:
        self.current_scene_index = scene

    @property
    def dims(self) -> SimpleNamespace:
        return SimpleNamespace(order="TCZYX", T=1, Z=1)

    def get_image_dask_data(self, letters: str) -> da.Array:
        assert letters == "CYX"
        return da.from_array(IMAGES[2 * self.current_scene_index][None])


def test_a_bioimage_gives_its_current_scene_or_the_one_asked_for_and_stays_as_it_was() -> None:
    image = Scenes()
    assert_reads_equal(open_image(image), IMAGES[0][None], count=2)
    source = open_image(image, scene="b")
    assert image.current_scene_index == 0
    assert (source.info.scenes, source.info.scene) == (("a", "b"), "b")
    assert_reads_equal(source, IMAGES[2][None], count=2)
    image.set_scene(1)
    assert_reads_equal(open_image(image), IMAGES[2][None], count=2)
    with pytest.raises(BadRequest, match="Scenes has 0 'a', 1 'b'"):
        open_image(image, scene="c")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ome-types, in bioio's plug-in
def test_bioio_reads_each_scene_of_a_file(tmp_path: Path) -> None:
    bioio = pytest.importorskip("bioio")
    from napari_seamless.io.readers.bioio import BioioSource

    path = several(tmp_path / "several.ome.tif")
    source = BioioSource(path, scene=1)
    assert_reads_equal(source, IMAGES[1], count=2)
    assert_reads_equal(pickle.loads(pickle.dumps(source)), IMAGES[1], count=1)
    first, third = (open_image(bioio.BioImage(path), scene=k) for k in (0, 2))
    np.testing.assert_array_equal(first.read(_whole(first)), IMAGES[0][None])
    np.testing.assert_array_equal(third.read(_whole(third)), IMAGES[2][None])


def test_a_scene_of_a_format_that_bioio_alone_reads_is_not_refused_by_readers_of_single_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bioio")
    monkeypatch.setattr("napari_seamless.io.readers.bioio.BioImage", lambda _: Scenes())
    (tmp_path / "cells.abc").write_bytes(b"a microscope's own format")
    source = open_image(tmp_path / "cells.abc", scene=1)
    assert source.info.scene == "b"
    assert_reads_equal(source, IMAGES[2][None], count=2)
    with pytest.raises(BadRequest, match=r"cells.abc has 0 'a', 1 'b'"):
        open_image(tmp_path / "cells.abc", scene=2)


def test_a_picture_has_no_other_scene(tmp_path: Path) -> None:
    Image.fromarray(texture(10, 10)).save(tmp_path / "a.png")
    assert open_image(tmp_path / "a.png", scene=0).info.scenes == ()
    with pytest.raises(BadRequest, match=r"got 1; a.png holds a single image"):
        open_image(tmp_path / "a.png", scene=1)


def test_a_plug_in_of_bioio_that_does_not_work_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bioio")

    def broken(_: Any) -> None:
        raise ModuleNotFoundError("No module named 'liffile'")

    monkeypatch.setattr("napari_seamless.io.readers.bioio.BioImage", broken)
    (tmp_path / "cells.abc").write_bytes(b"a microscope's own format")
    with pytest.raises(InputUnreadable, match=r"bioio: a plug-in does not work here: No module named 'liffile'"):
        open_image(tmp_path / "cells.abc")


def _whole(source: Any) -> Any:
    from napari_seamless.geometry import Region

    return Region.from_shape(source.info.levels.shape(0))
