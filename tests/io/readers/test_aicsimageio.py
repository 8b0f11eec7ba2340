"""aicsimageio reads the same files as bioio, to the same pixels. Skipped where it is missing (see the Makefile)."""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_seamless.errors import BadRequest, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Source
from napari_seamless.io.readers import formats, open_image, opener
from scene_files import IMAGES, several
from sources_oracle import assert_reads_equal, texture

pytestmark = [
    pytest.mark.skipif(find_spec("aicsimageio") is None, reason="aicsimageio is not installed: make aicsimageio"),
    pytest.mark.skipif(find_spec("bioio") is None, reason="bioio is not installed"),
    pytest.mark.filterwarnings("ignore"),  # of a library that is no longer developed
]


def plain(path: Path) -> Path:
    tifffile.imwrite(path, texture(30, 40), tile=(16, 16))
    return path


def stack(path: Path) -> Path:
    about = {"axes": "CZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    about |= {"Channel": {"Name": ["nuclei", "membrane"]}}
    tifffile.imwrite(path, texture(2, 5, 30, 40, dtype="uint16"), metadata=about, photometric="minisblack")
    return path


def movie(path: Path) -> Path:
    tifffile.imwrite(path, texture(3, 2, 4, 20, 30), metadata={"axes": "TZCYX"}, photometric="minisblack")
    return path


def both(path: Path, scene: int) -> tuple[Source, Source]:
    from napari_seamless.io.readers.aicsimageio import AicsimageioSource
    from napari_seamless.io.readers.bioio import BioioSource

    return AicsimageioSource(path, scene=scene), BioioSource(path, scene=scene)


@pytest.mark.parametrize(
    ("write", "scene"),
    [(plain, 0), (stack, 0), (movie, 0), (several, 0), (several, 1), (several, 2)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_file_is_the_same_image_through_both(write: Any, scene: int, tmp_path: Path) -> None:
    old, new = both(write(tmp_path / "image.ome.tif" if write is not plain else tmp_path / "image.tif"), scene)
    for fact in ("levels", "channels", "dtype", "pixel_size", "rgb", "scenes", "scene"):
        assert getattr(old.info, fact) == getattr(new.info, fact), fact
    if write is stack:
        assert old.info.channel_names == new.info.channel_names == ("nuclei", "membrane")
    whole = new.read(Region.from_shape(new.info.levels.shape(0)))
    assert_reads_equal(old, whole, count=3)
    copy = pickle.loads(pickle.dumps(old))
    assert copy.info == old.info
    assert_reads_equal(copy, whole, count=1)


def test_its_object_is_accepted_with_its_current_scene(tmp_path: Path) -> None:
    from napari_seamless.io.readers.aicsimageio import loaded

    image = loaded()[0](several(tmp_path / "several.ome.tif"))
    image.set_scene(1)
    assert_reads_equal(open_image(image), IMAGES[1], count=2)
    assert_reads_equal(open_image(image, scene=2), IMAGES[2][None], count=2)
    assert image.current_scene_index == 1
    with pytest.raises(BadRequest, match="AICSImage has 0 "):
        open_image(image, scene=7)


def test_it_is_asked_last_for_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [each.title for each in formats.FORMATS][-2:] == ["bioio", "aicsimageio"]
    (tmp_path / "image.lif").write_bytes(bytes(1000))
    with pytest.raises(InputUnreadable, match=r"aicsimageio: no installed part of aicsimageio reads image\.lif"):
        open_image(tmp_path / "image.lif")
    only = [each for each in formats.FORMATS if each.title == "aicsimageio"]
    monkeypatch.setattr(opener, "formats_for", lambda _: only)
    source = open_image(stack(tmp_path / "a.ome.tif"))
    np.testing.assert_array_equal(
        source.read(Region.of((0, 5), (3, 9), (0, 40))), texture(2, 5, 30, 40, dtype="uint16")[:, :, 3:9]
    )
