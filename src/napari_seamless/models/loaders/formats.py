"""The formats of files and folders with networks, in the order in which they are tried. No torch is loaded for them.

A new format is a module of this folder with the functions of `Loader`, and a line in `FORMATS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from napari_seamless.models.model import Model


class Loader(Protocol):
    """What a module that loads a format offers. Any thread."""

    def matches(self, path: Path) -> bool:
        """Whether a file or folder that exists is of this format; runs nothing that is in it."""

    def load(self, path: Path, *, trust: bool) -> Model:
        """The model: float32 (1, c, [z,] y, x) -> (1, [k,] [z,] y, x), in eval mode, on the CPU.

        Raises ModelError where it cannot be read, WeightsMismatch where weights are of another network, NotTrusted
        where it would run code and neither `trust` nor an earlier yes allows it.
        """

    def write_example(self, folder: Path) -> Path:
        """A small network of this format in an empty folder: every loader is tested on its own."""


@dataclass(frozen=True)
class ModelFormat:
    """A format, and who loads it."""

    title: str
    """Its name for people; no two have the same."""
    loader: str = ""
    """The name of the module in this folder (`Loader`), imported when its turn comes; "" for what is refused."""
    suffixes: tuple[str, ...] = ()
    """Endings of names, in lower case; empty where only the content tells."""
    descriptions: tuple[str, ...] = ()
    """Names of the files that make a folder one of these."""
    refusal: str = ""
    """Why it is not read, and what to do; {name} is the file's."""


RECIPE = ModelFormat("recipe", "recipe_folder", descriptions=("recipe.toml",))
PACKAGE = ModelFormat("bioimage.io package", "bioimageio", descriptions=("rdf.yaml", "bioimageio.yaml", "model.yaml"))
WEIGHTS = ModelFormat("weights", "weights", (".safetensors", ".pt", ".pth", ".ckpt"))
"""Of a network that they do not name, or a pickled module."""

FORMATS: tuple[ModelFormat, ...] = (
    RECIPE,
    PACKAGE,
    ModelFormat("StarDist", "stardist", (".h5", ".hdf5"), descriptions=("config.json", "thresholds.json")),
    ModelFormat(
        "ONNX",
        suffixes=(".onnx",),
        refusal="networks are read as torch writes them; got the ONNX file {name}, and no converter to torch that is "
        "kept up runs without torchvision, which this package does without; bring the network it was made from, as "
        ".pt2, TorchScript or a state dict, or convert it yourself and hand over the torch.nn.Module",
    ),
    ModelFormat("torch.export", "pt2", (".pt2",)),
    ModelFormat("TorchScript", "torchscript"),
    ModelFormat("Cellpose", "cellpose"),
    ModelFormat("zip file", "zip_file", (".zip",)),
    WEIGHTS,
)

SUFFIXES = tuple(suffix for one in FORMATS for suffix in one.suffixes)
"""Those of all formats, and of what is refused."""
DESCRIPTIONS = tuple(name for one in FORMATS for name in one.descriptions)
"""Files that stand for the folder that they lie in."""


def loader_of(model_format: ModelFormat) -> Loader:
    """The module that loads a format."""
    return cast(Loader, import_module(f"napari_seamless.models.loaders.{model_format.loader}"))
