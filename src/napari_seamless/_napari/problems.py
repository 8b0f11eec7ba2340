"""Which field of the dock an error is about, and how it is put to the user. Pure."""

from __future__ import annotations

import textwrap
import traceback
from dataclasses import dataclass
from typing import Literal

from napari_seamless._napari.editors.notice import Notice
from napari_seamless._napari.wording import memory
from napari_seamless.errors import (
    BudgetTooSmall,
    DeviceUnavailable,
    InputMismatch,
    InputNotFound,
    InputUnreadable,
    ModelError,
    NowhereToRun,
    OutputExists,
    OutputUnwritable,
    SeamlessError,
)

HOW_TO_APPROXIMATE = " with approximate=True (--approximate)"
"""How refusals say what to do; here a button does it."""
RUN_APPROXIMATELY = "Run approximately"
STEP = 10_000_000
"""What is offered as a budget is a multiple of so many bytes."""
LONGEST = 300
"""Characters of a notice: a dozen lines in the dock."""

Field = Literal["image", "model", "where", "budget", "output", "run"]

FIELDS: tuple[tuple[type[SeamlessError], Field], ...] = (
    (BudgetTooSmall, "budget"),
    (NowhereToRun, "where"),
    (InputNotFound, "image"),
    (InputUnreadable, "image"),
    (InputMismatch, "image"),
    (ModelError, "model"),
    (DeviceUnavailable, "model"),
    (OutputExists, "output"),
    (OutputUnwritable, "output"),
)


@dataclass(frozen=True)
class Problem:
    """A notice and the field that it stands next to. `needed` is the memory, in bytes, that would put it right."""

    field: Field
    notice: Notice
    needed: int = 0


def problem_of(error: BaseException) -> Problem:
    """The problem that an error means.

    What this package refuses is a sentence already; anything else is a fault of the program, and is called one.
    """
    field: Field = next((field for kind, field in FIELDS if isinstance(error, kind)), "run")
    details = "".join(traceback.format_exception(error))
    if isinstance(error, SeamlessError):
        text = _sentence(str(error))
        if isinstance(error, BudgetTooSmall) and error.needed:
            enough = -(-error.needed // STEP) * STEP
            return Problem(field, Notice(_short(text), details, f"Use {memory(enough)}"), enough)
        if HOW_TO_APPROXIMATE not in text:
            return Problem(field, Notice(_short(text), details))
        return Problem(field, Notice(_short(text.replace(HOW_TO_APPROXIMATE, "")), details, RUN_APPROXIMATELY))
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Problem(field, Notice(f"Something went wrong that should not have: {told}", details))


def _short(text: str) -> str:
    """A long list of reasons without its end, which is in the details anyway."""
    if len(text) <= LONGEST:
        return text
    return textwrap.shorten(text, LONGEST, placeholder=" …")


def _sentence(text: str) -> str:
    """The same text with a capital letter at its start."""
    return text[:1].upper() + text[1:]
