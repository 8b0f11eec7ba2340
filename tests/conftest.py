"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _disk_that_needs_no_waiting() -> Iterator[None]:
    """No test cuts this machine's power: what is synced need not be waited for. Processes of their own do wait, and
    tests of what is synced see every call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _file: None)
        yield
