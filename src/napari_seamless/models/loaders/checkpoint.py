"""Weights in checkpoints as trainings write them: where they lie, and what wrappers put before their names.

Lightning, torch.compile, DataParallel, weight averaging, nnU-Net and others keep the same names and tensors under keys
and prefixes of their own. Which were taken is told. Nothing that is in a file is run: objects of other types than
tensors, such as the arguments of a training, are read as empty stand-ins.
"""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

INSIDE = (
    *("state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "params_ema", "ema"),
    *("network_weights", "state_dict", "model_state_dict", "model_state", "params", "model", "net", "network"),
    *("module", "weights", "generator"),
)
"""Keys of weights in a checkpoint, the best first: averaged ones are what a training is evaluated with."""
PREFIXES = frozenset(
    {
        *("module", "_orig_mod", "model", "net", "network", "unet", "generator", "segmentation_model"),
        *("ema_model", "model_ema", "ema", "averaged_model", "online_model"),
    }
)
"""Names of a network in a wrapper or in a training; encoders and decoders are parts of one, and stay."""
COMPILED = "_orig_mod."
BESIDE = ("loss", "criterion", "metric", "n_averaged", "train_", "val_", "valid_", "test_", "ema", "initted", "step")
"""How names begin that belong to a training and not to its network."""
NO_WEIGHTS = ("optim", "scheduler", "scaler", "callback", "loop")
"""How keys begin under which a checkpoint keeps the state of other things."""
DEPTH = 3
PICKLES = 5
"""In a file of the old format: a magic number, a version, the machine, what was saved, and the names of storages."""
KNOWN = ("torch.", "collections.OrderedDict", "_codecs.encode", "builtins.")
"""How what torch itself looks at begins: it refuses what is not a tensor or a plain value."""

Tensors = Mapping[str, torch.Tensor]


class State(dict[str, torch.Tensor]):
    """Names and tensors; `key` is where they lay in the file ("" for the file itself), `others` what lay beside."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], key: str = "") -> None:
        super().__init__(tensors)
        self.key = key
        self.others: tuple[State, ...] = ()


class StandIn(dict[Any, Any]):
    """An object of any other type in a file: nothing of it is kept, and no code of its class is run."""

    def __new__(cls, *args: object, **kwargs: object) -> StandIn:
        del args, kwargs
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        del args, kwargs
        super().__init__()

    def __setstate__(self, state: object) -> None:
        """Nothing is taken over."""


def read_inert(path: Path) -> Any:
    """What torch.save wrote, with stand-ins for all that is neither tensors nor plain values. Runs nothing of it.

    Raises what torch.load raises.
    """
    names = foreign_types(path)
    with torch.serialization.safe_globals([(StandIn, name) for name in names]):
        return torch.load(path, map_location="cpu", weights_only=True)


def foreign_types(path: Path) -> list[str]:
    """The types, and functions, of other things than tensors that a file of torch.save names. Runs nothing of it.

    Before torch 1.6 such a file was a row of pickles, which torch does not look through.
    """
    if zipfile.is_zipfile(path):
        try:
            return list(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        except (RuntimeError, pickle.UnpicklingError, ValueError, OSError, EOFError):
            return []
    try:
        with path.open("rb") as file:
            named = {name for _ in range(PICKLES) for name in _named(file)}
    except (ValueError, OSError, EOFError, MemoryError):  # as pickletools finds it damaged, or asked for a lying length
        return []
    return sorted(n for n in named if not n.startswith(KNOWN) or n.startswith(("torch.nn.modules.", "torch.optim.")))


def _named(file: BinaryIO) -> Iterator[str]:
    """What one pickle names, as "module.name"; the file stands behind it then."""
    texts: list[str] = []
    for code, argument, _ in pickletools.genops(file):
        if code.name == "GLOBAL":
            yield str(argument).replace(" ", ".", 1)
        elif code.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])
        elif isinstance(argument, str):
            texts.append(argument)


def weights_in(found: Any) -> State | None:
    """The weights in what was read from a file, the likeliest ones first (`others`); None where there are none."""
    if isinstance(found, dict) and not isinstance(found, StandIn) and not found:
        return State({})  # of a network without weights
    states = sorted(_states(found, (), set()), key=lambda state: (_rank(state.key), -len(state)))
    if not states:
        return None
    states[0].others = tuple(states[1:])
    return states[0]


def fitted(state: Tensors, wanted: Tensors) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors of `state` with the names that a network wants, and a sentence where they had others.

    Where none fit, those that come nearest, so that what differs can be told.
    """
    choices = (state, *state.others) if isinstance(state, State) else (state,)
    for one in choices:
        for prefix in _prefixes(one):
            part = _without(one, prefix)
            own = {key: value for key, value in part.items() if key in wanted or not key.startswith(BESIDE)}
            if _is_same(own, wanted):
                return own, _told(one, prefix, len(choices) > 1)
    best = max(_prefixes(state), key=lambda prefix: len(_without(state, prefix).keys() & wanted.keys()))
    return _without(state, best), ""


def _states(found: Any, path: tuple[str, ...], seen: set[int]) -> Iterator[State]:
    """Every mapping of names to tensors, which may have plain values between them; each once, as a file may name it
    any number of times."""
    if not isinstance(found, Mapping) or len(path) > DEPTH or id(found) in seen:
        return
    seen.add(id(found))
    inner = [
        state
        for key, value in found.items()
        if isinstance(key, str) and not key.casefold().startswith(NO_WEIGHTS)
        for state in _states(value, (*path, key), seen)
    ]
    yield from inner
    tensors = {key: value for key, value in found.items() if isinstance(key, str) and _is_numbers(value)}
    if tensors and not inner:
        yield State(tensors, ".".join(path))


def _is_numbers(value: Any) -> bool:
    """Whether it is a tensor that has its numbers here, one after the other."""
    return torch.is_tensor(value) and value.layout == torch.strided and value.device.type == "cpu"


def _rank(key: str) -> int:
    parts = key.split(".")
    return min((INSIDE.index(part) for part in parts if part in INSIDE), default=len(INSIDE) if key else -1)


def _prefixes(state: Tensors) -> list[str]:
    """What may stand before the names: nothing, or usual names of a network, one inside the other."""
    found = {""}
    for key in state:
        parts = key.split(".")[:-1]
        for count, part in enumerate(parts, 1):
            if part not in PREFIXES:
                break
            found.add("".join(f"{part}." for part in parts[:count]))
    return sorted(found, key=lambda prefix: (prefix != "", "ema" not in prefix and "averaged" not in prefix, prefix))


def _without(state: Tensors, prefix: str) -> dict[str, torch.Tensor]:
    """Those with the prefix, without it; and without what torch.compile puts into names of parts."""
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return {key.replace(COMPILED, ""): value for key, value in own.items()}


def _is_same(own: Tensors, wanted: Tensors) -> bool:
    """Names and shapes; older versions of torch had no counters of training steps."""
    missing = {key for key in wanted.keys() - own.keys() if not key.endswith("num_batches_tracked")}
    return not missing and own.keys() <= wanted.keys() and all(own[k].shape == wanted[k].shape for k in own)


def _told(state: Tensors, prefix: str, is_choice: bool) -> str:
    key = state.key if isinstance(state, State) else ""
    where = f"those under {key!r}" if key and is_choice else ""
    names = f"names that begin with {prefix!r}, without that" if prefix else ""
    said = " and ".join(words for words in (where, names) if words)
    return f"of the weights in the file are taken: {said}" if said else ""
