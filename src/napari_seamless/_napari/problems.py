"""Which field of the dock an error is about, and how it is put to the user. Pure."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal

from napari_seamless._napari.causes import details_of
from napari_seamless._napari.widgets.notice import Notice
from napari_seamless._napari.widgets.wording import memory
from napari_seamless.errors import (
    BudgetTooSmall,
    DeviceUnavailable,
    InputMismatch,
    InputNotFound,
    InputUnreadable,
    ModelError,
    NotTrusted,
    NowhereToRun,
    OutputExists,
    OutputUnwritable,
    PixelSizeUnknown,
    SeamlessError,
    WeightsMismatch,
)

HOW_TO_APPROXIMATE = " with approximate=True (--approximate)"
"""How refusals say what to do; here a button does it."""
HOW_TO_SAY = (
    "; say it with pixel_size=0.25 (--pixel-size 0.25), in um per pixel",
    "; or name its architecture",
    "; pass the module itself if it is another network",
    "; if you trust where it comes from say so with trust=True (--trust), which is remembered for this file",
)
"""How refusals say what to do in Python and in a shell, where here a button does it."""
RUN_APPROXIMATELY = "Run approximately"
STEP = 10_000_000
"""What is offered as a budget is a multiple of so many bytes."""
SET_PIXEL_SIZE = "Set pixel size…"
ASK_TRUST = "Decide…"
NAME_ARCHITECTURE = "Name the architecture…"
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
    needed = -(-error.needed // STEP) * STEP if isinstance(error, BudgetTooSmall) else 0
    return Problem(field, Notice(_short(sentence_of(error)), details_of(error), _action(error)), needed)


def sentence_of(error: BaseException) -> str:
    """An error in full, as a sentence for the dock."""
    if isinstance(error, SeamlessError):
        return _sentence(without_hints(str(error)))
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"Something went wrong that should not have: {told}"


def without_hints(text: str) -> str:
    """A text without what to do in Python and in a shell."""
    for hint in (HOW_TO_APPROXIMATE, *HOW_TO_SAY):
        text = text.replace(hint, "")
    return text


def _action(error: BaseException) -> str:
    """What a button beside the sentence can do about it."""
    match error:
        case BudgetTooSmall() if error.needed:
            return f"Use {memory(-(-error.needed // STEP) * STEP)}"
        case PixelSizeUnknown():
            return SET_PIXEL_SIZE
        case NotTrusted():
            return ASK_TRUST
        case WeightsMismatch() if HOW_TO_SAY[1] in str(error):
            return NAME_ARCHITECTURE
        case SeamlessError() if HOW_TO_APPROXIMATE in str(error):
            return RUN_APPROXIMATELY
    return ""


def _short(text: str) -> str:
    """A long list of reasons without its end, which is in the details anyway."""
    if len(text) <= LONGEST:
        return text
    return textwrap.shorten(text, LONGEST, placeholder=" …")


def _sentence(text: str) -> str:
    """The same text with a capital letter at its start, unless that is the name of a file."""
    if not text.partition(" ")[0].rstrip(":,;").isalpha():
        return text
    return text[:1].upper() + text[1:]
