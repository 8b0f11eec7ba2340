"""All that loaders use of torch without its being public, each with what happens where it is missing."""

from __future__ import annotations

from inspect import unwrap
from typing import Any

import torch
from torch import nn

from napari_seamless.errors import ModelError


def require_schemas() -> None:
    """Raises ModelError where this torch does not parse schemas: TorchScript is then run blended, not exactly."""
    if not hasattr(torch._C, "parse_schema"):
        raise ModelError(
            f"TorchScript is walked with the schemas of its operators; torch {torch.__version__} does not parse them "
            "(torch._C.parse_schema); install a version of torch that this package was tested with"
        )


def schema_of(text: str) -> Any:
    """The schema of an operator: its `overload_name` and `arguments`, each with `name` and `kwarg_only`."""
    return torch._C.parse_schema(text)


def load_errors() -> tuple[type[Exception], ...]:
    """What torch raises for a damaged file of TorchScript or torch.export. Its checks of a graph have an error of their
    own, which no ordinary one covers; where it is missing, they have none."""
    verifier = getattr(getattr(torch, "_export", None), "verifier", None)
    own = getattr(verifier, "SpecViolationError", None)
    usual = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError, OSError,
             MemoryError, SyntaxError, EOFError)  # fmt: skip
    return usual if own is None else (*usual, own)


def first_line(error: BaseException) -> str:
    """What torch says of an error, without the lists of its own code under it."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def symbol_of(size: Any) -> Any:
    """The symbol of a size of an exported graph; None where torch does not say it, so that any size is taken."""
    return getattr(getattr(size, "node", None), "expr", None)


def compiled_module(module: nn.Module) -> nn.Module | None:
    """The network that torch.compile put into `module`; None where it did not, or does it in another way by now."""
    kind = type(module)
    if (kind.__module__.partition(".")[2].startswith("_dynamo")) and isinstance(
        inner := module._modules.get("_orig_mod"), nn.Module
    ):
        return inner
    return None


def compiled_function(function: Any) -> Any:
    """The function or method that torch.compile was given to make `function`; None where it is none of these."""
    found = getattr(function, "_torchdynamo_orig_callable", None)
    return None if found is None else unwrap(found)
