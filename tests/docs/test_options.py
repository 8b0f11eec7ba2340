"""The pages of options and of public names are made from the code, and leave nothing out."""

from __future__ import annotations

import runpy
from pathlib import Path

import napari_seamless as ns

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_options_is_what_the_config_says() -> None:
    made = runpy.run_path(str(DOCS / "make_options.py"))
    assert made["page"]() == made["PAGE"].read_text(encoding="utf-8"), "run python docs/make_options.py"


def test_every_public_name_has_its_line() -> None:
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    missing = [name for name in ns.__all__ if not name.startswith("_") and f"| `{name}` |" not in page]
    assert missing == [], "run python docs/make_python.py"
