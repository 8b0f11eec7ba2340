"""The options of a run on a command line: made from the fields of the config, so that each is written once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import wraps
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Annotated, Any, get_type_hints

import typer

from napari_seamless.runs.config import OPTIONS, RunConfig
from napari_seamless.runs.option import flag_of, option_of

CONFIG = "config"


def with_run_options(
    *only: str, required: Collection[str] = (), without: Mapping[str, str] = MappingProxyType({})
) -> Callable[..., Any]:
    """Make a command of a function that takes a `config`: the options of a run, or `only` some, stand for it.

    Those that are `required` must be given; `without` says what happens without others here. What is typed is parsed
    and checked before the function is called; raises BadRequest.
    """

    def made(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def call(**typed: Any) -> None:
            own = {name: typed.pop(name) for name in names}
            command(**typed, config=config_from(own))

        names = only or tuple(name for name, of in OPTIONS.items() if option_of(of).in_shell)
        hints = get_type_hints(command, include_extras=True)
        own = [
            p.replace(annotation=hints[p.name], kind=Parameter.KEYWORD_ONLY)
            for p in signature(command).parameters.values()
            if p.name != CONFIG
        ]
        generated = [parameter_of(name, name in required, without.get(name, "")) for name in names]
        shown = signature(command).replace(parameters=[*own, *generated])
        setattr(call, "__signature__", shown)  # noqa: B010 - typer reads it, and no type says that a function has one
        call.__annotations__ = {p.name: p.annotation for p in (*own, *generated)}
        del call.__wrapped__
        return call

    return made


def config_from(typed: Mapping[str, Any]) -> RunConfig:
    """A config from what was typed, by name; raises BadRequest."""
    given = {name: value for name, value in typed.items() if value != OPTIONS[name].default}
    return RunConfig.of(**{name: option_of(OPTIONS[name]).parse(value) for name, value in given.items()})


def parameter_of(name: str, required: bool = False, without: str = "") -> Parameter:
    """An option as typer takes it; `without` goes before what the option says of that itself."""
    of = OPTIONS[name]
    option = option_of(of)
    flags = [flag_of(name), *([option.short] if option.short else [])]
    shown: bool | str = without or option.without or (option.kind is not bool and of.default is not None)
    about = typer.Option(
        *flags, help=option.help, metavar=option.metavar or None, show_default=False if required else shown
    )
    kind: Any = option.kind if of.default is not None or required else option.kind | None
    return Parameter(
        name,
        Parameter.KEYWORD_ONLY,
        default=Parameter.empty if required else of.default,
        annotation=Annotated[kind, about],
    )
