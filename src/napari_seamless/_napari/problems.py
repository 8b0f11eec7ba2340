"""Which field of the dock an error is about, and how it is put to the user. Pure."""

from __future__ import annotations

import dataclasses
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
    NameArchitecture,
    NowhereToRun,
    OutputExists,
    OutputUnwritable,
    Remedy,
    RunApproximately,
    SeamlessError,
    SetPixelSize,
    TrustFile,
    UseBudget,
)

STEP = 10_000_000
"""What is offered as a budget is a multiple of so many bytes."""
LONGEST = 300
"""Characters of a notice: a dozen lines in the dock."""

LABELS: dict[type[Remedy], str] = {
    RunApproximately: "Run approximately",
    SetPixelSize: "Set pixel size…",
    TrustFile: "Decide…",
    NameArchitecture: "Name the architecture…",
}
"""What the button says that does it; for what is not here there is none."""

Field = Literal["image", "model", "roi", "budget", "output", "run"]

FIELDS: tuple[tuple[type[SeamlessError], Field], ...] = (
    (BudgetTooSmall, "budget"),
    (NowhereToRun, "roi"),
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
    """A notice, the field that it stands next to, what the notice's button does about it, and the error that it is."""

    field: Field
    notice: Notice
    remedy: Remedy | None
    error: BaseException = dataclasses.field(compare=False)


def problem_of(error: BaseException) -> Problem:
    """The problem that an error means.

    What this package refuses is a sentence already; anything else is a fault of the program, and is called one.
    """
    field: Field = next((field for kind, field in FIELDS if isinstance(error, kind)), "run")
    remedy = _remedy(error)
    return Problem(field, Notice(_short(sentence_of(error)), details_of(error), _label(remedy)), remedy, error)


def sentence_of(error: BaseException) -> str:
    """An error in full, as a sentence for the dock."""
    if isinstance(error, SeamlessError):
        return capitalised(error.in_window)
    told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"Something went wrong that should not have: {told}"


def _remedy(error: BaseException) -> Remedy | None:
    """The last thing to do that there is a button for. A budget is rounded up, as a person would."""
    for remedy in reversed(error.remedies if isinstance(error, SeamlessError) else ()):
        if isinstance(remedy, UseBudget):
            return UseBudget(-(-remedy.bytes // STEP) * STEP)
        if type(remedy) in LABELS:
            return remedy
    return None


def _label(remedy: Remedy | None) -> str:
    if remedy is None:
        return ""
    return f"Use {memory(remedy.bytes)}" if isinstance(remedy, UseBudget) else LABELS[type(remedy)]


def _short(text: str) -> str:
    """A long list of reasons without its end, which is in the details anyway."""
    if len(text) <= LONGEST:
        return text
    return textwrap.shorten(text, LONGEST, placeholder=" …")


def capitalised(text: str) -> str:
    """The same text with a capital letter at its start, unless that is the name of a file."""
    if not text.partition(" ")[0].rstrip(":,;").isalpha():
        return text
    return text[:1].upper() + text[1:]
