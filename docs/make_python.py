"""Writes docs/python.md from the docstrings of the public names; a test says when one of them is missing."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path

import napari_seamless as ns

PAGE = Path(__file__).parent / "python.md"
HEAD = """# The public names

All of `napari_seamless` that is meant for scripts, with what each is for; `help(ns.run)` says the rest. What a run
can be told is on [a page of its own](options.md). Names that are not here may change at any time.

| name | what it is |
|---|---|
"""


def page() -> str:
    return HEAD + "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    for name in sorted(ns.__all__, key=str.lower):
        if not name.startswith("_"):
            first, *_ = (getdoc(getattr(ns, name)) or "").split("\n\n")
            yield f"| `{name}` | {' '.join(first.split()).replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
