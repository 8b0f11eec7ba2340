"""Files of weights: names and tensors, read without running anything that is in them."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from napari_seamless.errors import InputNotFound, ModelError
from napari_seamless.models.loaders.checkpoint import StandIn, State, fitted, foreign_types, read_inert, weights_in
from napari_seamless.models.loaders.weight_matching import check_weights
from napari_seamless.models.trust import require_trust

DAMAGE = (
    SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, TypeError, LookupError,
    AttributeError, AssertionError, ArithmeticError, MemoryError, struct.error,
)  # fmt: skip
"""What reading weights raises where the file is broken: its pickle is a program, run in a machine of torch's own."""
LONGEST_HEADER = 2**24


def read_state(path: Path) -> State:
    """The weights in a file, on the CPU, with the names that they have there.

    `.safetensors`, or what torch.save wrote: a state dict, or a checkpoint with one in it. Raises InputNotFound or
    ModelError.
    """
    if not path.is_file():
        raise InputNotFound(f"weights must be a file that exists; there is none at {path}; check the path")
    return _read(path)


def read_module(path: Path, *, trust: bool) -> nn.Module | State:
    """A whole module that somebody pickled, after a yes; a state dict needs none.

    Raises NotTrusted, InputNotFound or ModelError.
    """
    try:
        return read_state(path)
    except ModelError:
        if path.suffix.lower() == ".safetensors" or not is_pickled_module(path):
            raise
    content = path.read_bytes()
    require_trust(path, content, "the Python objects in it (a pickled module)", trust=trust)
    try:
        with warnings.catch_warnings():
            # a changed source of a module is the business of who says yes
            warnings.simplefilter("ignore")
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    except (pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, ImportError) as error:
        raise ModelError(
            f"a pickled module needs the very code that it was saved with; {path.name} does not open here: "
            f"{error}; save its state_dict() instead"
        ) from error
    if not isinstance(found, nn.Module):
        raise _no_state_dict(path, f"a {type(found).__name__}")
    return found.eval()


def is_pickled_module(path: Path) -> bool:
    """Whether the objects in a file of torch.save are of other types than tensors; looks only at their names."""
    return bool(foreign_types(path))


def load_into(network: nn.Module, state: Mapping[str, torch.Tensor], name: str) -> tuple[str, ...]:
    """Put weights into a network, and put that in eval mode. `name` is the network's in a sentence.

    The names may have the usual prefixes of wrappers and trainings, see checkpoint.py; a notice says so, and which of
    several weights in a file were taken.

    Raises WeightsMismatch.
    """
    wanted = network.state_dict()
    state, notice = fitted(state, wanted)
    # a counter of training steps that older versions of torch did not have
    state = {**{k: v for k, v in wanted.items() if k.endswith("num_batches_tracked")}, **state}
    check_weights(state, wanted, name)
    network.load_state_dict(state)
    network.eval()
    return (notice,) if notice else ()


def _read(path: Path) -> State:
    try:
        if path.suffix.lower() == ".safetensors":
            _check_header(path)
            return State(load_file(path))
        found = read_inert(path)
    except DAMAGE as error:
        if isinstance(error, ModelError):
            raise
        # torch's own message advises to load without the guard, so it is chained, not quoted
        raise _no_state_dict(path, "something damaged, or other objects") from error
    state = weights_in(found)
    if state is None:
        got = "Python objects" if isinstance(found, StandIn) else f"a {type(found).__name__} of something else"
        raise _no_state_dict(path, got)
    return state


def _check_header(path: Path) -> None:
    """Raises ModelError where a safetensors file says that its list of names is longer than any."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > path.stat().st_size:
        raise _no_state_dict(path, "something damaged, or other objects")
    if size > LONGEST_HEADER:
        raise ModelError(
            f"the list of names in a safetensors file has {LONGEST_HEADER >> 20} MB at most; that of {path.name} has "
            f"{size} bytes; do not open it, or save it again"
        )


def _no_state_dict(path: Path, got: str) -> ModelError:
    return ModelError(
        f"a file of weights holds a state dict, names and tensors and nothing else; {path.name} holds {got}; "
        "write module.state_dict() to it"
    )
