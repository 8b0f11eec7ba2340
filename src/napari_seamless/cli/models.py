"""The commands about models: list, show, add, remove."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_seamless.cli.options import Architecture, Arguments, Trust, loaded, parse_arguments

models = typer.Typer(help="List, show, add and remove models.", invoke_without_command=True)
Name = Annotated[str, typer.Argument(help="A name from 'models'.", show_default=False)]


@models.callback()
def every(context: typer.Context) -> None:
    """List, show, add and remove models. Alone: list them."""
    if context.invoked_subcommand is None:
        list_models()


@models.command("list")
def list_models() -> None:
    """List the models that ship and those that were added."""
    import napari_seamless as ns

    names = ns.model_names()
    width = max(map(len, names))
    for name in names:
        typer.echo(f"{name:<{width}}  {ns.describe_model(name)}")


@models.command()
def show(
    model: Annotated[str, typer.Argument(help="A name from 'models', or a path.", show_default=False)],
    architecture: Architecture = None,
    arguments: Arguments = None,
    trust: Trust = False,
) -> None:
    """Print a model's card: data, licence, measured figures, what it is bad at."""
    from napari_seamless.models.card import card_of

    typer.echo(str(card_of(loaded(model, architecture, arguments, trust))))


@models.command()
def add(
    path: Annotated[
        Path,
        typer.Argument(help="A recipe folder, a package, a .pt2 or TorchScript file, or weights with --architecture."),
    ],
    name: Annotated[str | None, typer.Option("--name", help="What to call it.", show_default="its own name")] = None,
    architecture: Architecture = None,
    arguments: Arguments = None,
    trust: Trust = False,
) -> None:
    """Copy a model to your own, under a name, after trying that it loads."""
    import napari_seamless as ns

    added = ns.add_model(path, name, architecture=architecture, arguments=parse_arguments(arguments), trust=trust)
    typer.echo(added)


@models.command()
def remove(name: Name) -> None:
    """Delete a model that was added."""
    import napari_seamless as ns

    ns.remove_model(name)


@models.command()
def trusted() -> None:
    """List the files that may run code, each with the first digits of its sha256."""
    from napari_seamless.models.trust import trusted

    for digest, said in trusted().items():
        typer.echo(f"{digest[:12]}  {said['file']}: {said['runs']}, since {said['when']}")


@models.command()
def distrust(
    digest: Annotated[str, typer.Argument(help="The first digits of a sha256 from 'models trusted'.")],
) -> None:
    """Take a yes back: the file is asked about again."""
    from napari_seamless.models.trust import distrust

    distrust(digest)
