"""What to train, on what and how, in a TOML file. Paths in it are relative to its folder.

    schema = 1
    name = "cells"

    [data]
    images = "images"                       # a folder; every format that can be opened, any size
    masks = "masks"                         # files of the same names, in any format

    [[classes]]
    value = 0                               # in the result
    name = "background"
    mask = 0                                # in the masks

    [[classes]]
    value = 1
    name = "cell"
    mask = "others"                         # every other value, as where each cell has a number of its own

    [training]
    steps = 2000
    crop = 256

Everything else has a default. `example_training` shows all of it.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from napari_seamless.errors import BadRequest, InputNotFound
from napari_seamless.models.recipe_file import Finite, Positive, Scaling
from napari_seamless.models.toml_file import Table, checked, read_fields

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Colour = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
OTHERS = "others"
LOSSES_OF_CLASSES = ("cross-entropy", "dice", "cross-entropy+dice", "bce")


class ImageFiles(Table):
    """Images with masks of the same names (`ending` is what masks have behind it, as "_mask"), or a CSV `table` with a
    column of image paths and a column of labels."""

    images: Path | None = None
    masks: Path | None = None
    ending: str = ""
    table: Path | None = None

    @model_validator(mode="after")
    def _one_way(self) -> ImageFiles:
        if (self.table is None) == (self.images is None) or (self.images is None) != (self.masks is None):
            raise ValueError("images come as two folders, images and masks, or as a table; name one of the two ways")
        return self


class DataSection(ImageFiles):
    """`level` of the images' pyramids is learned from; mask values in `ignore` say nothing about a pixel."""

    level: Annotated[int, Field(ge=0)] = 0
    ignore: tuple[int | Colour, ...] = ()


class ValidationSection(Table):
    """Images that are held out: a `share` of the data's (of every kind of mask or label the same), or others."""

    share: Annotated[float, Field(ge=0, le=0.9)] = 0.2
    images: Path | None = None
    masks: Path | None = None
    table: Path | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether the images are named."""
        return self.images is not None or self.table is not None


class ClassEntry(Table):
    """A class: its `value` in results, and in masks: a number, a colour, several of them, or "others"; by default the
    value again. Of a table: the `label`, by default the name."""

    value: Annotated[int, Field(ge=0, le=255)]
    name: Annotated[str, Field(min_length=1)]
    colour: Colour | None = None
    mask: int | Colour | Literal["others"] | tuple[int | Colour, ...] | None = None
    label: str | None = None


class NetworkSection(Table):
    """`architecture` as for weights: by default "unet", for labels of whole images "classifier". Arguments that say how
    many channels there are are filled in. `start` is a file of weights, or a recipe folder, to start from."""

    architecture: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    start: Path | None = None


class InputSection(Table):
    """As in recipes. Without `scaling`: 0..255 to 0..1 for uint8, mean 0 and deviation 1 of each image for others."""

    channels: tuple[str, ...] = ()
    scaling: Scaling | None = None


class AugmentationSection(Table):
    """How examples are varied each time. `stain` is for bright-field RGB images only."""

    flips: bool = True
    turns: bool = True
    light: Annotated[float, Field(ge=0, lt=1)] = 0.1
    stain: Annotated[float, Field(ge=0, lt=1)] = 0.0


class TrainingSection(Table):
    """How it is trained.

    `steps` moves of the weights, or `epochs` (every image once). An example is a `crop` of so many pixels a side, or
    the "whole" image, of any size, within `budget`. A step takes `batch` x `accumulate` examples. `equalise` from 0 to
    1: how far rare classes weigh more. `device` as for run.
    """

    steps: Count | None = None
    epochs: Count | None = None
    crop: Annotated[int, Field(ge=8)] | Literal["whole"] = 256
    batch: Count = 4
    accumulate: Count = 1
    loss: Literal["cross-entropy", "dice", "cross-entropy+dice", "bce", "mse"] = "cross-entropy"
    equalise: Share = 0.5
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    rate: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-4
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warm_up: Annotated[int, Field(ge=0)] = 0
    clip: Finite | None = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    budget: str | None = None
    device: str = "auto"
    seed: Annotated[int, Field(ge=0)] = 0
    validate_every: Count | None = None
    checkpoint_every: Count = 50
    augmentation: AugmentationSection = AugmentationSection()

    @model_validator(mode="after")
    def _one_length(self) -> TrainingSection:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("a training is as long as its steps or its epochs say; give one of the two")
        return self


class OutputSection(Table):
    """The recipe folder that is written, and what its card says beside what is known."""

    folder: Path | None = None
    title: str = ""
    licence: str | None = None
    citation: str | None = None
    authors: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


class TrainingFile(Table):
    """All of it."""

    version: Literal[1] = Field(default=1, alias="schema")
    name: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
    data: DataSection
    classes: tuple[ClassEntry, ...] = ()
    validation: ValidationSection = ValidationSection()
    network: NetworkSection = NetworkSection()
    input: InputSection = InputSection()
    training: TrainingSection
    output: OutputSection = OutputSection()

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[ClassEntry, ...]) -> tuple[ClassEntry, ...]:
        for what in ("value", "name"):
            if len({getattr(one, what) for one in classes}) < len(classes):
                raise ValueError(f"every class has a {what} of its own; two are the same")
        return classes

    @model_validator(mode="after")
    def _agree(self) -> TrainingFile:
        wants_classes = self.training.loss in LOSSES_OF_CLASSES
        if self.data.table is None and wants_classes and len(self.classes) < 2:
            raise ValueError(f"masks need at least two classes, background among them; got {len(self.classes)}")
        if not wants_classes and self.classes:
            raise ValueError(f"the loss {self.training.loss} is for values, and {len(self.classes)} classes are named")
        if self.training.loss == "bce" and len(self.classes) != 2:
            raise ValueError(f"the loss bce is for two classes; got {len(self.classes)}; use cross-entropy")
        if self.validation.is_elsewhere and (self.validation.table is None) != (self.data.table is None):
            raise ValueError("held-out images come as the others do: as folders, or as a table")
        if (self.validation.images is None) != (self.validation.masks is None):
            raise ValueError("held-out images come with their masks; name both folders")
        return self


def read_training_file(file: Path) -> TrainingFile:
    """A training from its TOML file. Raises InputNotFound, and BadRequest with what is wrong, and where."""
    if not file.is_file():
        raise InputNotFound(f"a training is described in a TOML file; there is none at {file}; check the path")
    return checked_training(read_fields(file, "a training", BadRequest), str(file))


def checked_training(fields: dict[str, Any], where: str) -> TrainingFile:
    """The training of these fields. Raises BadRequest with the first three faults."""
    return checked(TrainingFile, fields, where, "a training", BadRequest)


def example_training() -> str:
    """A training file with every field in it, and what each is for."""
    return (files("napari_seamless.training.from_files") / "training_example.toml").read_text(encoding="utf-8")
