"""How values stand in the cells of a CSV file."""

from __future__ import annotations

from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that spreadsheets compute when they open a table."""


def cell_of(value: Any) -> Any:
    """Floats without digits that mean nothing; names that a spreadsheet would compute with a ' before them.

    >>> cell_of(0.1 + 0.2), cell_of("=1+1"), cell_of(3)
    ('0.3', "'=1+1", 3)
    """
    if isinstance(value, float):
        return f"{value:.10g}"
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
