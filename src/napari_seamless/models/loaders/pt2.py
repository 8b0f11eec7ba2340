"""`.pt2` files of torch.export: a graph of operators and its weights.

torch reads parts of such a file with pickle and evaluates others as Python. What is given to torch here is a copy of
the file that holds none of these parts: the graph, whose operators, size expressions and guards were looked at first,
and plain tensors.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_seamless.errors import ModelError
from napari_seamless.models._compat import first_line, load_errors, symbol_of
from napari_seamless.models.loaders.archive import names_in, opened
from napari_seamless.models.loaders.example_network import CHANNELS, example_network
from napari_seamless.models.loaders.size_expressions import is_arithmetic
from napari_seamless.models.model import Model

TARGETS = re.compile(
    r"torch\.ops\.(aten|prims|napari_seamless)\.[A-Za-z0-9_]+\.[A-Za-z0-9_]+"
    r"|_operator\.[a-z_]+|math\.[a-z]+|torch\.sym_[a-z]+|torch\._sym_[a-z]+"
)
FILES = re.compile(r"aten\.(from_file|save|load)\b")
"""Operators that read or write files."""
HARMLESS_ENTRIES = re.compile(
    r"(models/model\.json|data/(weights|constants)/[\w.-]+|archive_format|archive_version|byteorder|\.data/\w+)"
)


LONGEST_JSON = 2**25
"""Bytes of a description; the graphs of large networks have a third of that."""


@dataclass(frozen=True)
class Exported:
    """A network from a file, with the input that it takes: sizes are a number or a range (first, last) an axis."""

    module: nn.Module
    channels: int
    sizes: tuple[int | tuple[int, float], ...]

    @property
    def fixed(self) -> tuple[int, ...] | None:
        """The only size that it takes, if there is only one."""
        known = [size for size in self.sizes if isinstance(size, int)]
        return tuple(known) if len(known) == len(self.sizes) else None

    def __str__(self) -> str:
        if self.fixed is not None:
            return f"{' x '.join(map(str, self.fixed))} only (exported with a fixed size)"
        return " x ".join(str(s) if isinstance(s, int) else f"{s[0]} or more" for s in self.sizes)


class Graph(nn.Module):
    """An exported graph as a module that can be put in eval mode, which it is in anyway, and takes a batch of one."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.network = graph
        self.training = False

    def forward(self, x: torch.Tensor) -> Any:
        """What was exported: one tensor mostly."""
        return self.network(x)

    def train(self, mode: bool = True) -> Graph:
        """Nothing changes: the mode was fixed when it was exported."""
        del mode
        return self


def is_exported(path: Path) -> bool:
    """Whether a file is one of torch.export, whatever its suffix."""
    return any(name.endswith(("/archive_format", "serialized_exported_program.json")) for name in names_in(path))


def matches(path: Path) -> bool:
    """Whether it is one, or its name says so (then what is wrong with it is told)."""
    return is_exported(path) or (path.is_file() and path.suffix.lower() == ".pt2")


def load(path: Path, *, trust: bool) -> Model:
    """The model, as `Loader.load` says; no trust is needed."""
    exported = load_exported(path, trust=trust)
    card: dict[str, object] = {"format": "torch.export", "input": str(exported)}
    if exported.fixed is not None:
        card["input_size"] = list(exported.fixed)
    ndim, title = len(exported.sizes), f"{path.name}: {exported}"
    return Model(path.stem, exported.module, title, channels=exported.channels, ndim=ndim, card=card)


def write_example(folder: Path) -> Path:
    """A network that takes images of any size."""
    sides = {axis: torch.export.Dim.AUTO for axis in (2, 3)}
    image = torch.zeros(1, CHANNELS, 32, 40)
    exported = torch.export.export(example_network(), (image,), dynamic_shapes=(sides,))
    torch.export.save(exported, folder / "example.pt2")
    return folder / "example.pt2"


def load_exported(path: Path, *, trust: bool = False) -> Exported:
    """The network in a `.pt2` file. Nothing in the file is run, so that no yes is needed.

    Raises ModelError where it holds anything but a graph of torch's own operators on one image, and plain tensors.
    """
    del trust
    with opened(path) as archive:
        content = _harmless(archive, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(content)
            module = program.module()
    except load_errors() as error:
        raise ModelError(
            f"a .pt2 file must be one that this torch ({torch.__version__}) can read; {path.name} is not: "
            f"{first_line(error)}; export it again"
        ) from error
    return _described(program, module, path)


def _described(program: torch.export.ExportedProgram, module: nn.Module, path: Path) -> Exported:
    names = set(program.graph_signature.user_inputs)
    inputs = [n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder" and n.name in names]
    if len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor) or inputs[0].dim() not in (4, 5):
        raise ModelError(
            f"a network takes one image, (1, c, [z,] y, x); {path.name} takes {len(inputs)} inputs or another shape; "
            "wrap it in a module that takes one, and export that"
        )
    batch, channels, *sizes = inputs[0].shape
    if isinstance(batch, int) and batch != 1:
        raise ModelError(
            f"a network takes one image at a time; {path.name} was exported for batches of {batch}; export it "
            "with a batch of 1, or of any size"
        )
    ranges = program.range_constraints
    return Exported(Graph(module), int(channels), tuple(_size(size, ranges) for size in sizes))


def _size(size: Any, ranges: Any) -> int | tuple[int, float]:
    if isinstance(size, int):
        return size
    known = ranges.get(symbol_of(size))
    upper = inf if known is None or not known.upper.is_integer else float(known.upper)
    return (1 if known is None else int(known.lower), upper)


def _harmless(archive: zipfile.ZipFile, path: Path) -> io.BytesIO:
    """The file again with nothing in it that torch would unpickle or evaluate unseen. Raises ModelError."""
    root = next((n.removesuffix("archive_format") for n in archive.namelist() if n.endswith("/archive_format")), None)
    if root is None or f"{root}models/model.json" not in archive.namelist():
        raise _refused(path, "is of a torch before 2.8, which kept its weights as pickles, or holds no network")
    names = [name for name in archive.namelist() if HARMLESS_ENTRIES.fullmatch(name.removeprefix(root))]
    if any("/data/aotinductor/" in f"/{name}" for name in archive.namelist()):
        raise _refused(path, "holds compiled machine code")
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as target:
        for name in names:
            if name.endswith(".json") and archive.getinfo(name).file_size > LONGEST_JSON:
                raise _refused(path, f"has a {name.rpartition('/')[2]} of more than {LONGEST_JSON >> 20} MB")
            content = archive.read(name)
            if name.endswith(".json"):
                _check_json(name, content, path)
            elif name.endswith(".pt"):
                raise _refused(path, "is of a torch before 2.8, which kept its weights as pickles")
            target.writestr(name, content)
        # example inputs are a pickle, and nobody needs them
        target.writestr(f"{root}data/sample_inputs/model.pt", b"")
    copy.seek(0)
    return copy


def _check_json(name: str, content: bytes, path: Path) -> None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _refused(path, f"has a damaged {name.rpartition('/')[2]}") from error
    for key, value in _fields(found):
        if key == "use_pickle" and value:
            raise _refused(path, "holds pickled objects beside plain tensors")
        if key == "path_name" and not re.fullmatch(r"(weight|tensor)_\d+", str(value)):
            raise _refused(path, f"holds an object that is no plain tensor ({value})")
        if key == "target" and isinstance(value, str) and (not TARGETS.fullmatch(value) or FILES.search(value)):
            raise _refused(path, f"calls {value[:80]}")
        if key == "expr_str" and not is_arithmetic(str(value)):
            raise _refused(path, f"has a size that is no arithmetic of ordinary numbers ({str(value)[:80]})")
        if key == "guards_code" and not (isinstance(value, list) and all(is_arithmetic(str(one)) for one in value)):
            raise _refused(path, "has a guard that is no arithmetic")


def _fields(found: object) -> Iterator[tuple[str, Any]]:
    """All keys and values, at any depth."""
    waiting = [found]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from one.items()
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _refused(path: Path, what: str) -> ModelError:
    return ModelError(
        f"a .pt2 file is opened only if it is torch's own operators and plain tensors, which run nothing; {path.name} "
        f"{what}; export the network again with torch.export.save, or bring its state dict"
    )
