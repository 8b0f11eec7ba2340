"""Some of the files that `benchmarks/hostile.py` breaks by the thousand, for every reader and every loader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hostile_files import Case, Subject, outcome_of

ROOT = Path(__file__).parents[2]
COUNT = 12


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked, and their memory is read from /proc")
def test_every_reader_and_loader_refuses_broken_files_in_a_sentence_or_reads_them() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "hostile.py"), "--count", str(COUNT), "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if f"| {COUNT} |" in line]
    titles = [row.split("|")[1].strip() for row in rows]
    assert {"zarr images", "TIFF images", "picture images", "recipe models", "torch.export models",
            "TorchScript models", "zip file models", "weights models"} <= set(titles)  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("fault", "kind"),
    [(KeyError("x"), "raw"), (ValueError("y"), "raw")],
    ids=repr,
)
def test_an_error_that_is_not_of_this_package_would_be_noticed(fault: Exception, kind: str, tmp_path: Path) -> None:
    def attempt(_: Path) -> None:
        raise fault

    outcome = outcome_of(Subject("broken", lambda _: [], attempt), tmp_path)
    assert Case("broken", 0, "", outcome).kind == kind
