"""A network from a Python source that came with a package, once somebody has said yes to it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from napari_seamless.errors import ModelError


def build_from_source(path: Path, content: bytes, name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Run `content`, the very bytes that were agreed to, and make the network that it calls `name`.

    Raises ModelError.
    """
    module = ModuleType(f"trusted_{sha256(content).hexdigest()[:16]}")
    module.__file__ = str(path)
    # dataclasses and pickles look their module up
    sys.modules[module.__name__] = module
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)
        made = getattr(module, name)(**arguments)
    except (SyntaxError, ImportError, NameError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"a package's source must give its network; {path.name} says for {name}: {error}; install what it "
            "needs, or ask its author"
        ) from error
    if not isinstance(made, nn.Module):
        raise ModelError(
            f"an architecture must give a torch.nn.Module; {name} of {path.name} gave a {type(made).__name__}"
        )
    return made
