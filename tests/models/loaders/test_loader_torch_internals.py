"""Names of torch that are not public, each taken away: what is missing then, and what still works."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_seamless.models import _compat, load_model
from napari_seamless.models.loaders import pt2, torchscript


def test_without_schemas_torchscript_loads_and_says_that_it_is_not_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = torchscript.write_example(tmp_path)
    assert "not_exact" not in load_model(path).card
    monkeypatch.delattr(torch._C, "parse_schema")
    model = load_model(path)
    assert "does not parse them (torch._C.parse_schema)" in str(model.card["not_exact"])
    assert model.module(torch.zeros(1, 2, 32, 32)).shape == (1, 3, 32, 32)


def test_without_symbols_an_exported_network_takes_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pt2.write_example(tmp_path)
    monkeypatch.setattr(pt2, "symbol_of", lambda _: None)
    assert pt2.load_exported(path).sizes == ((1, float("inf")),) * 2


def test_a_size_of_another_kind_has_no_symbol() -> None:
    assert _compat.symbol_of(7) is None
