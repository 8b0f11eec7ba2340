"""Every promise of docs/durability.md names the test that holds it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "durability.md"


def test_every_promise_has_its_test() -> None:
    rows = re.findall(r"^\| (.+?) \| `(test_\w+)` \|$", PAGE.read_text(), flags=re.MULTILINE)
    tables = PAGE.read_text().split("## On which file systems")[0]
    lines = [line for line in tables.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(rows) == len(lines) >= 15
    code = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for _, name in rows if f"def {name}(" not in code] == []
    assert all(promise.endswith(".") for promise, _ in rows)
