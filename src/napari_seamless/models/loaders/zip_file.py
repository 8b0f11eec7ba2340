"""A zip file of a folder with a model."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from napari_seamless.models.load import load_path
from napari_seamless.models.loaders import recipe_folder
from napari_seamless.models.loaders.archive import unpack
from napari_seamless.models.loaders.formats import WEIGHTS
from napari_seamless.models.model import Model


def matches(path: Path) -> bool:
    """Whether it is a zip file, by name or content; torch.save writes zip files, too, under names of its own."""
    suffix = path.suffix.lower()
    return path.is_file() and (suffix == ".zip" or (zipfile.is_zipfile(path) and suffix not in WEIGHTS.suffixes))


def load(path: Path, *, trust: bool) -> Model:
    """The model of the folder in it, as `Loader.load` says. All is read into memory before the unpacked files go."""
    with tempfile.TemporaryDirectory(prefix="napari-seamless-") as folder:
        # of the file's name, since some models are called as their folder
        target = Path(folder) / (path.stem or "model")
        target.mkdir()
        unpack(path, target)
        inner = list(target.iterdir())
        return load_path(inner[0] if len(inner) == 1 and inner[0].is_dir() else target, trust=trust)


def write_example(folder: Path) -> Path:
    """A recipe in a zip file."""
    recipe = recipe_folder.write_example(folder)
    with zipfile.ZipFile(folder / "example.zip", "w") as archive:
        for file in recipe.iterdir():
            archive.write(file, file.name)
    return folder / "example.zip"
