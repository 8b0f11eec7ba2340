"""An error as a person reads it who wants to know more. Pure."""

from __future__ import annotations

import traceback
from collections.abc import Iterator


def details_of(error: BaseException) -> str:
    """The chain of causes, one a line, and below it all that Python says."""
    first, *others = chain(error)
    lines = [_told(first), *(f"because of: {_told(cause)}" for cause in others)]
    trace = "".join(traceback.format_exception(error))
    return "\n".join(lines) + f"\n\n{trace}"


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, what that was raised from, and so on."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
