"""Descriptions of models from strangers (TOML, YAML, JSON): a text may be long, deep, or hold itself many times over.

A description says what a model is; real ones have a few hundred values. What is larger is refused before anything walks
through it, and values that a file names again and again (aliases of YAML) count each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_seamless.errors import SeamlessError

LONGEST = 2**20
"""Bytes of a description."""
DEEPEST, MOST = 30, 100_000
"""How deep lists and tables lie in each other, and how many values there are."""


def read_text(file: Path, what: str, refusal: type[SeamlessError], longest: int = LONGEST) -> str:
    """The text of a file that is `what` ("a recipe"). Raises `refusal` where it is too long, OSError, UnicodeError."""
    with file.open("rb") as opened:
        content = opened.read(longest + 1)
    if len(content) > longest:
        raise refusal(f"{what} has {longest >> 10} KB at most; {file} has more; do not open it, or ask its author")
    return content.decode("utf-8")


def check_values(found: Any, what: str, refusal: type[SeamlessError]) -> None:
    """Raises `refusal` where lists and tables that were read lie too deep in each other, or hold too many values."""
    sizes: dict[int, int] = {}
    if _size(found, DEEPEST, sizes) > MOST:
        raise refusal(
            f"{what} holds {MOST} values at most, in {DEEPEST} lists and tables inside each other; got more; do not "
            "open it, or ask its author"
        )


def _size(found: Any, deeper: int, sizes: dict[int, int]) -> int:
    """How many values there are, each counted wherever it is named; MOST + 1 for too many."""
    if not isinstance(found, dict | list | tuple):
        return 1
    if deeper == 0:
        return MOST + 1
    if id(found) in sizes:
        return sizes[id(found)]
    sizes[id(found)] = MOST + 1  # until it is known: of what holds itself there is no end
    total = 1
    for one in found.values() if isinstance(found, dict) else found:
        total += _size(one, deeper - 1, sizes)
        if total > MOST:
            return MOST + 1
    sizes[id(found)] = total
    return total
