"""The networks of a session: each is loaded once, however many images it is run on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from napari_seamless._napari.backend import Backend
from napari_seamless.fingerprints import stamp_of

if TYPE_CHECKING:
    from napari_seamless.models import Model

KEPT = 8


@dataclass(frozen=True)
class LoadRequest:
    """A network to be loaded: a name or path, and what has to be said about it. `arguments` are JSON."""

    what: str
    architecture: str = ""
    arguments: str = "{}"

    @property
    def key(self) -> str:
        """What the network is called in lists."""
        return f"{self.what} as {self.architecture} {self.arguments}" if self.architecture else self.what

    @property
    def shown(self) -> str:
        """The same for a person."""
        name = Path(self.what).name
        return f"{name} ({self.architecture})" if self.architecture else name


class NetworkCache:
    """`load` and `fetch` block, and may be called from any thread; the rest returns at once."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._loading = Lock()
        self._loaded: dict[str, Model] = {}
        self._stamps: dict[str, str] = {}
        self._requests: dict[str, LoadRequest] = {}

    def load(self, name: str) -> Model:
        """The network of a name or path, or of a request that was fetched before. Raises what `load_model` raises."""
        with self._loading:
            found = None if self.is_outdated(name) else self._loaded.get(name)
            return self._load(self._requests.get(name, LoadRequest(name))) if found is None else found

    def is_outdated(self, name: str) -> bool:
        """Whether the file, or anything in the folder, of a loaded network was written to since."""
        return name in self._loaded and self._stamps[name] != _stamp(self.request(name).what)

    def fetch(self, request: LoadRequest) -> Model:
        """Loads anew, as the file is now. Later `load`s of its key give the same network."""
        with self._loading:
            return self._load(request)

    def request(self, name: str) -> LoadRequest:
        """What has to be said to load a network of this name."""
        return self._requests.get(name, LoadRequest(name))

    def peek(self, name: str) -> Model | None:
        """The network, if it is there already."""
        return self._loaded.get(name)

    def _load(self, request: LoadRequest) -> Model:
        options: dict[str, Any] = {}
        if request.architecture:
            options = {"architecture": request.architecture, "arguments": json.loads(request.arguments)}
        stamp = _stamp(request.what)
        network: Model = self._backend.load_model(request.what, **options)
        self._requests[request.key] = request
        self._loaded[request.key], self._stamps[request.key] = network, stamp
        for oldest in list(self._loaded)[:-KEPT]:
            del self._loaded[oldest]
        return network


def _stamp(what: str) -> str:
    """What the disk says of a network's file or folder; "" for names of the library."""
    path = Path(what)
    if not path.is_absolute() or not path.exists():
        return ""
    return stamp_of(sorted(path.rglob("*")) if path.is_dir() else [path])


class CachingBackend:
    """A backend whose networks come from a cache."""

    def __init__(self, backend: Backend, networks: NetworkCache) -> None:
        self._backend = backend
        self.load_model: Callable[[str], Model] = networks.load

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)
