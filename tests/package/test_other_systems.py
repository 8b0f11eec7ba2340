"""What only Linux has is asked for on Linux alone: tried where Python is told that it is on Windows, and on macOS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "builders" / "other_systems.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each system is a fork")
def test_the_package_is_imported_and_runs_without_what_other_systems_lack(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", str(SCRIPT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    windows, macos = (json.loads(line) for line in done.stdout.splitlines())
    for found in (windows, macos):
        assert not found["failed"], found["system"]
        assert found["mean"] == windows["mean"] > 0
        assert found["tiles made again"] == 0
    assert macos["synced"] > 10 > windows["synced"] == 0
