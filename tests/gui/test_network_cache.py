"""A network is loaded once, and again when its file was saved anew."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from napari_seamless._napari.run.network_cache import NetworkCache


def test_a_network_whose_file_was_saved_anew_is_loaded_again(tmp_path: Path) -> None:
    loaded: list[str] = []

    def load_model(what: str, **_options: Any) -> Any:
        loaded.append(Path(what).read_text())
        return SimpleNamespace(name=loaded[-1])

    networks: Any = NetworkCache(SimpleNamespace(load_model=load_model))  # type: ignore[arg-type]
    file = tmp_path / "w.pt"
    file.write_text("one")
    assert networks.load(str(file)) is networks.load(str(file))
    assert not networks.is_outdated(str(file))
    file.write_text("two")
    assert networks.is_outdated(str(file))
    assert networks.load(str(file)).name == "two"
    assert loaded == ["one", "two"]
