"""What may be said on a command line, and what is meant by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_seamless.errors import BadRequest

if TYPE_CHECKING:
    from napari_seamless.interfaces import Source
    from napari_seamless.models import Model
    from napari_seamless.runs.config import RunConfig
    from napari_seamless.runs.option_groups import ImageOptions

Image = Annotated[
    str, typer.Argument(help="An image file, or an OME-Zarr folder.", metavar="IMAGE", show_default=False)
]
ModelOption = Annotated[str, typer.Option("--model", "-m", help="A name from 'models', or a path to a model file.")]
SaveMoments = Annotated[
    Path | None,
    typer.Option("--save-moments", metavar="FILE.safetensors", help="Save what was measured.", show_default=False),
]
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
OutputImage = Annotated[
    str | None,
    typer.Option(
        "--output-image",
        metavar="NAME",
        help="Which image of a result of several outputs.",
        show_default="the first that fits, told",
    ),
]
Trust = Annotated[bool, typer.Option("--trust", help="Let the model's own code run; remembered for this very file.")]


@contextmanager
def opened(image: str, options: ImageOptions) -> Iterator[Source]:
    """The image that a command line means, open for as long as this lasts. Raises what opening raises, BadRequest."""
    import napari_seamless as ns

    with closing(ns.open_image(image, axes=options.axes, scene=options.scene, plane=options.plane)) as source:
        yield source if options.channels is None else ns.select(source, channels=options.channels)


def check_roi(config: RunConfig) -> None:
    """Refuse a file of outlines that cannot be read. Raises BadRequest, InputNotFound, InputUnreadable."""
    from napari_seamless.runs.roi import roi_of

    if config.part.roi is not None and not config.is_of_tissue:
        roi_of(config.part.roi)


def as_opened(config: RunConfig) -> RunConfig:
    """What is left to be said of a run, once its image is open."""
    return config.replace(axes=None, scene=None, plane=None, channels=None)


def loaded(model: str, architecture: str | None, arguments: str | None, trust: bool) -> Model:
    """The model that a command line means. Raises BadRequest where the arguments are no JSON object."""
    import napari_seamless as ns

    return ns.load_model(model, architecture=architecture, arguments=parse_arguments(arguments), trust=trust)


def parse_arguments(text: str | None) -> dict[str, Any] | None:
    """Keyword arguments from JSON; None for None. Raises BadRequest where it is no JSON object."""
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadRequest(f'arguments are a JSON object such as {{"inputs": 1}}; got {text!r}: {error}') from error
    if not isinstance(found, dict):
        raise BadRequest(f'arguments are a JSON object such as {{"inputs": 1}}; got {text!r}')
    return found
