"""Attributes and parts of a network that have the names of torch's own methods."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from napari_seamless.errors import ModelError

NEEDED = frozenset(
    {
        *("add_module", "apply", "buffers", "children", "eval", "modules", "named_buffers", "named_children"),
        *("named_modules", "named_parameters", "parameters", "register_buffer", "state_dict", "train", "to"),
    }
)
"""What tracing calls on a module, so that nothing else may have the name."""


def submodules(module: nn.Module) -> Iterator[nn.Module]:
    """A module and all below it, once each, parents first; whatever names it gives to its own attributes."""
    seen: set[int] = set()
    waiting = [module]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if not isinstance(one, torch.jit.ScriptModule):
            waiting += [child for child in reversed(one._modules.values()) if child is not None]


def require_methods(network: nn.Module) -> None:
    """Raises ModelError where a network has something else in the place of a method that tracing calls."""
    for module in submodules(network):
        taken = sorted(key for key in NEEDED & vars(module).keys() if not callable(vars(module)[key]))
        if taken:
            raise ModelError(
                "a network must leave the methods of torch.nn.Module as they are, since tracing calls them; "
                f"{type(module).__name__} has an attribute of its own named {taken[0]!r}; rename it"
            )
