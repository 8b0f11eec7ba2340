"""An HTTP server of a folder, for as long as a test takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any


class FolderHandler(SimpleHTTPRequestHandler):
    """Serves a folder quietly."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path, handler: type[FolderHandler] = FolderHandler, **state: Any) -> Iterator[Any]:
    """A server with its address as `url`, and with attributes of these names, which its handler may look at."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    server.url = f"http://127.0.0.1:{server.server_port}"
    vars(server).update(state)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
