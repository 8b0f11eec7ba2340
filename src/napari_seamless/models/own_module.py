"""A network as its author has it at hand, made into one that can be traced: eval mode, float32, plain modules.

The author's own module is never changed. What has to be another way is so in a copy that shares the weights, and is
said in a notice: training mode, torch.compile, DataParallel, TorchScript inside, weights in half or double precision.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from types import CodeType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn

from napari_seamless.errors import ModelError
from napari_seamless.models._compat import compiled_function, compiled_module, first_line
from napari_seamless.models.loaders.pt2 import Graph
from napari_seamless.models.loaders.torchscript import script_of
from napari_seamless.program.own_attributes import NEEDED, require_methods, submodules

SHARDED = ("FullyShardedDataParallel", "FSDPModule", "DeepSpeedEngine")
"""Wrappers that hold a part of the weights only."""


def as_run(given: object) -> tuple[nn.Module, tuple[str, ...]]:
    """What is run in the place of a module, and notices about it: (1, c, [z,] y, x) in float32, in eval mode.

    It is the very module where nothing is to be changed. Weights are shared with the caller's, unless their type
    changes. Raises ModelError for what is no module, or none that can be made so.
    """
    if isinstance(given, torch.export.ExportedProgram):
        return Graph(given.module()), ()
    if isinstance(given, torch.fx.GraphModule) and "eval" in vars(given):
        return Graph(given), ()  # one of torch.export, whose mode is fixed
    if not isinstance(given, nn.Module):
        raise _no_module(given)
    found = tuple(submodules(given))
    require_methods(given)
    _check(found)
    dtypes = _foreign_dtypes(found)
    wrapped = tuple(m for m in found if inner_of(m) is not None or isinstance(m, torch.jit.ScriptModule))
    modes = any(m.training for m in found)
    names = any(name in NEEDED for m in found if not isinstance(m, torch.jit.ScriptModule) for name in m._modules)
    patched = any(_original_forward(m) is not None or _is_compiled_in_place(m) for m in found)
    if not (wrapped or modes or names or patched or dtypes):
        return given, ()
    notices = tuple(_notices(found, wrapped, dtypes, patched=patched))
    try:
        made = _copied(found, dtypes).eval()
    except (TypeError, RuntimeError, AttributeError, NotImplementedError) as error:
        raise ModelError(
            "a network is run in eval mode, in float32 and without wrappers, on a copy that leaves yours alone; "
            f"{type(given).__name__} cannot be copied ({first_line(error)}); hand over the plain module "
            "after module.eval()"
        ) from error
    return made, notices


def inner_of(module: nn.Module) -> nn.Module | None:
    """The network in a wrapper that computes the same as it: torch.compile's and those for several devices."""
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner: nn.Module = module.module
        return inner
    return compiled_module(module)


def _no_module(given: object) -> ModelError:
    if isinstance(given, type) and issubclass(given, nn.Module):
        got, instead = f"the class {given.__name__}", f"make one: {given.__name__}()"
    elif callable(given):
        name = getattr(given, "__name__", type(given).__name__)
        got = f"the function {name}"
        instead = "call it in the forward of a torch.nn.Module that holds its weights, and hand that over"
    else:
        got, instead = f"a {type(given).__name__}", "hand over the module"
    return ModelError(f"a model is a name, a file or a torch.nn.Module; got {got}; {instead}")


def _check(found: Sequence[nn.Module]) -> None:
    """Refuse what cannot be run as it is, in a sentence."""
    for module in found:
        name = type(module).__name__
        if any(kind.__name__ in SHARDED for kind in type(module).__mro__):
            raise ModelError(
                f"a network must hold all of its weights; {name} holds a part of them on each device; gather them into "
                "the plain module, and hand that over"
            )
    if any(tensor.is_meta for tensor in _tensors(found)):
        raise ModelError(
            "a network needs its weights; some of these are on torch's 'meta' device, where there are none; load them"
        )


def _tensors(found: Sequence[nn.Module]) -> Iterator[torch.Tensor]:
    for module in found:
        if not isinstance(module, torch.jit.ScriptModule):
            yield from (t for t in (*module._parameters.values(), *module._buffers.values()) if t is not None)


def _foreign_dtypes(found: Sequence[nn.Module]) -> frozenset[torch.dtype]:
    """The float type of all parameters where that is not float32; none where there are several.

    A network that mixes types casts between them by itself.
    """
    parameters = [p for m in found if not isinstance(m, torch.jit.ScriptModule) for p in m._parameters.values()]
    kinds = {p.dtype for p in parameters if p is not None and p.dtype.is_floating_point}
    return frozenset(kinds) if len(kinds) == 1 and torch.float32 not in kinds else frozenset()


def _notices(
    found: Sequence[nn.Module], wrapped: Sequence[nn.Module], dtypes: frozenset[torch.dtype], *, patched: bool
) -> Iterator[str]:
    plain = list(dict.fromkeys(type(m).__name__ for m in wrapped))
    if plain:
        yield f"the network inside {' and '.join(plain)} is run, which computes the same"
    elif patched:
        yield "the network is run without torch.compile, which computes the same"
    if any(_depends_on_mode(m) for m in found):
        yield (
            "the network was handed over in training mode and is run in eval mode, as network.eval() does it: batch "
            "norm uses its running statistics, and nothing is dropped out; your module stays in training mode"
        )
    for dtype in dtypes:
        kind = str(dtype).removeprefix("torch.")
        yield f"the network's weights are {kind}; they are taken as float32, and it is computed in float32"


def _depends_on_mode(module: nn.Module) -> bool:
    """Whether a module in training mode may compute something else than in eval mode."""
    if not module.training:
        return False
    if isinstance(module, torch.jit.ScriptModule):
        return True
    if getattr(module, "track_running_stats", None) is False or getattr(module, "p", None) == 0:
        return False
    own = (kind for kind in type(module).__mro__ if issubclass(kind, nn.Module) and kind is not nn.Module)
    return any(_mentions_training(one.__code__) for kind in own for one in vars(kind).values() if _is_function(one))


def _is_function(found: object) -> bool:
    return isinstance(found, FunctionType) and found.__name__ not in ("train", "eval", "__setstate__")


def _mentions_training(code: CodeType) -> bool:
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return "training" in code.co_names or any(map(_mentions_training, inner))


def _is_compiled_in_place(module: nn.Module) -> bool:
    return vars(module).get("_compiled_call_impl") is not None


def _original_forward(module: nn.Module) -> Any:
    """What a module's own forward was before somebody compiled it; None where nobody did."""
    if isinstance(module, torch.jit.ScriptModule):
        return None
    return compiled_function(vars(module).get("forward"))


def _copied(found: Sequence[nn.Module], dtypes: frozenset[torch.dtype]) -> nn.Module:
    """A copy of the first of the modules, which has all others below it."""
    memo: dict[int, Any] = {id(t): _tensor(t, dtypes) for t in _tensors(found)}
    for module in found:
        # what old ways of normalising weights leave behind has no copy of its own
        memo |= {id(t): t.detach() for t in vars(module).values() if isinstance(t, torch.Tensor) and not t.is_leaf}
    for module in reversed(found):  # what is inside comes first
        if isinstance(module, torch.jit.ScriptModule):
            memo[id(module)] = _plain_script(module)
        elif (inner := inner_of(module)) is not None:
            memo[id(module)] = copy.deepcopy(inner, memo)
    made: nn.Module = copy.deepcopy(found[0], memo)
    for module in submodules(made):
        if isinstance(module, torch.jit.ScriptModule):
            continue
        if (forward := _original_forward(module)) is not None:
            if not isinstance(forward, MethodType):
                raise TypeError("its forward was compiled from a function that is no method")
            vars(module)["forward"] = MethodType(forward.__func__, module)
        vars(module).pop("_compiled_call_impl", None)
        # nobody can reach a layer by such a name, since the method is found first
        module._modules = {f"{k}_" if k in NEEDED else k: child for k, child in module._modules.items()}
    return made


def _tensor(tensor: torch.Tensor, dtypes: frozenset[torch.dtype]) -> torch.Tensor:
    if tensor.dtype not in dtypes:
        return tensor
    taken = tensor.detach().to(torch.float32)
    return nn.Parameter(taken, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else taken


def _plain_script(script: torch.jit.ScriptModule) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone: torch.jit.ScriptModule = copy.deepcopy(script).eval()
        return script_of(alone.float()).module
