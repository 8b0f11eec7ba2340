"""A name that tifffile has moved is put back for aicsimageio."""

from __future__ import annotations

import pytest
import tifffile

from napari_seamless.io._compat import restore_moved_names


def test_the_name_is_there_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(type(tifffile.TIFF), "RESUNIT", raising=False)
    restore_moved_names()
    assert tifffile.TIFF.RESUNIT is tifffile.RESUNIT
    monkeypatch.delattr(type(tifffile.TIFF), "RESUNIT")


def test_nothing_is_done_where_tifffile_has_it_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(type(tifffile.TIFF), "RESUNIT", raising=False)
    monkeypatch.delattr(tifffile, "RESUNIT", raising=False)
    restore_moved_names()
    assert not hasattr(tifffile.TIFF, "RESUNIT")
