"""Series in time in files: every point of them, and that a user hears of them."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
import tifffile

from napari_seamless.cli import main
from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.io.readers import open_image

SERIES = np.random.default_rng(5).integers(0, 60000, (3, 4, 2, 70, 90)).astype(np.uint16)  # t, z, c, y, x
WHOLE = Region.from_shape((70, 90))


def imagej(path: Path) -> Path:
    tifffile.imwrite(path / "series.tif", SERIES, imagej=True, metadata={"axes": "TZCYX"})
    return path / "series.tif"


def ome(path: Path) -> Path:
    tifffile.imwrite(path / "series.ome.tif", SERIES, tile=(32, 48), compression="zlib", metadata={"axes": "TZCYX"})
    return path / "series.ome.tif"


def ome_pyramid(path: Path) -> Path:
    with tifffile.TiffWriter(path / "levels.ome.tif", ome=True) as tiff:
        tiff.write(SERIES, subifds=1, tile=(32, 48), metadata={"axes": "TZCYX"})
        tiff.write(SERIES[..., ::2, ::2], subfiletype=1, tile=(32, 48))
    return path / "levels.ome.tif"


def unnamed(path: Path) -> Path:
    tifffile.imwrite(path / "pages.tif", SERIES[:, 0, 0], photometric="minisblack")
    return path / "pages.tif"


@pytest.mark.parametrize("written", [imagej, ome, ome_pyramid])
def test_every_time_point_of_a_tiff_is_read_as_that_one(written, tmp_path: Path) -> None:
    path = written(tmp_path)
    for t, z in ((0, 0), (1, 3), (2, 2)):
        source = pickle.loads(pickle.dumps(open_image(path, plane={"t": t, "z": z})))
        assert source.info.times == 3
        np.testing.assert_array_equal(source.read(WHOLE), SERIES[t, z])
    np.testing.assert_array_equal(open_image(path).read(Region.from_shape((4, 70, 90))), SERIES[0].swapaxes(0, 1))


def test_coarser_levels_are_of_the_same_time_point(tmp_path: Path) -> None:
    source = open_image(ome_pyramid(tmp_path), plane={"t": 2, "z": 1})
    np.testing.assert_array_equal(source.read(Region.from_shape((35, 45)), 1), SERIES[2, 1, :, ::2, ::2])


def test_pages_become_times_where_the_user_says_so(tmp_path: Path) -> None:
    source = open_image(unnamed(tmp_path), axes="tyx", plane={"t": 2})
    np.testing.assert_array_equal(source.read(WHOLE)[0], SERIES[2, 0, 0])


def test_every_time_point_of_a_file_is_another_image_to_a_journal(tmp_path: Path) -> None:
    path = imagej(tmp_path)
    assert len({open_image(path, plane={"t": t}).info.identity for t in range(3)}) == 3


@pytest.mark.parametrize(("written", "says"), [(imagej, "has 0 to 2"), (unnamed, "has no axis t")])
def test_a_time_point_that_is_not_there_is_refused(written, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=says):
        open_image(written(tmp_path), axes="zyx" if written is unnamed else None, plane={"t": 3})


def test_info_tells_of_time_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(imagej(tmp_path))]) == 0
    assert "times       3; the first is taken; choose another by --plane t=1" in capsys.readouterr().out


class Microscope:
    """A BioImage of a series."""

    dims = SimpleNamespace(order="TCZYX", T=3, Z=4)
    physical_pixel_sizes = SimpleNamespace(Z=None, Y=None, X=None)

    def get_image_dask_data(self, letters: str) -> da.Array:
        index = {letter: k for k, letter in enumerate("TZCYX")}
        everything = da.from_array(SERIES).transpose([index[letter] for letter in sorted(letters, key="TCZYX".index)])
        return everything if "T" in letters else everything[0]


def test_every_time_point_of_a_bioimage_is_read_as_that_one() -> None:
    source = open_image(Microscope(), plane={"t": 2, "z": 1})
    np.testing.assert_array_equal(source.read(WHOLE), SERIES[2, 1])
