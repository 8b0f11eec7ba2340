"""The same picture in other types of numbers gives the same result, or is refused: models say what values they want."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

import napari_seamless as ns
from napari_seamless.errors import BadRequest, InputMismatch
from napari_seamless.io.readers.bioio import BioioSource
from napari_seamless.models.loaders.recipe_folder import model_of
from napari_seamless.models.recipe_file import checked_recipe

EIGHT = np.random.default_rng(0).integers(0, 256, (3, 80, 96)).astype(np.uint8)
EIGHT[:, 0, 0], EIGHT[:, 0, 1] = 0, 255
BUNDLED = ("stain", "nuclei")
MODEL = ns.Model("sums", nn.Conv2d(3, 1, 3, padding=1).eval(), "sums", value_range=(0.0, 255.0))


def run(model: object, image: np.ndarray, **options: object) -> ns.Result:
    return ns.run(model, image, axes="cyx", scheduler="serial", **options)


@pytest.mark.parametrize("model", BUNDLED)
@pytest.mark.parametrize("kind", ["sixteen bits", "unit floats", "bytes as float", "bytes in 16 bits", "12 bits, said"])
def test_the_result_does_not_depend_on_how_a_number_is_stored(model: str, kind: str) -> None:
    image, options = {
        "sixteen bits": (EIGHT.astype(np.uint16) * 257, {}),
        "unit floats": ((EIGHT / 255).astype(np.float32), {}),
        "bytes as float": (EIGHT.astype(np.float32), {}),
        "bytes in 16 bits": (EIGHT.astype(np.uint16), {}),
        "12 bits, said": (EIGHT.astype(np.uint16) * 16, {"value_range": (0, 255 * 16)}),
    }[kind]
    expected, found = run(model, EIGHT), run(model, image, **options)
    assert np.mean(np.asarray(found) != np.asarray(expected)) < 1e-3
    assert not expected.notices
    assert any("values" in notice for notice in found.notices)


TWELVE = EIGHT.astype(np.uint16) * 16 + 5
TWELVE[:, 0, 1] = 4095
OME: dict[str, Any] = {"metadata": {"axes": "CYX"}}
SAYS_TWELVE_BITS: dict[str, tuple[str, dict[str, Any]]] = {
    "SignificantBits": ("i.ome.tif", {"metadata": {"axes": "CYX", "SignificantBits": 12}}),
    "BitsPerSample": ("i.ome.tif", {**OME, "bitspersample": 12}),
    "MaxSampleValue": ("i.tif", {"extratags": [(281, 3, 1, 4095, True)], "photometric": "minisblack"}),
    "SMaxSampleValue": ("i.tif", {"extratags": [(341, 3, 1, 4095, True)], "photometric": "minisblack"}),
}


@pytest.mark.parametrize("said", SAYS_TWELVE_BITS)
def test_bits_that_a_file_says_it_uses_are_its_range_and_that_is_told(said: str, tmp_path: Path) -> None:
    name, how = SAYS_TWELVE_BITS[said]
    tifffile.imwrite(tmp_path / name, TWELVE, **how)
    source = ns.open_image(tmp_path / name, axes="cyx")
    assert source.info.value_range == (0, 4095)
    found, expected = run("nuclei", source), run("nuclei", TWELVE, value_range=(0, 4095))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    assert "the image's 0 to 4095 are scaled to these, as its file says (12 of 16 bits are used)" in found.notices[0]


def test_bits_are_read_by_bioio_too(tmp_path: Path) -> None:
    pytest.importorskip("bioio")
    tifffile.imwrite(tmp_path / "i.ome.tif", TWELVE, metadata={"axes": "CYX", "SignificantBits": 12})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = BioioSource(tmp_path / "i.ome.tif")
    assert source.info.value_range == (0, 4095)


@pytest.mark.parametrize(
    "how",
    [
        {"metadata": {"axes": "CYX", "SignificantBits": 16}},
        {**OME, "extratags": [(281, 3, 1, 3871, True)]},
        {**OME, "extratags": [(281, 3, 1, 65535, True)]},
    ],
    ids=["all bits", "a largest value that happens to be", "all values"],
)
def test_what_a_file_says_of_all_its_numbers_is_no_range(how: dict[str, Any], tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "i.ome.tif", TWELVE, **how)
    assert ns.open_image(tmp_path / "i.ome.tif").info.value_range is None


def test_an_image_brighter_than_its_file_says_is_refused(tmp_path: Path) -> None:
    pixels = TWELVE.copy()
    pixels[1, 40, 50] = 4096
    tifffile.imwrite(tmp_path / "i.ome.tif", pixels, metadata={"axes": "CYX", "SignificantBits": 12})
    with pytest.raises(InputMismatch, match=r"keep to the values that its file declares, 0 to 4095; 'i.ome.tif' has"):
        run("nuclei", tmp_path / "i.ome.tif")
    run("nuclei", tmp_path / "i.ome.tif", value_range=(0, 65535))


@pytest.mark.parametrize(
    "image", [EIGHT.astype(np.uint16) * 13, EIGHT.astype(np.float32) * 2, EIGHT.astype(np.int16) - 9]
)
def test_values_of_an_unknown_range_are_refused_with_what_to_say(image: np.ndarray) -> None:
    with pytest.raises(InputMismatch, match=r"nothing says what black and white are in it; say it with value_range="):
        run("nuclei", image)


def test_scaling_is_a_part_of_the_exact_program_and_of_the_provenance() -> None:
    sixteen = EIGHT.astype(np.uint16) * 257
    result = run(MODEL, sixteen, tile=64)
    with torch.no_grad():
        whole = MODEL.module(torch.from_numpy(EIGHT.astype(np.float32))[None])[0].numpy()
    np.testing.assert_allclose(np.asarray(result), whole, rtol=1e-6, atol=1e-4)
    prepared = [ns.prepare(MODEL, image, axes="cyx") for image in (EIGHT, sixteen)]
    assert prepared[0].program_hash != prepared[1].program_hash
    assert "multiples of 257" in prepared[1].notices[0]


def test_other_ranges_are_scaled_in_both_directions() -> None:
    unit = replace(MODEL, value_range=(-1.0, 1.0))
    found = run(unit, EIGHT)
    expected = run(replace(MODEL, value_range=None), (EIGHT / 127.5 - 1).astype(np.float32))
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=0, atol=1e-5)


def test_a_recipe_says_its_range_and_one_for_8_bits_has_theirs() -> None:
    fields = {
        "name": "cells",
        "network": {"architecture": "unet", "weights": "w.pt"},
        "input": {"channels": ["r", "g", "b"], "dtype": "uint8"},
        "output": {"kind": "image"},
    }
    network = nn.Conv2d(3, 1, 1).eval()
    assert model_of(checked_recipe(fields, "here"), network).value_range == (0, 255)
    fields["input"] = {"channels": ["r", "g", "b"], "range": [0, 4095]}
    model = model_of(checked_recipe(fields, "here"), network)
    twelve = EIGHT.astype(np.uint16) * 16
    np.testing.assert_allclose(np.asarray(run(model, EIGHT)), np.asarray(run(model, twelve)), rtol=0.01, atol=1)


def test_a_range_for_a_model_without_one_is_refused() -> None:
    with pytest.raises(BadRequest, match="models that say what values they were made for"):
        run(nn.Conv2d(3, 1, 1), EIGHT, value_range=(0, 1))
    with pytest.raises(BadRequest, match="two numbers"):
        run("stain", EIGHT, value_range=(3, 1))
