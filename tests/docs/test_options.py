"""The page of options is made from the config, and so cannot say anything else."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_options_is_what_the_config_says() -> None:
    made = runpy.run_path(str(DOCS / "make_options.py"))
    assert made["page"]() == made["PAGE"].read_text(encoding="utf-8"), "run python docs/make_options.py"
