"""The options of a run, in six frozen groups, each written once.

An option is a field: its name is that of the keyword argument and, with dashes, of the flag in a shell; its `Option`
(option.py) has the sentence of help, the choices and the unit. Nothing is opened, read or loaded here, so that a
shell answers at once: what depends on the image or the device is checked where that is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.runs.config_values import Comparable, normal_roi
from napari_seamless.runs.option import option
from napari_seamless.runs.option_text import (
    TISSUE,
    channels_text,
    outputs_text,
    parse_budget,
    parse_channels,
    parse_outputs,
    parse_plane,
    parse_region,
    parse_roi,
    parse_scene,
    parse_value_range,
    plane_text,
    region_text,
    value_range_text,
)
from napari_seamless.runtime.planning.budget import chunk_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from napari_seamless.runs.moments import Moments

AnyRoi: TypeAlias = "NDArray[np.bool_] | Sequence[Any] | Mapping[str, Any] | Region | str | Path"
Keep = Literal["auto", "recompute", "device", "host", "disk"]
KEEP: tuple[Keep, ...] = ("auto", "recompute", "device", "host", "disk")
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
STATISTICS = ("whole", TISSUE, "local")
MOMENT_FILES = (".safetensors", ".zarr")


@dataclass(frozen=True, eq=False)
class ImageOptions(Comparable):
    """Which pixels of a file or an array are the image, and how large they are.

    `axes` has a letter for each axis of the array, such as "cyx" (c channel, z y x space, t time). `plane` takes one
    time point or plane, {"t": 3, "z": 10}, from 0. `channels` are numbers or names, in the model's order. `pixel_size`
    is in micrometres per level-0 pixel, one number or ((z,) y, x), and goes before what the image says; it is for
    models that work at a resolution of their own. `value_range` are the pixel values of black and white, such as
    (0, 4095) of 12 bits; the values are scaled to those that the model was made for.
    """

    axes: str | None = field(
        default=None, metadata=option("Which axis of the file is which, such as cyx.", without="as the file says")
    )
    scene: str | int | None = field(
        default=None,
        metadata=option("The scene of a file of several, by name or number.", without="first", parse=parse_scene),
    )
    plane: Mapping[str, int] | None = field(
        default=None,
        metadata=option(
            "One time point, or one plane of a stack, by number (from 0).",
            without="the whole stack, at its first time point",
            metavar="t=3,z=10",
            parse=parse_plane,
            text=plane_text,
        ),
    )
    channels: Sequence[int | str] | None = field(
        default=None,
        metadata=option(
            "Which channels of the image the model gets, by number (from 0) or name, in its order.",
            without="as they are",
            metavar="0,2",
            parse=parse_channels,
            text=channels_text,
        ),
    )
    pixel_size: float | Sequence[float] | None = field(
        default=None,
        metadata=option(
            "Micrometres per level-0 pixel, for a model with a resolution.",
            kind=float,
            unit="µm",
            without="the image's",
        ),
    )
    value_range: Sequence[float] | None = field(
        default=None,
        metadata=option(
            "The pixel values of black and white, for a model that says what values it was made for.",
            without="by the image's type and values",
            metavar="0:4095",
            parse=parse_value_range,
            text=value_range_text,
        ),
    )
    level: int = field(default=0, metadata=option("The level of the pyramid to work on; 0 is the finest.", kind=int))


@dataclass(frozen=True, eq=False)
class RoiOptions(Comparable):
    """Which part of the result is made; with the very pixels that a run over everything gives.

    `region` is a box in level-0 pixels: nothing else is looked at. `roi` says more closely where: a GeoJSON file, a
    list of polygons, each (n, 2) of (y, x), both in level-0 pixels along the edges of pixels, a Region, or a bool mask
    (y, x) over the whole image at any resolution; chunks of the result that it touches are made, and a later run on the
    same output may name another place and adds to it. "tissue" leaves out what is no tissue for good: those chunks
    count as finished, and stay empty.
    """

    region: Region | None = field(
        default=None,
        metadata=option(
            "Half-open, in level-0 pixels.",
            without="the whole image",
            metavar="Y0:Y1,X0:X1",
            parse=parse_region,
            text=region_text,
        ),
    )
    roi: AnyRoi | None = field(
        default=None,
        metadata=option(
            "Only where the shapes of a file are (QuPath exports such files), in level-0 pixels; or only tissue, by "
            "its colour.",
            without="everywhere",
            metavar="FILE.geojson|tissue",
            parse=parse_roi,
        ),
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "roi", normal_roi(self.roi))


@dataclass(frozen=True, eq=False)
class MemoryOptions(Comparable):
    """How much memory a run may use, and what lies in it between two passes over the image.

    `budget` is in bytes of device memory, a number or text such as "2GB". `tile` overrides the tile's edge that follows
    from it. `keep` is "auto" (what is quickest), "recompute" (nothing is kept), or the "device", the "host" or the
    "disk" for the cheapest cut of activations; that of the disk lies in the folder `scratch`. `keep_half` rounds what
    is kept to float16, which is not the same as on the whole image.
    """

    budget: int | None = field(
        default=None,
        metadata=option(
            "Device memory that the run may use, as 2GB or 500MB.",
            unit="bytes",
            without="what is free",
            parse=parse_budget,
        ),
    )
    tile: int | None = field(
        default=None,
        metadata=option("Side of a tile in pixels.", kind=int, unit="pixels", without="the largest that fits"),
    )
    keep: Keep = field(
        default="auto",
        metadata=option(
            "What lies between two passes: auto, recompute (nothing), or on device, host or disk.", choices=KEEP
        ),
    )
    keep_half: bool = field(
        default=False,
        metadata=option("Round it to half precision: smaller, not the same as on the whole image.", kind=bool),
    )
    scratch: Path | None = field(
        default=None, metadata=option("A folder for what is kept on disk.", kind=Path, without="beside the output")
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "budget", self.budget and parse_budget(self.budget))
        object.__setattr__(self, "scratch", None if self.scratch is None else Path(self.scratch))
        if self.keep not in KEEP:
            raise BadRequest(f"keep is one of {', '.join(KEEP)}; got {self.keep!r}")
        if self.tile is not None:
            chunk_of(self.tile)


@dataclass(frozen=True, eq=False)
class OutputOptions(Comparable):
    """Where the result goes: the OME-Zarr folder `output`, or memory without one.

    The same run on the same folder continues it, with `same_image` also where the image is another file than before
    (repaired, or copied again). With `shards` the chunks of a tile share a file: a hundredth of the files.
    """

    output: Path | None = field(
        default=None, metadata=option("The OME-Zarr folder to write.", kind=Path, short="-o", without="in memory")
    )
    overwrite: bool = field(default=False, metadata=option("Begin anew, and replace what is there.", kind=bool))
    shards: bool = field(default=False, metadata=option("Many chunks a file: fewer, larger files.", kind=bool))
    same_image: bool = field(
        default=False, metadata=option("The file was repaired or copied again: go on with the result.", kind=bool)
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", None if self.output is None else Path(self.output))


@dataclass(frozen=True, eq=False)
class StatisticsOptions(Comparable):
    """Over which pixels norms and pools over the plane take their statistics.

    `statistics`: over the "whole" image, whatever the part that is made, over its "tissue", as given by Moments
    or a file of them, or over each input tile alone ("local", as other tools do: approximate). Where tissue is, `mask`
    says, (y, x) over the whole image at any resolution, or `tissue_threshold`, a saturation from 0 to 1; without both
    it is found by colour. `compare_to_whole` says in the report how far other statistics, or rounding, led from the
    result of the whole image, which takes the passes that measure its statistics.
    """

    statistics: str | Path | Moments = field(
        default="whole",
        metadata=option(
            "Of what norms over the plane are taken: the whole image, its tissue, each tile (approximate), or "
            "as saved in a file of moments or an earlier result.",
            choices=STATISTICS,
            files=MOMENT_FILES,
            metavar="whole|tissue|local|FILE",
        ),
    )
    mask: ArrayLike | None = field(
        default=None, metadata=option("Where tissue is: (y, x), the whole image at any resolution.", in_shell=False)
    )
    tissue_threshold: float | None = field(
        default=None,
        metadata=option(
            "What counts as tissue: a saturation above this. Less finds more of it.",
            kind=float,
            without="Otsu's",
            metavar="0..1",
        ),
    )
    compare_to_whole: bool = field(
        default=False,
        metadata=option("Say how far the result is from that of the whole image, which takes its passes.", kind=bool),
    )

    def __post_init__(self) -> None:
        said = self.statistics
        is_file = isinstance(said, Path) or str(said).rstrip("/\\").endswith(MOMENT_FILES)
        if isinstance(said, str | Path) and not is_file and said not in STATISTICS:
            raise BadRequest(
                f"statistics are 'whole', 'tissue', 'local', moments, a file of moments (.safetensors) or an earlier "
                f"result (.zarr); got {said!r}"
            )


@dataclass(frozen=True, eq=False)
class ExecutionOptions(Comparable):
    """What computes, and in what precision.

    `precision` is "float32", or fewer digits: "tf32" (CUDA), "bfloat16" or "float16" for convolutions, matrix
    products and what lies between them; such a result is marked as rounded, and checked against float32. `scheduler` is
    "dask", "serial", a dask address, a scheduler file (.json) or a distributed.Client. `network_output` names one of
    several outputs ("out", "masks.0"), or is its number; a list of these, or "all", makes a result with an image for
    each. With `approximate` a network that cannot be the same in tiles as on the whole image is run on overlapping,
    blended tiles, and the result is marked so.
    """

    device: str = field(default="auto", metadata=option("auto, cpu, cuda, mps or xpu."))
    precision: str = field(
        default="float32",
        metadata=option(
            "float32, or quicker and rounded: tf32, bfloat16 or float16. How far off that is, is measured.",
            choices=PRECISIONS,
        ),
    )
    scheduler: Any = field(
        default="dask",
        metadata=option("dask, serial, or a dask cluster: address (tcp://...) or scheduler file (.json)."),
    )
    network_output: str | int | Sequence[str | int] | None = field(
        default=None,
        metadata=option(
            "Which output of a network that gives several, by name or number (from 0); or some, or all of them.",
            without="the main one by rule, told",
            metavar="NAME|0|A,B|all",
            parse=parse_outputs,
            text=outputs_text,
        ),
    )
    approximate: bool = field(
        default=False,
        metadata=option("Where tiles cannot give the same as the whole image, blend overlapping ones.", kind=bool),
    )

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise BadRequest(
                f"a precision is one of {', '.join(PRECISIONS)}; got {self.precision!r}; use float32 if unsure"
            )
        if isinstance(self.scheduler, str) and not (
            self.scheduler in ("dask", "serial") or "://" in self.scheduler or self.scheduler.endswith(".json")
        ):
            raise BadRequest(
                "a scheduler is dask, serial, an address such as tcp://host:8786 or a scheduler file (.json); got "
                f"{self.scheduler!r}"
            )
