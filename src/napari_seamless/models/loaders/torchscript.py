"""TorchScript files. They are walked node by node where that is possible, so that they can be traced exactly."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from napari_seamless.errors import ModelError
from napari_seamless.models._compat import first_line, load_errors
from napari_seamless.models.loaders.archive import names_in, opened
from napari_seamless.models.loaders.example_network import example_network
from napari_seamless.models.loaders.script_code import code_of, code_problem
from napari_seamless.models.loaders.script_graph import ScriptGraph
from napari_seamless.models.loaders.script_pickles import pickle_problem
from napari_seamless.models.model import ANY_NDIM, Model
from napari_seamless.models.trust import require_trust

REACHING_OUT = re.compile(rb"\b(from_file|save|load|PythonOp|__setstate__)\b")
"""Names in TorchScript's code by which it would touch files, call Python, or run while it is opened."""


@dataclass(frozen=True)
class Script:
    """A network from a TorchScript file. `reason` says why it cannot be traced, or is empty."""

    module: nn.Module
    reason: str = ""


class UntraceableScript(nn.Module):
    """A script that runs only in TorchScript's own interpreter: on tiles that are blended."""

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.script = script

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the script computes."""
        found: torch.Tensor = self.script(x)
        return found


def is_script(path: Path) -> bool:
    """Whether a file is a TorchScript archive, whatever its suffix."""
    parts = {name.partition("/")[2] for name in names_in(path)}
    return "constants.pkl" in parts and any(part.startswith("code/") for part in parts)


def matches(path: Path) -> bool:
    """Whether it is one, by its content."""
    return is_script(path)


def load(path: Path, *, trust: bool) -> Model:
    """The model, as `Loader.load` says; it may be one that cannot be traced, which its card says as `not_exact`."""
    script = load_script(path, trust=trust)
    reason: dict[str, object] = {"not_exact": script.reason} if script.reason else {}
    card = {"format": "TorchScript", "ndim": ANY_NDIM, **reason}
    return Model(path.stem, script.module, f"TorchScript of {path.name}", card=card)


def write_example(folder: Path) -> Path:
    """A scripted network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(example_network()), folder / "example.pt")
    return folder / "example.pt"


def load_script(path: Path, *, trust: bool = False) -> Script:
    """The network in a TorchScript file, in eval mode, on the CPU.

    A file whose code reaches for files or runs while it is opened needs a yes. Raises NotTrusted or ModelError.
    """
    with opened(path) as archive:
        code = code_of(archive)
        if problem := code_problem(code) or pickle_problem(archive):
            raise ModelError(
                f"TorchScript is read by torch, which does not survive all that can be written; {path.name} {problem}; "
                "do not open it, or save the network again"
            )
    found = {one.decode() for text in code for one in REACHING_OUT.findall(text)}
    if found:
        runs = f"TorchScript code that uses {', '.join(sorted(found))}"
        require_trust(path, path.read_bytes(), runs, trust=trust)
    try:
        with warnings.catch_warnings():
            # torch tells authors to move on; whoever has such a file cannot
            warnings.simplefilter("ignore")
            script = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
            return script_of(script)
    except load_errors() as error:
        raise ModelError(
            f"a TorchScript file must be one that this torch ({torch.__version__}) can read; {path.name} is not: "
            f"{first_line(error)}; save it again"
        ) from error


def script_of(script: torch.jit.ScriptModule) -> Script:
    """A scripted or traced network, in eval mode and on the CPU, as a plain module. Raises RuntimeError of torch's."""
    frozen = torch.jit.freeze(script, optimize_numerics=False)
    try:
        return Script(ScriptGraph(frozen).eval())
    except ModelError as error:
        return Script(UntraceableScript(script).eval(), str(error))
