"""Options on a command line: made from the fields of the dataclasses that Python has, so that each is written once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import Field
from functools import wraps
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Annotated, Any, get_type_hints

import typer

from napari_seamless.runs.config import OPTIONS, RunConfig
from napari_seamless.runs.export_options import EXPORT_OPTIONS, ExportOptions
from napari_seamless.runs.option import flag_of, option_of

Fields = Mapping[str, Field[Any]]


def with_run_options(
    *only: str, required: Collection[str] = (), without: Mapping[str, str] = MappingProxyType({})
) -> Callable[..., Any]:
    """Make a command of a function that takes a `config`: the options of a run, or `only` some, stand for it.

    Those that are `required` must be given; `without` says what happens without others here. What is typed is parsed
    and checked before the function is called; raises BadRequest.
    """

    names = only or tuple(name for name, of in OPTIONS.items() if option_of(of).in_shell)
    options = {name: OPTIONS[name] for name in names}
    return _with_options("config", options, lambda typed: config_from(typed), required, without)


def with_export_options(command: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function that takes `wanted`, as ExportOptions. Raises BadRequest for what is typed wrong."""
    made: Callable[..., None] = _with_options(
        "wanted", EXPORT_OPTIONS, lambda typed: ExportOptions(**_parsed(typed, EXPORT_OPTIONS))
    )(command)
    return made


def _with_options(
    argument: str,
    options: Fields,
    value_of: Callable[[Mapping[str, Any]], Any],
    required: Collection[str] = (),
    without: Mapping[str, str] = MappingProxyType({}),
) -> Callable[..., Any]:
    def made(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def call(**typed: Any) -> None:
            own = {name: typed.pop(name) for name in options}
            command(**typed, **{argument: value_of(own)})

        hints = get_type_hints(command, include_extras=True)
        own = [
            p.replace(annotation=hints[p.name], kind=Parameter.KEYWORD_ONLY)
            for p in signature(command).parameters.values()
            if p.name != argument
        ]
        generated = [parameter_of(of, name in required, without.get(name, "")) for name, of in options.items()]
        shown = signature(command).replace(parameters=[*own, *generated])
        setattr(call, "__signature__", shown)  # noqa: B010 - typer reads it, and no type says that a function has one
        call.__annotations__ = {p.name: p.annotation for p in (*own, *generated)}
        del call.__wrapped__
        return call

    return made


def config_from(typed: Mapping[str, Any]) -> RunConfig:
    """A config from what was typed, by name; raises BadRequest."""
    return RunConfig.of(**_parsed(typed, OPTIONS))


def _parsed(typed: Mapping[str, Any], options: Fields) -> dict[str, Any]:
    """What somebody has typed, as values."""
    given = {name: value for name, value in typed.items() if value != options[name].default}
    return {name: option_of(options[name]).parse(value) for name, value in given.items()}


def parameter_of(of: Field[Any], required: bool = False, without: str = "") -> Parameter:
    """An option as typer takes it; `without` goes before what the option says of that itself."""
    option = option_of(of)
    flags = [flag_of(of.name), *([option.short] if option.short else [])]
    shown: bool | str = without or option.without or (option.kind is not bool and of.default is not None)
    about = typer.Option(
        *flags, help=option.help, metavar=option.metavar or None, show_default=False if required else shown
    )
    kind: Any = option.kind if of.default is not None or required else option.kind | None
    return Parameter(
        of.name,
        Parameter.KEYWORD_ONLY,
        default=Parameter.empty if required else of.default,
        annotation=Annotated[kind, about],
    )
