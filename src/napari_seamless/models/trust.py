"""Files that would run code are opened only after a person's yes, which is remembered by what is in the file.

Weights are numbers, and reading them runs nothing. A pickled module, a Python source in a package and an import path
in a recipe that came from elsewhere are programs: they can do whatever the person who starts them can.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from napari_seamless.errors import NotTrusted
from napari_seamless.models.places import user_folder


def require_trust(file: Path, content: bytes, runs: str, *, trust: bool) -> None:
    """Go on only if a person has said yes to this very content, now (`trust`) or before.

    `runs` says what would run, as the end of a sentence: "the Python objects in it". Raises NotTrusted.
    """
    digest = sha256(content).hexdigest()
    known = _read()
    if digest in known:
        return
    if not trust:
        raise NotTrusted(
            f"a model may run code only if you say so; {file.name} would run {runs}; if you trust where it comes from "
            "say so with trust=True (--trust), which is remembered for this file",
            file=file,
            runs=runs,
        )
    _write(known | {digest: {"file": file.name, "runs": runs, "when": datetime.now(UTC).isoformat(timespec="seconds")}})


def _book() -> Path:
    return user_folder() / "trusted.json"


def _read() -> dict[str, object]:
    """What was trusted before; a book that cannot be read is as good as none."""
    try:
        known = json.loads(_book().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(known: dict[str, object]) -> None:
    """All at once, so that a reader never sees a half; a book that cannot be written asks again next time."""
    book = _book()
    scratch = book.with_suffix(f".{os.getpid()}")
    try:
        book.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(known, indent=1), encoding="utf-8")
        scratch.replace(book)
    except OSError:
        scratch.unlink(missing_ok=True)
