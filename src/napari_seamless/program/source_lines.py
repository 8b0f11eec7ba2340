"""Where in the user's own network something that torch traced comes from: the layer, and the line of code."""

from __future__ import annotations

import re
from pathlib import PurePath

from torch.fx import Node as Traced

FRAME = re.compile(r'File "([^"]+)", line (\d+), in [^\n]*\n([^\n]*)')
"""One entry of a stack trace: file, line, code."""


def layer_path(node: Traced) -> str:
    """The user's name of the layer that a traced node belongs to, "" for the model itself."""
    stack = node.meta.get("nn_module_stack") or {}
    names = [path for path, _ in stack.values()]
    return names[-1] if names else ""


def code_line(node: Traced) -> str:
    """Where the user's own code calls what a traced node stands for; the innermost line outside torch itself."""
    found = FRAME.findall(node.meta.get("stack_trace") or "")
    own = [frame for frame in found if not {"torch", "napari_seamless"} & set(PurePath(frame[0]).parts)] or found[:1]
    if not own:
        return ""
    path, line, code = own[-1]
    return f"line {line} of {PurePath(path).name}, `{code.strip()}`"
