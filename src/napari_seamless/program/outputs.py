"""Networks that give several images: tuples, lists and dicts of tensors, nested as they like, with a name for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from napari_seamless.errors import SeveralOutputs, TraceFailed

ACTIVATIONS = ("Sigmoid", "Softmax", "LogSoftmax", "Tanh", "Relu", "Clamp", "Squeeze")
"""How torch names the steps that take nothing but scores."""


def flattened(result: Any) -> dict[str, Tensor]:
    """All tensors in what a network gave, in its order; names are keys and numbers with dots between them.

    >>> list(flattened({"out": Tensor(), "aux": [Tensor(), Tensor()]}))
    ['out', 'aux.0', 'aux.1']
    """
    return {".".join(path): tensor for path, tensor in _walk(result, ())}


def only_tensor(result: Any) -> Tensor:
    """The one tensor that a network gave. Raises SeveralOutputs, or TraceFailed where there is none."""
    if isinstance(result, Tensor):
        return result
    found = flattened(result)
    if not found:
        raise TraceFailed(
            f"a network must give an image, one tensor or several; this one gives a {type(result).__name__} without any"
        )
    raise SeveralOutputs(
        {name: tuple(tensor.shape) for name, tensor in found.items()},
        {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in found.items()},
    )


def fused_output(network: nn.Module, image: Tensor) -> str:
    """The name of the output that is made of all others, as networks with side outputs fuse them; "" where none is.

    What torch would differentiate says so: the image is a fake one, and nothing is computed. A last activation is not
    counted, since it is the scores before it that are fused.
    """
    inner = network.network if isinstance(network, OneOutput) else network
    with torch.enable_grad():
        found = flattened(inner(image.detach().requires_grad_() * 1))
    if len(found) < 2 or any(tensor.grad_fn is None for tensor in found.values()):
        return ""
    scores = {name: _before_activation(tensor.grad_fn) for name, tensor in found.items()}
    made_of = {name: _all_before(node) for name, node in scores.items()}
    fused = [name for name in found if all(scores[other] in made_of[name] for other in found if other != name)]
    return fused[0] if len(fused) == 1 else ""


def _before_activation(node: Any) -> Any:
    while type(node).__name__.startswith(ACTIVATIONS) and node.next_functions:
        node = node.next_functions[0][0]
    return node


def _all_before(node: Any) -> set[Any]:
    """What the step was made of, at any distance."""
    seen: set[Any] = set()
    waiting = [before for before, _ in node.next_functions]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in seen:
            seen.add(one)
            waiting += [before for before, _ in one.next_functions]
    return seen


class OneOutput(nn.Module):
    """A network of several outputs, of which one is taken: by its name, as `flattened` names them.

    Without a name it gives the only one, or raises SeveralOutputs.
    """

    def __init__(self, network: nn.Module, name: str | None) -> None:
        super().__init__()
        self.network, self.name = network, name
        self.training = network.training

    def forward(self, x: Tensor) -> Tensor:
        """What the network makes of the image."""
        result = self.network(x)
        return only_tensor(result) if self.name is None else flattened(result)[self.name]


class JoinedOutputs(nn.Module):
    """A network of several outputs, some of which are given as one: their channels one after the other, in a type that
    holds those of all. They have one size, of `ndim` axes."""

    def __init__(self, network: nn.Module, names: tuple[str, ...], ndim: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.names, self.ndim, self.dtype = network, names, ndim, dtype
        self.training = network.training

    def forward(self, x: Tensor) -> Tensor:
        """What the network makes of the image, (1, channels of all, [z,] y, x)."""
        found = flattened(self.network(x))
        parts = (found[name] if found[name].dim() == self.ndim + 2 else found[name].unsqueeze(1) for name in self.names)
        return torch.cat([part.to(self.dtype) for part in parts], 1)


def _walk(result: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    if isinstance(result, Tensor):
        yield path, result
    else:
        for name, part in _parts(result):
            yield from _walk(part, (*path, name))


def _parts(result: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(result, Mapping):
        yield from ((str(name), part) for name, part in result.items())
    elif isinstance(result, tuple) and hasattr(result, "_fields"):
        yield from zip(result._fields, result, strict=True)
    elif isinstance(result, list | tuple):
        yield from ((str(number), part) for number, part in enumerate(result))
    elif is_dataclass(result):
        yield from ((of.name, getattr(result, of.name)) for of in fields(result))
