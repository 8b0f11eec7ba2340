"""What is known of one option of a run: written once, and read by Python, shell, window and documentation alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass
from typing import Any

KEY = "option"


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Option:
    """One option, beside its name, type and default, which are those of the dataclass field that carries it.

    `help` is one sentence. `choices` are all values that there are, where they can be counted. `unit` is that of a
    number. `without` says what happens without it, where the default value does not. `kind` is its type in a
    shell and in forms: bool, int, float, str or Path. `parse` makes the value of what is typed there (raises
    BadRequest), and `text` the other way round. `metavar` is what is typed, for example, and `short` a flag of one
    letter. `files` are the endings of files that may be named instead of a choice. Without `in_shell` it is for Python
    only, being an array or an object.
    """

    help: str
    kind: type = str
    choices: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    unit: str = ""
    without: str = ""
    metavar: str = ""
    short: str = ""
    parse: Callable[[Any], Any] = _as_it_is
    text: Callable[[Any], str] = str
    in_shell: bool = True


def option(help: str, **facts: Any) -> dict[str, Option]:
    """The metadata of a dataclass field that is an option; `facts` are the fields of `Option`."""
    return {KEY: Option(help, **facts)}


def option_of(of: Field[Any]) -> Option:
    """What such a field carries."""
    found: Option = of.metadata[KEY]
    return found


def flag_of(name: str) -> str:
    """An option's name in a shell.

    >>> flag_of("keep_half")
    '--keep-half'
    """
    return "--" + name.replace("_", "-")
