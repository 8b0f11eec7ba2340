"""What the rest of the package knows about a network: the module and how to show its output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch

from napari_seamless.errors import one_line
from napari_seamless.postprocess.step import CandidateStep

LONGEST_NAME = 200
ANY_NDIM = "any"
"""On a card, in the place of a number of dimensions: for planes and for volumes."""


@dataclass(frozen=True)
class ClassInfo:
    """One value of a label image."""

    value: int
    """The number in the image; 0 is background, which is shown as transparent."""
    name: str
    """What it stands for, in lower case."""
    colour: str
    """As `#rrggbb`."""

    def __post_init__(self) -> None:
        # it comes from a file, and goes to terminals, tables and files
        object.__setattr__(self, "name", one_line(self.name, LONGEST_NAME))


@dataclass(frozen=True, eq=False)
class Resolution:
    """The pixel size that a network was made for.

    `pixel_size` is in micrometres, ((z,) y, x). An image within `tolerance` (a share) of it is taken as it is, and, if
    the size need not be known (`required`), one that does not say it.
    """

    pixel_size: tuple[float, ...]
    tolerance: float
    resampled: Callable[[tuple[float, ...]], torch.nn.Module]
    """The module that takes an image with `ratio` model pixels per image pixel, one number an axis."""
    required: bool = True

    def ratio_at(self, pixel_size: tuple[float, ...]) -> tuple[float, ...] | None:
        """Model pixels per image pixel, one number an axis; None where the image can be taken as it is."""
        ratio = tuple(own / wanted for own, wanted in zip(pixel_size, self.pixel_size, strict=True))
        return None if all(abs(r - 1) <= self.tolerance for r in ratio) else ratio


INDICES = (torch.int64, torch.bool)
"""The types of an argmax and of a comparison; other whole numbers of one channel may be a grey picture."""


def are_labels(dtype: torch.dtype, channels: int | None) -> bool:
    """Whether a network's output is labels, as after argmax or a comparison: whole numbers (or bool) without an axis of
    channels (None), or one channel of those types that these two give."""
    is_whole = not dtype.is_floating_point and not dtype.is_complex
    return is_whole and (channels is None or (channels == 1 and dtype in INDICES))


@dataclass(frozen=True)
class OutputPart:
    """One of several outputs that a network gives in one, one after the other: its name, how many channels it has
    (None: it has no axis of them) and their type as torch names it. That axis is left out of labels."""

    name: str
    channels: int | None
    dtype: str

    @classmethod
    def of(cls, name: str, channels: int | None, dtype: str) -> OutputPart:
        """What an output of a network becomes."""
        return cls(name, None if are_labels(getattr(torch, dtype), channels) else channels, dtype)

    @property
    def width(self) -> int:
        """How many channels of the whole are its own."""
        return self.channels or 1

    @property
    def kind(self) -> Literal["labels", "image"]:
        return "labels" if are_labels(getattr(torch, self.dtype), self.channels) else "image"


@dataclass(frozen=True, eq=False)
class Model:
    """A network with its pre- and post-processing inside, ready to be traced.

    Two of these are equal only if they are the same object, as with the module they hold.
    """

    name: str
    """Short, for the command line: `nuclei`."""
    module: torch.nn.Module
    """In eval mode. float32 (1, c, [z,] y, x), values as in the file -> (1, [k,] [z,] y, x)."""
    title: str
    """One line, for a list."""
    channels: int | None = None
    """Input channels that it wants; None for any."""
    ndim: int = 2
    """Spatial dimensions."""
    kind: Literal["labels", "image"] = "image"
    """Whether the output is class numbers or intensities."""
    classes: tuple[ClassInfo, ...] = ()
    """The values that a label output can have."""
    channel_names: tuple[str, ...] = ()
    """Names of the output channels of an image."""
    input_names: tuple[str, ...] = ()
    """What each input channel is; empty where nothing says it."""
    card: Mapping[str, object] = field(default_factory=dict)
    """Where it comes from: data, licence, measured figures, limits."""
    dtype: str | None = None
    """The type of pixel values that its scaling is meant for; None for any."""
    value_range: tuple[float, float] | None = None
    """The pixel values of black and white that it was made for; None where nothing says it."""
    resolution: Resolution | None = None
    """Where it works at a pixel size of its own; `module` is for images of that one."""
    output: str | int | None = None
    """Which of several outputs of the network is the result, by name or number; None where that is found by rule."""
    select: Callable[[str], Model] | None = None
    """The same model with another output of its network, by name; None where `module` itself gives all of them."""
    parts: tuple[OutputPart, ...] = ()
    """The outputs that `module` gives in one, one after the other; () where it gives one of its own."""
    postprocess: CandidateStep | None = None
    """What makes objects of the network's output, which then is that of `module` on the grid of this step. A `module`
    at a resolution gives it as it is there, and does not bring it back."""
    ratio: tuple[float, ...] | None = None
    """Pixels of the network per pixel of the image, where `module` resamples it; one number an axis."""
    notices: tuple[str, ...] = ()
    """Sentences about what was done to the network, or decided about it, so that it can be run."""
