"""Every way this package says no, as one tree.

::

    SeamlessError
    ├── InputNotFound        (FileNotFoundError)  no such file or folder
    ├── InputUnreadable      (ValueError)         it is there, but it is not an image that we can read
    │   ├── InputDamaged                          it began well, and then bytes were missing or wrong
    │   │   └── RegionUnreadable                  some pixels of it, twice
    │   └── ImageChanged                          it is another one than when it was opened, or when the run began
    ├── InputMismatch        (ValueError)         image and model do not fit together
    │   ├── PixelSizeUnknown                      the model works at one resolution, and the image does not say its own
    │   └── PixelsNotFinite                       NaN, infinity, or numbers that a network cannot compute with
    ├── BadRequest           (ValueError)         a region, level, tile, budget or axes that cannot be
    │   ├── BudgetTooSmall                        not even the smallest tile fits
    │   └── NowhereToRun                          shapes or a mask that have nothing of the image in them
    ├── ModelError           (ValueError)
    │   ├── UnknownModel                          no model of that name
    │   ├── WeightsMismatch                       weights and architecture differ
    │   ├── NotTrusted                            opening it would run code, and nobody has said yes
    │   ├── SeveralOutputs                        the network gives several images, and nobody chose one
    │   ├── TraceFailed                           the network cannot be traced at this size
    │   └── NotTileable                           an operator that looks at the whole plane, or has no rule
    ├── WindowMissing        (RuntimeError)       a window was asked for where no napari is installed
    ├── DeviceUnavailable    (RuntimeError)       the device asked for is not there
    ├── DeviceFull           (MemoryError)        it is there, and has no memory for the smallest tile
    ├── OutputExists         (FileExistsError)    something else is already at the output path
    ├── OutputUnwritable     (OSError)            the output cannot be created or written to (disk full, too)
    ├── WorkersLost          (RuntimeError)       the machines of a cluster went away, or never came
    ├── LossNotFinite        (ArithmeticError)    a loss is no number; the last good weights are kept
    ├── RegionsFailed        (RuntimeError)       a run came to its end, but parts of the image could not be read
    └── RunCancelled                              somebody stopped the run; what was finished is kept

Every message has three parts in one sentence: the rule, what was got, what to do. Where a program can do it as well
(a button of the window), the error carries it as a `Remedy`. Each class also subclasses the built-in that a caller
would expect, so ordinary ``except`` clauses keep working.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

LONGEST = 1200
"""Characters of a message. Sentences of this package are shorter; what they quote may be of any length."""


@dataclass(frozen=True)
class Remedy:
    """What can be done about an error, and how the end of its message says it; `str()` is that.

    `python` and `shell` are what to add in a script and on a command line, between the words `lead` and `rest`.
    `in_window` is what a window says, which has a button for it: nothing, unless a class says otherwise.
    """

    lead: ClassVar[str] = ""
    python: ClassVar[str] = ""
    shell: ClassVar[str] = ""
    rest: ClassVar[str] = ""

    @property
    def in_window(self) -> str:
        return ""

    def __str__(self) -> str:
        return f"{self.lead} with {self.python} ({self.shell}){self.rest}" if self.python else self.lead


@dataclass(frozen=True)
class RunApproximately(Remedy):
    """To compute overlapping tiles and blend them. `only_size` is the input that the network insists on ("": none)."""

    lead: ClassVar[str] = "run it approximately"
    python: ClassVar[str] = "approximate=True"
    shell: ClassVar[str] = "--approximate"

    only_size: str = ""

    @property
    def in_window(self) -> str:
        return self._among(self.lead)

    def __str__(self) -> str:
        return self._among(super().__str__())

    def _among(self, words: str) -> str:
        return (
            f"it takes an input of {self.only_size} only: {words} on tiles of that" if self.only_size else f"or {words}"
        )


@dataclass(frozen=True)
class SetPixelSize(Remedy):
    """To say how large an image's pixels are."""

    lead: ClassVar[str] = "say it"
    python: ClassVar[str] = "pixel_size=0.25"
    shell: ClassVar[str] = "--pixel-size 0.25"
    rest: ClassVar[str] = ", in um per pixel"


@dataclass(frozen=True)
class SetValueRange(Remedy):
    """To say which values of an image are black and white."""

    lead: ClassVar[str] = "say it"
    python: ClassVar[str] = "value_range=(0, 4095)"
    shell: ClassVar[str] = "--value-range 0:4095"
    rest: ClassVar[str] = ", for 12 bits"

    @property
    def in_window(self) -> str:
        return "say it as the value range, 0:4095 for 12 bits"


@dataclass(frozen=True)
class TrustFile(Remedy):
    """To let the code in a file run."""

    lead: ClassVar[str] = "if you trust where it comes from say so"
    python: ClassVar[str] = "trust=True"
    shell: ClassVar[str] = "--trust"
    rest: ClassVar[str] = ", which is remembered for this file"


@dataclass(frozen=True)
class NameArchitecture(Remedy):
    """To say of which network weights are."""

    lead: ClassVar[str] = "name its architecture"
    python: ClassVar[str] = 'architecture="unet"'
    shell: ClassVar[str] = "--architecture unet"
    rest: ClassVar[str] = ", or package.module:factory"


@dataclass(frozen=True)
class PassModule(Remedy):
    """To give a ``torch.nn.Module`` in place of a file; a window cannot."""

    lead: ClassVar[str] = "pass the module itself if it is another network"


@dataclass(frozen=True)
class UseBudget(Remedy):
    """To allow so many bytes of memory; the message names them in its own words."""

    bytes: int


class SeamlessError(Exception):
    """Anything this package refuses, with a message fit to be shown to a user.

    ``str()`` is `message` and, after it, the words of each of the `remedies`; `in_window` leaves out those that only
    help in Python and in a shell. ``exit_code`` is what the command line returns for it.
    """

    exit_code: int = 1

    def __init__(self, message: object = "", *, remedies: Sequence[Remedy] = ()) -> None:
        self.message, self.remedies = one_line(str(message)), tuple(remedies)
        super().__init__(_sentence(self.message, map(str, self.remedies)))

    @property
    def in_window(self) -> str:
        """The message for somebody who has buttons in place of arguments."""
        return _sentence(self.message, (remedy.in_window for remedy in self.remedies))


def one_line(text: str, longest: int = LONGEST) -> str:
    """A text that came from elsewhere, fit for one line of a terminal or window: without characters that are not
    printed (they steer terminals, or turn the order of letters round), and without its middle where it is too long."""
    if not text.isprintable():
        text = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * longest]).split())
    return text if len(text) <= longest else f"{text[: longest * 2 // 3]} … {text[-longest // 3 :]}"


def _sentence(message: str, ends: Iterable[str]) -> str:
    return "; ".join(text for text in (message, *ends) if text)


class InputNotFound(SeamlessError, FileNotFoundError):
    """The image or folder does not exist."""

    exit_code = 3


class InputUnreadable(SeamlessError, ValueError):
    """The file exists but no reader here understands it."""

    exit_code = 3


class InputDamaged(InputUnreadable):
    """The file is of a known format, but part of it is missing or corrupt."""


class RegionUnreadable(InputDamaged):
    """A region of the image could not be read, at a second attempt neither. A run goes on without it."""


class ImageChanged(InputUnreadable):
    """The image was written to since it was opened, or while a run went on: what was made of it belongs to neither."""


class InputMismatch(SeamlessError, ValueError):
    """The image does not have the channels, axes or size that the model needs."""

    exit_code = 4


class PixelSizeUnknown(InputMismatch):
    """The model works at a resolution of its own, and nothing says how large the image's pixels are.

    For a question to a person: the names of `model` and `image`, and the pixel size that the model `works_at`, in
    micrometres, ((z,) y, x). The answer is the `pixel_size` of prepare, run and explain.
    """

    def __init__(self, message: str, *, model: str, image: str, works_at: tuple[float, ...]) -> None:
        super().__init__(message, remedies=(SetPixelSize(),))
        self.model, self.image, self.works_at = model, image, works_at


class PixelsNotFinite(InputMismatch):
    """Pixels that are needed are NaN or infinite, or beyond what the network computes in."""


class BadRequest(SeamlessError, ValueError):
    """A parameter (region, level, tile, budget, axes) is outside what is possible."""

    exit_code = 2


class BudgetTooSmall(BadRequest):
    """Not even the smallest tile fits in the memory budget. `needed` bytes it takes (0: nobody knows)."""

    def __init__(self, message: str, needed: int = 0) -> None:
        super().__init__(message, remedies=(UseBudget(needed),) if needed else ())
        self.needed = needed


class NowhereToRun(BadRequest):
    """The shapes or the mask that say where to run have nothing of the image in them."""


class ModelError(SeamlessError, ValueError):
    """A model cannot be loaded, traced or tiled."""

    exit_code = 5


class UnknownModel(ModelError):
    """No model has that name."""


class WeightsMismatch(ModelError):
    """A state dict does not belong to the architecture."""


class NotTrusted(ModelError):
    """Opening the model would run code.

    For a question to a person: `file` is where it is (inside a zip file that is gone again: its name counts), `runs`
    what would run, as the end of a sentence, and `sha256` the digest of the content that a yes is for. The answer is
    `trust(error)`, and to load the model again.
    """

    def __init__(self, message: str, *, file: Path, runs: str, sha256: str) -> None:
        super().__init__(message, remedies=(TrustFile(),))
        self.file, self.runs, self.sha256 = file, runs, sha256


class TraceFailed(ModelError):
    """``torch.export`` could not trace the network at the image's size."""


class SeveralOutputs(ModelError):
    """A network gives several tensors; `shapes` and `dtypes` (as torch names them) are theirs by their names, in the
    network's order. One is `fused` where it is made of all the others; "" where none is, or nobody knows."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str], fused: str = "") -> None:
        listed = ", ".join(f"{name!r} of {' x '.join(map(str, shape))}" for name, shape in shapes.items())
        super().__init__(f"a network must give one image; got the outputs {listed}; choose one by its name or number")
        self.shapes, self.dtypes = dict(shapes), dict(dtypes)
        self.fused = fused


class NotTileable(ModelError):
    """The network contains an operator that cannot be the same tile by tile as on the whole image."""


class WindowMissing(SeamlessError, RuntimeError):
    """A window was asked for, and napari or Qt is not installed."""


class DeviceUnavailable(SeamlessError, RuntimeError):
    """The requested device does not exist on this machine."""

    exit_code = 6


class DeviceFull(SeamlessError, MemoryError):
    """The device has no memory left, not even for the smallest tile."""

    exit_code = 6


class OutputExists(SeamlessError, FileExistsError):
    """The output path is taken by something that is not this run's own result."""

    exit_code = 7


class OutputUnwritable(SeamlessError, OSError):
    """The output path cannot be created or written to."""

    exit_code = 7


class WorkersLost(SeamlessError, RuntimeError):
    """The workers of a cluster died over a tile, or there are none."""

    exit_code = 8


class RegionsFailed(SeamlessError, RuntimeError):
    """Everything was computed but for regions that could not be read."""

    exit_code = 9


class LossNotFinite(SeamlessError, ArithmeticError):
    """A loss is infinite or not a number; the weights are those from before it."""


class RunCancelled(SeamlessError):
    """The run was cancelled; finished chunks are kept."""

    exit_code = 130
