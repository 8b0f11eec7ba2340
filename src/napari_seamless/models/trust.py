"""Files that would run code are opened only after a person's yes, which is remembered by what is in the file.

Weights are numbers, and reading them runs nothing. A pickled module, a Python source in a package and an import path
in a recipe that came from elsewhere are programs: they can do whatever the person who starts them can.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from filelock import FileLock

from napari_seamless.durable_files import write_durably
from napari_seamless.errors import BadRequest, NotTrusted
from napari_seamless.models.folders import user_folder

DIGITS = 8


def require_trust(file: Path, content: bytes, runs: str, *, trust: bool) -> None:
    """Go on only if a person has said yes to this very content, now (`trust`) or before.

    `runs` says what would run, as the end of a sentence: "the Python objects in it". Raises NotTrusted.
    """
    digest = sha256(content).hexdigest()
    if digest in _read():
        return
    if not trust:
        raise NotTrusted(
            f"a model may run code only if you say so; {file.name} would run {runs}",
            file=file,
            runs=runs,
            sha256=digest,
        )
    _remember(digest, file.name, runs)


def trust(question: NotTrusted) -> None:
    """Answer a question with yes: the very content that it is about may run code from now on. Any thread.

    A model may ask more than once, as each of its files is reached: load it again, and ask the person again.
    """
    _remember(question.sha256, question.file.name, question.runs)


def trusted() -> Mapping[str, Mapping[str, str]]:
    """What a person has said yes to: by sha256, each with `file` (its name then), `runs` and `when` (ISO 8601)."""
    return {
        digest: {key: str(value) for key, value in entry.items()}
        for digest, entry in _read().items()
        if isinstance(entry, dict)
    }


def distrust(sha256: str) -> None:
    """Take a yes back. `sha256` may be the first 8 or more of its digits. Raises BadRequest where none fits, or two,
    and OSError where the list cannot be written."""
    with _changing() as known:
        meant = [digest for digest in known if digest.startswith(sha256.lower()) and len(sha256) >= DIGITS]
        if len(meant) != 1:
            raise BadRequest(
                f"a yes is taken back by the first {DIGITS} or more digits of the file's sha256; {sha256!r} fits "
                f"{len(meant)} of {len(known)}; copy it from the list of what is trusted"
            )
        del known[meant[0]]


def _remember(digest: str, name: str, runs: str) -> None:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    with suppress(OSError), _changing() as known:  # a list that cannot be written asks again next time
        known[digest] = {"file": name, "runs": runs, "when": when}


def _file() -> Path:
    return user_folder() / "trusted.json"


def _read() -> dict[str, object]:
    """What was trusted before; a file that cannot be read is as good as none."""
    try:
        known = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


@contextmanager
def _changing() -> Iterator[dict[str, object]]:
    """What is trusted, to be changed; written whole at the end, one change at a time on this machine.

    Raises OSError.
    """
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        known = _read()
        yield known
        write_durably(file, json.dumps(known, indent=1).encode())
