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
    from napari_seamless.geometry import Region
    from napari_seamless.interfaces import Source
    from napari_seamless.models import Model

Slide = Annotated[
    str, typer.Argument(help="An image file, or an OME-Zarr folder.", metavar="SLIDE", show_default=False)
]
ModelOption = Annotated[str, typer.Option("--model", "-m", help="A name from 'models', or a path to a model file.")]
Level = Annotated[int, typer.Option(help="The level of the pyramid to work on; 0 is the finest.")]
Budget = Annotated[
    str | None, typer.Option(help="Device memory that the run may use, as 2GB or 500MB.", show_default="what is free")
]
TileOption = Annotated[
    int | None, typer.Option("--tile", help="Side of a tile in pixels.", show_default="the largest that fits")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps or xpu.")]
RegionOption = Annotated[
    str | None,
    typer.Option(
        "--region", metavar="Y0:Y1,X0:X1", help="Half-open, in level-0 pixels.", show_default="the whole image"
    ),
]
Within = Annotated[
    Path | None,
    typer.Option(
        "--within",
        metavar="FILE.geojson",
        help="Run only where its shapes are (QuPath exports such files), in level-0 pixels.",
        show_default="everywhere",
    ),
]
Channels = Annotated[
    str | None,
    typer.Option(
        "--channels",
        metavar="0,2",
        help="Which channels of the image the model gets, by number (from 0) or name, in its order.",
        show_default="as they are",
    ),
]
Axes = Annotated[
    str | None,
    typer.Option("--axes", help="Which axis of the file is which, such as cyx.", show_default="as the file says"),
]
Plane = Annotated[
    str | None,
    typer.Option(
        "--plane",
        metavar="t=3,z=10",
        help="One time point, or one plane of a stack, by number (from 0).",
        show_default="the whole stack, at its first time point",
    ),
]
Scheduler = Annotated[str, typer.Option(help="dask, serial, or the address of a dask cluster (tcp://...).")]
KeepOption = Annotated[
    str,
    typer.Option("--keep", help="What lies between two passes: auto, recompute (nothing), or on device, host or disk."),
]
KeepHalf = Annotated[bool, typer.Option("--keep-half", help="Round it to half precision: smaller, not exact.")]
Scratch = Annotated[
    Path | None, typer.Option("--scratch", help="A folder for what is kept on disk.", show_default="beside the output")
]
StatisticsOption = Annotated[
    str,
    typer.Option(
        "--statistics",
        metavar="whole|tissue|local|FILE",
        help="Of what norms over the plane are taken: the whole image (exact), its tissue, each tile (approximate), or "
        "as saved in a file of moments or an earlier result.",
    ),
]
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
Trust = Annotated[bool, typer.Option("--trust", help="Let the model's own code run; remembered for this very file.")]
PixelSize = Annotated[
    float | None,
    typer.Option(
        "--pixel-size", help="Micrometres per level-0 pixel, for a model with a resolution.", show_default="the image's"
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        help="float32 (exact), or quicker and rounded: tf32, bfloat16 or float16. How far off it is, is measured.",
    ),
]
TissueOnly = Annotated[bool, typer.Option("--tissue-only", help="Leave out what is no tissue, by its colour.")]
TissueThreshold = Annotated[
    float | None,
    typer.Option(
        "--tissue-threshold",
        metavar="0..1",
        help="What counts as tissue: a saturation above this. Less finds more of it.",
        show_default="Otsu's",
    ),
]
Scene = Annotated[
    str | None, typer.Option("--scene", help="The scene of a file of several, by name or number.", show_default="first")
]


@contextmanager
def opened(
    slide: str, axes: str | None = None, scene: str | None = None, plane: str | None = None, channels: str | None = None
) -> Iterator[Source]:
    """The image that a command line means, open for as long as this lasts. Raises what opening raises, BadRequest."""
    import napari_seamless as ns

    chosen = parse_plane(plane)
    with closing(ns.open_image(slide, axes=axes, scene=scene_of(scene), plane=chosen)) as image:
        yield image if channels is None else ns.select(image, channels=parse_channels(channels))


def tissue_of(source: Source, threshold: float | None, is_used: bool) -> Any:
    """A mask (y, x) of the tissue by a threshold of the user's; None leaves it to the run. Raises BadRequest."""
    if threshold is None:
        return None
    if not is_used:
        raise BadRequest(
            "--tissue-threshold says what --tissue-only and --statistics tissue take for tissue; got neither; add one"
        )
    import napari_seamless as ns

    mask = ns.tissue_mask(source, threshold=threshold)
    if not mask.any():
        raise BadRequest(f"a threshold must leave some tissue; nothing is above {threshold}; use a lower one")
    return mask


def parse_region(text: str) -> Region:
    """``Y0:Y1,X0:X1`` (with ``Z0:Z1,`` before it for a volume) as a region of level-0 pixels."""
    from napari_seamless.geometry import Region

    bounds: list[tuple[int, int]] = []
    for part in text.split(","):
        lo, colon, hi = part.partition(":")
        if not (colon and lo.strip().isdecimal() and hi.strip().isdecimal() and int(lo) < int(hi)):
            raise BadRequest(f"a region is Y0:Y1,X0:X1, each from a smaller to a larger whole number; got {text!r}")
        bounds.append((int(lo), int(hi)))
    if len(bounds) not in (2, 3):
        raise BadRequest(f"a region has two axes, Y0:Y1,X0:X1, or three with Z0:Z1 in front; got {text!r}")
    return Region.of(*bounds)


def parse_plane(text: str | None) -> dict[str, int] | None:
    """``t=3,z=10`` as numbers by axis; None for None."""
    if text is None:
        return None
    found: dict[str, int] = {}
    for part in text.split(","):
        letter, equals, number = (word.strip() for word in part.partition("="))
        if not (equals and number.isdecimal()):
            raise BadRequest(f"a plane is t or z, '=' and a whole number, such as t=3,z=10; got {text!r}; correct it")
        found[letter] = int(number)
    return found


def parse_channels(text: str) -> tuple[int | str, ...]:
    """``0,2`` or ``DAPI,actin`` as numbers or names of channels."""
    parts = (part.strip() for part in text.split(","))
    return tuple(int(part) if part.isdecimal() else part for part in parts)


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


def scene_of(text: str | None) -> str | int | None:
    """A scene's number where it is one, else its name."""
    return int(text) if text is not None and text.isdecimal() else text
