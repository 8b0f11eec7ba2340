"""A recipe: what must be said about weights so that somebody else gets the same pixels. TOML on disk.

    schema = 1
    name = "cells"
    title = "Cells in phase contrast"

    [network]
    architecture = "unet"                       # a name from the table, or package.module:factory
    arguments = { inputs = 1, outputs = 2 }
    weights = "weights.safetensors"

    [input]
    channels = ["phase"]
    dtype = "uint8"
    scaling = { kind = "range", low = 0, high = 255 }
    multiple_of = 16

    [resolution]
    pixel_size = 0.5                            # micrometres
    tolerance = 0.1                             # ten percent off is still the same

    [output]
    kind = "labels"
    classes = [{ value = 0, name = "background" }, { value = 1, name = "cell", colour = "#1fd160" }]

    [card]
    licence = "CC-BY-4.0"

Pixel values go through `scaling`, resampling to `pixel_size`, the network, resampling back, `activation` and
`threshold`, in this order. A network whose output is to become objects says how instead:

    [output]
    kind = "image"
    classes = [{ value = 1, name = "nucleus" }]

    [postprocess]
    method = "polygons"                         # a probability, and distances along rays (StarDist)
    probability = 0.5
    overlap = 0.4
    largest_radius = 96                         # pixels of the network

Its labels have pixels of `pixel_size`; nothing is resampled back.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import ConfigDict, Field, field_validator, model_validator

from napari_seamless.errors import BadRequest, ModelError
from napari_seamless.models.toml_file import Table, checked, read_fields
from napari_seamless.postprocess.polygons.settings import PolygonSettings
from napari_seamless.postprocess.polygons.step import StarPolygons

FILE = "recipe.toml"
LONGEST_NAME = 255
"""Bytes of the name of a file, on most systems."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Numbers = Finite | tuple[Finite, ...]
"""One for all channels, or one each."""


class NetworkTable(Table):
    """`weights` is a file in the recipe's folder: a state dict, or a `.pt2` or TorchScript file, which say themselves
    what the network is; then there is no `architecture`. Of a network with several outputs `output` is the one meant,
    by name ("out", "masks.0") or number. `sha256` is the weights' digest, and is checked."""

    architecture: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    weights: str
    output: str | Annotated[int, Field(ge=0)] | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None

    @field_validator("weights")
    @classmethod
    def _inside(cls, name: str) -> str:
        if not re.fullmatch(r"[^/\\:\0]+", name) or name.startswith(".") or len(name.encode()) > LONGEST_NAME:
            raise ValueError(f"weights must be the name of a file beside the recipe; got {name!r}")
        return name


class AsIs(Table):
    """Values as they lie in the file."""

    kind: Literal["none"] = "none"


class Range(Table):
    """`low` becomes `to[0]` and `high` `to[1]`; with `clip`, values outside are cut off first."""

    kind: Literal["range"]
    low: Finite
    high: Finite
    to: tuple[Finite, Finite] = (0.0, 1.0)
    clip: bool = False

    @model_validator(mode="after")
    def _is_range(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"a range goes from a smaller to a larger number; got {self.low:g} to {self.high:g}")
        return self


class Standard(Table):
    """(x - mean) / std with fixed numbers, after division by `unit` (255 for weights trained on 0..1)."""

    kind: Literal["mean-std"]
    mean: Numbers
    std: Numbers
    unit: Positive = 1.0

    @field_validator("std")
    @classmethod
    def _above_zero(cls, std: Numbers) -> Numbers:
        if min(std if isinstance(std, tuple) else (std,)) <= 0:
            raise ValueError(f"a standard deviation is above zero; got {std}")
        return std


class Percentile(Table):
    """Percentiles of the whole image become 0 and 1."""

    kind: Literal["percentile"]
    low: Annotated[float, Field(ge=0, le=100)] = 1.0
    high: Annotated[float, Field(ge=0, le=100)] = 99.8
    per_channel: bool = True
    clip: bool = False


class Normal(Table):
    """Mean 0 and deviation 1 over the whole image."""

    kind: Literal["own-mean-std"]
    per_channel: bool = True


Scaling = Annotated[AsIs | Range | Standard | Percentile | Normal, Field(discriminator="kind")]


class InputTable(Table):
    """`channels` say what each is, in their order; `dtype` is the image type that the scaling is meant for, and
    `range` the values of black and white in it ([0, 255] for uint8, unless said): an image of another range is scaled
    to it first."""

    channels: Annotated[tuple[str, ...], Field(min_length=1)]
    ndim: Literal[2, 3] = 2
    dtype: Literal["uint8", "uint16", "int16", "float32"] | None = None
    range: tuple[Finite, Finite] | None = None
    scaling: Scaling = AsIs()
    multiple_of: Annotated[int, Field(ge=1, le=512)] = 1

    @field_validator("range")
    @classmethod
    def _goes_up(cls, span: tuple[float, float] | None) -> tuple[float, float] | None:
        if span is not None and span[0] >= span[1]:
            raise ValueError(f"a range goes from a smaller to a larger number; got {span[0]:g} to {span[1]:g}")
        return span


class ResolutionTable(Table):
    """Micrometres per pixel, one number or ((z,) y, x), and how far off (as a share) an image is taken as it is. One
    that does not say its pixel size is refused if it is `required`, else taken as it is, which is told."""

    pixel_size: Positive | tuple[Positive, ...]
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.1
    required: bool = True


class RecipeClass(Table):
    """A value of a label image. Without a `colour` it gets one."""

    value: Annotated[int, Field(ge=0, le=255)]
    name: str
    colour: Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")] | None = None


class OutputTable(Table):
    """Classes are in the order of the network's output channels; one channel of scores means two classes.

    Of objects they are what the objects can be, from 1.

    `threshold` is what a score must exceed (one channel) or reach (several; else it is the first class).
    """

    kind: Literal["labels", "probabilities", "image", "regression"]
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    threshold: Finite | None = None
    classes: tuple[RecipeClass, ...] = ()
    channels: tuple[str, ...] = ()
    dtype: Literal["float32", "uint8", "uint16"] = "float32"

    @model_validator(mode="after")
    def _agree(self) -> OutputTable:
        if self.kind == "labels" and len(self.classes) < 2:
            raise ValueError(f"labels need at least two classes; got {len(self.classes)}")
        if len({one.value for one in self.classes}) < len(self.classes):
            raise ValueError("every class needs a value of its own; two are the same")
        if self.kind == "probabilities" and (self.activation == "none" or self.dtype != "float32"):
            raise ValueError("probabilities are made by sigmoid or softmax, in float32; say which")
        return self


class PolygonsTable(Table):
    """Star-convex polygons: as `postprocess.polygons.settings.PolygonSettings`, which checks them."""

    method: Literal["polygons"]
    rays: int = PolygonSettings.rays
    grid: int = PolygonSettings.grid
    classes: int = PolygonSettings.classes
    probability: Finite = PolygonSettings.probability
    overlap: Finite = PolygonSettings.overlap
    largest_radius: int = PolygonSettings.largest_radius
    border: int = PolygonSettings.border
    floor: Finite = PolygonSettings.floor

    @model_validator(mode="after")
    def _possible(self) -> PolygonsTable:
        try:
            self.step()
        except BadRequest as error:
            raise ValueError(error.message) from error
        return self

    def step(self) -> StarPolygons:
        return StarPolygons(**self.model_dump(exclude={"method"}))


class CardTable(Table):
    """For a person: where it comes from, what it may be used for, how good it is and what it is bad at."""

    model_config = ConfigDict(extra="allow", frozen=True)

    licence: str | None = None
    citation: str | None = None
    authors: tuple[str, ...] = ()
    data: str | None = None
    held_out: str | dict[str, Any] | None = None
    limits: tuple[str, ...] = ()


class Recipe(Table):
    """All of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    # `schema` is a name of pydantic's own
    version: Literal[1] = Field(default=1, alias="schema")
    name: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
    title: str = ""
    network: NetworkTable
    input: InputTable
    resolution: ResolutionTable | None = None
    output: OutputTable
    postprocess: PolygonsTable | None = None
    card: CardTable = CardTable()

    @model_validator(mode="after")
    def _objects(self) -> Recipe:
        is_classed = self.output.classes and self.postprocess is None
        if self.output.kind != "labels" and (is_classed or self.output.threshold is not None):
            raise ValueError(f"classes and a threshold belong to labels; got them for {self.output.kind}")
        after = (self.output.kind, self.output.activation, self.output.dtype)
        if self.postprocess is not None and (after != ("image", "none", "float32") or self.input.ndim != 2):
            raise ValueError(
                "objects are made of what a network of planes gives, as it is: output.kind is 'image', without an "
                f"activation and in float32; got {', '.join(after)} of {self.input.ndim} dimensions"
            )
        return self

    @model_validator(mode="after")
    def _sizes(self) -> Recipe:
        numbers = self.resolution.pixel_size if self.resolution is not None else 1.0
        if isinstance(numbers, tuple) and len(numbers) != self.input.ndim:
            raise ValueError(f"pixel_size is one number, or one for each of {self.input.ndim} axes; got {numbers}")
        return self


def read_recipe(file: Path) -> Recipe:
    """A recipe from its TOML file. Raises ModelError with what is wrong, and where."""
    return checked_recipe(read_fields(file, "a recipe", ModelError), str(file))


def checked_recipe(fields: dict[str, Any], where: str) -> Recipe:
    """The recipe of these fields. Raises ModelError with the first three faults."""
    return checked(Recipe, fields, where, "a recipe", ModelError)


def write_recipe(recipe: Recipe, file: Path) -> None:
    """Write a recipe as TOML."""
    fields = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    file.write_text(tomli_w.dumps(fields), encoding="utf-8")
