"""Addresses of images on other machines, as fsspec writes them."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from napari_seamless.errors import InputUnreadable

NEEDS = {
    "http": ("aiohttp", "fsspec"), "https": ("aiohttp", "fsspec"), "s3": ("s3fs", "fsspec"),
    "gs": ("gcsfs", "fsspec"), "gcs": ("gcsfs", "fsspec"), "memory": ("fsspec",),
}  # fmt: skip


STALL_SECONDS = 30.0


def is_url(what: object) -> bool:
    """Whether `what` begins as addresses do ("http://"); the drive of a path does not."""
    return isinstance(what, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", what) is not None


def local_path(url: str) -> Path | None:
    """The path of a file:// address, None for all others."""
    parts = urlsplit(url)
    return Path(url2pathname(unquote(parts.path))) if parts.scheme.lower() == "file" else None


def require_readable(url: str) -> None:
    """Raises InputUnreadable for a kind of address that is not known, or whose packages are not installed."""
    kind = urlsplit(url).scheme.lower()
    if kind not in NEEDS:
        raise InputUnreadable(f"an address must begin with {'://, '.join(NEEDS)}:// or file://; got {url}")
    missing = [name for name in NEEDS[kind] if find_spec(name) is None]
    if missing:
        raise InputUnreadable(
            f"{kind} addresses are read by {' and '.join(missing)}, not installed; "
            'pip install "napari-seamless[remote]"'
        )


def stall_options(url: str) -> dict[str, Any] | None:
    """What fsspec is to be told so that a server that says nothing more for STALL_SECONDS fails; None for addresses
    whose own packages see to it (s3fs and gcsfs, after about a minute)."""
    if urlsplit(url).scheme.lower() not in ("http", "https"):
        return None
    from aiohttp import ClientTimeout

    timeout = ClientTimeout(total=None, sock_connect=STALL_SECONDS, sock_read=STALL_SECONDS)
    return {"client_kwargs": {"timeout": timeout}}


def network_errors(what: object) -> tuple[type[Exception], ...]:
    """What reading from an address may raise besides OSError."""
    if not is_url(what) or find_spec("aiohttp") is None:
        return ()
    from aiohttp import ClientError

    return (ClientError,)
