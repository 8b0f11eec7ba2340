"""The docs name what the tables of formats hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_seamless.io.writers import formats as output_formats
from napari_seamless.models.loaders import formats as model_formats

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("suffix", [suffix for suffix in model_formats.SUFFIXES if suffix != ".zip"])
def test_the_page_on_networks_names_every_model_file(suffix: str) -> None:
    assert f"`{suffix}`" in (ROOT / "docs" / "own-network.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/napari.md"])
@pytest.mark.parametrize("suffix", model_formats.WEIGHTS.suffixes)
def test_the_other_pages_name_the_same_weights(page: str, suffix: str) -> None:
    assert f"`{suffix}`" in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("one", output_formats.FORMATS, ids=lambda one: one.title)
def test_the_page_on_files_names_every_output(one: output_formats.OutputFormat) -> None:
    assert f"`{one.suffixes[0]}`" in (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
