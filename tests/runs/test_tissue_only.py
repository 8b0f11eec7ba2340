"""Runs that look at tissue alone: what is left out, what is measured, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

import napari_seamless as ns
from napari_seamless import cli
from napari_seamless.errors import BadRequest, OutputExists
from napari_seamless.geometry import Grid
from napari_seamless.runs.chunk_mask import touched


def slide() -> np.ndarray:
    """White glass with a coloured piece in the middle, (y, x, 3)."""
    image = np.full((512, 640, 3), 240, np.uint8)
    noise = np.random.default_rng(3).integers(60, 220, (160, 200, 3))
    image[200:360, 200:400] = noise
    image[200:360, 200:400, 1] //= 4
    return image


def mask() -> np.ndarray:
    found = np.zeros((512, 640), bool)
    found[200:360, 200:400] = True
    return found


class Brightness(nn.Module):
    """The mean of the channels over the plane is taken from every pixel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(dim=(2, 3), keepdim=True)


def test_chunks_without_tissue_are_left_empty_and_the_rest_is_as_ever() -> None:
    everything = np.asarray(ns.run("stain", slide(), tile=64, scheduler="serial"))
    result = ns.run("stain", slide(), tile=64, scheduler="serial", roi="tissue", mask=mask())
    found = result.store.read(ns.Region.of((0, 512), (0, 640)))
    kept = touched(result.store.grid, mask())
    assert 0 < kept.sum() < kept.size
    whole = np.kron(kept, np.ones((64, 64), bool))[:512, :640]
    np.testing.assert_array_equal(found[..., whole], everything[..., whole])
    assert not found[..., ~whole].any()
    assert result.report.tiles == kept.sum()
    assert result.report.skipped == pytest.approx(1 - kept.mean())


def test_tissue_is_found_by_its_colour_where_no_mask_is_given() -> None:
    result = ns.run("stain", slide(), tile=64, scheduler="serial", roi="tissue")
    assert 0.5 < result.report.skipped < 0.9
    assert np.asarray(result)[..., 250:300, 250:300].any()


def test_a_result_without_its_empty_parts_is_complete_and_says_what_was_left_out(tmp_path: Path) -> None:
    path = tmp_path / "out.ome.zarr"
    image = slide()
    options = {"tile": 64, "scheduler": "serial", "output": path}
    ns.run("stain", image, roi="tissue", mask=mask(), **options)
    again = ns.run("stain", image, roi="tissue", mask=mask(), **options)
    assert again.report.tiles == 0
    assert again.store.finished.all()
    assert again.store.side_folder is not None
    np.testing.assert_array_equal(np.load(again.store.side_folder / "tissue.npy"), mask())
    with pytest.raises(OutputExists, match="another program"):
        ns.run("stain", image, **options)


def test_statistics_over_tissue_are_those_of_the_pixels_in_the_mask() -> None:
    image = slide()
    found = np.asarray(ns.run(Brightness(), image, tile=128, scheduler="serial", statistics="tissue", mask=mask()))
    expected = image.astype(np.float64) - image[mask()].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(found, np.moveaxis(expected, -1, 0), atol=1e-4)


class BrightestPlace(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0 + x.argmax()


def test_places_are_counted_in_the_whole_plane_also_where_statistics_are_taken_over_tissue() -> None:
    image = np.random.default_rng(1).permutation(mask().size).reshape(1, *mask().shape).astype(np.int32)
    options = {"tile": 128, "scheduler": "serial", "statistics": "tissue", "mask": mask()}
    found = np.asarray(ns.run(BrightestPlace(), image, axes="cyx", **options))
    assert np.unique(found).tolist() == [int(image.argmax())]


def test_a_coarse_mask_covers_the_whole_image() -> None:
    coarse = mask()[::40, ::40]
    grid = Grid((512, 640), (64, 64))
    assert touched(grid, coarse).any()
    assert touched(grid, np.ones((3, 2), bool)).all()
    assert touched(Grid((5, 512, 640), (5, 64, 64)), coarse).shape == (1, 8, 10)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mask": np.ones((4, 4), bool)}, "a mask needs statistics='tissue' or roi='tissue'"),
        ({"roi": "tissue", "mask": np.zeros((4, 4), bool)}, "has some pixel; got shape \\(4, 4\\) with 0"),
        ({"statistics": "tissue", "mask": np.ones(4, bool)}, "a mask is \\(y, x\\)"),
        ({"statistics": "nearby"}, "statistics are 'whole', 'tissue', 'local'"),
    ],
)
def test_a_mask_that_makes_no_sense_is_refused_in_one_sentence(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        ns.run(Brightness(), slide(), **options)


def test_the_command_line_takes_a_threshold_and_says_what_was_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", slide(), tile=(128, 128), photometric="rgb")

    def told(*more: str) -> tuple[int, str]:
        command = f"run {tmp_path}/slide.tif -o {tmp_path}/{len(more)}-{more[-1]} --model stain --tile 64 --device cpu"
        return cli.main([*command.split(), "--scheduler", "serial", *more]), capsys.readouterr().err

    code, said = told("--roi", "tissue")
    assert (code, "being no tissue" in said) == (0, True)
    mild = told("--roi", "tissue", "--tissue-threshold", "0.1")[1]
    strict = told("--roi", "tissue", "--tissue-threshold", "0.8")[1]
    shares = [int(text.split(" % of it left out")[0].split()[-1]) for text in (said, mild, strict)]
    assert shares[0] == shares[1] < shares[2]
    code, said = told("--roi", "tissue", "--tissue-threshold", "1")
    assert (code, "nothing is above 1.0; use a lower one" in said) == (2, True)
    code, said = told("--tissue-threshold", "0.1")
    assert (code, "got neither; add one" in said) == (2, True)
