"""The command `view` where napari is not installed."""

from __future__ import annotations

import sys

import pytest

from napari_seamless.cli import main


def test_view_without_napari_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setitem(sys.modules, "napari", None)
    monkeypatch.delitem(sys.modules, "napari_seamless._napari.window", raising=False)
    assert main(["view", "slide.tif"]) == 1
    assert 'pip install "napari-seamless[gui]"' in capsys.readouterr().err
