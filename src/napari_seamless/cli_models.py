"""The commands about models: list, show, add, remove; and the options by which any command says which it means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_seamless.errors import BadRequest

if TYPE_CHECKING:
    from napari_seamless.pipeline import Model

models = typer.Typer(help="List, show, add and remove models.", invoke_without_command=True)

Architecture = Annotated[
    str | None,
    typer.Option(
        "--architecture",
        help="For a file of weights: package.module:factory, monai:Name, smp:Name, torchvision:name or timm:name.",
        show_default=False,
    ),
]
Arguments = Annotated[
    str | None, typer.Option("--arguments", help="Its keyword arguments, as JSON.", show_default=False)
]
Trust = Annotated[bool, typer.Option("--trust", help="Let the model's own code run; remembered for this very file.")]
PixelSize = Annotated[
    float | None,
    typer.Option(
        "--pixel-size", help="Micrometres per level-0 pixel, for a model with a resolution.", show_default="the image's"
    ),
]
Name = Annotated[str, typer.Argument(help="A name from 'models'.", show_default=False)]


def loaded(model: str, architecture: str | None, arguments: str | None, trust: bool) -> Model:
    """The model that a command line means. Raises BadRequest where the arguments are no JSON object."""
    from napari_seamless import pipeline

    return pipeline.load_model(model, architecture=architecture, arguments=_parsed(arguments), trust=trust)


def _parsed(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadRequest(f'arguments are a JSON object such as {{"inputs": 1}}; got {text!r}: {error}') from error
    if not isinstance(found, dict):
        raise BadRequest(f'arguments are a JSON object such as {{"inputs": 1}}; got {text!r}')
    return found


@models.callback()
def every(context: typer.Context) -> None:
    """List, show, add and remove models. Alone: list them."""
    if context.invoked_subcommand is None:
        list_models()


@models.command("list")
def list_models() -> None:
    """List the models that ship and those that were added."""
    from napari_seamless import pipeline

    names = pipeline.model_names()
    width = max(map(len, names))
    for name in names:
        typer.echo(f"{name:<{width}}  {pipeline.describe_model(name)}")


@models.command()
def show(
    model: Annotated[str, typer.Argument(help="A name from 'models', or a path.", show_default=False)],
    architecture: Architecture = None,
    arguments: Arguments = None,
    trust: Trust = False,
) -> None:
    """Print a model's card: data, licence, measured figures, what it is bad at."""
    from napari_seamless import pipeline

    typer.echo("\n".join(pipeline.card_lines(loaded(model, architecture, arguments, trust))))


@models.command()
def add(
    path: Annotated[Path, typer.Argument(help="A recipe folder, a package, a .pt2 or TorchScript file.")],
    name: Annotated[str | None, typer.Option("--name", help="What to call it.", show_default="its own name")] = None,
    trust: Trust = False,
) -> None:
    """Copy a model to your own, under a name, after trying that it loads."""
    from napari_seamless import pipeline

    typer.echo(pipeline.add_model(path, name, trust=trust))


@models.command()
def remove(name: Name) -> None:
    """Delete a model that was added."""
    from napari_seamless import pipeline

    pipeline.remove_model(name)
