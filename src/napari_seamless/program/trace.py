"""Tracing: a network and an image size become a program, without computing or allocating a pixel.

`torch.export` runs the network on a *fake* tensor of the image's true size. Every size in the traced graph is then
the true one, which is what makes ratios, odd sizes and divisibility come out as they do for the whole image.
"""

from __future__ import annotations

import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from napari_seamless.errors import InputMismatch, NotTileable, RunCancelled, SeveralOutputs, TraceFailed
from napari_seamless.program._compat import (
    fake_mode,
    is_data_of,
    is_under_no_grad,
    needs_values,
    tracing_alone,
    without_fake_log,
)
from napari_seamless.program.build import program_of
from napari_seamless.program.divisor import ROUND, Divisor, Sizes, by_axis, marked_sizes, of_sizes, smallest
from napari_seamless.program.graph import Program, Refusal, check
from napari_seamless.program.ops.decomposed import DECOMPOSED
from napari_seamless.program.outputs import fused_output, only_tensor
from napari_seamless.program.passes import settled
from napari_seamless.program.shared_moments import share_moments
from napari_seamless.program.simplify import simplify

TIME_LIMIT = 120.0
NOT_OWN = ("torch", "napari_seamless")
"""Folders with code that is not a network's."""
SCORES = "its result is scores for the image as a whole"
OTHER_TYPES = ("should be the same", "same dtype", "expected scalar type")
"""What torch says where layers are of another float type than what they get."""


def trace(
    network: nn.Module,
    shape: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    cancelled: Callable[[], bool] = lambda: False,
    time_limit: float = TIME_LIMIT,
    refuse: bool = True,
    training: bool = False,
) -> Program:
    """Trace `network` for an image of true shape (1, c, [z,] y, x).

    The network is put in eval mode for the time being and must be on the CPU. Slow (0.3 to 13 s); callable from any
    thread, which waits while another one traces. `cancelled` is asked at every torch call. `time_limit` is in seconds
    of this thread's processor time, so that a busy machine refuses no network. With `refuse` False a program with
    refusals is returned instead of raised, for explaining. With `training` its layers stay in the mode that each is in,
    weights are left as they are and the program knows how its constants are derived (`Program.training`); its result
    may also be without positions.

    Raises NotTileable (with all reasons), TraceFailed, SeveralOutputs, InputMismatch (channels or size), RunCancelled.
    """
    guard = _Guard(cancelled, time.thread_time() + time_limit, time_limit)
    with tracing_alone(cancelled), _in_its_mode(network, training=training), unshadowed(network):
        divisor = find_divisor(network, shape, dtype, guard)
        module = network if divisor == 1 else Padded(network, divisor)
        exported = _exported(module, shape, dtype, guard, training=training)
        program = share_moments(simplify(program_of(exported, len(shape) - 2, training=training)))
    refusals = () if training and _has_no_positions(program) else _output_refusals(program)
    program = replace(program, divisor=divisor, refusals=program.refusals + refusals)
    if program.refusals and refuse:
        raise NotTileable(refusal_text(program.refusals))
    if not program.refusals:
        check(program)
    return program


@contextmanager
def _in_its_mode(network: nn.Module, *, training: bool) -> Iterator[None]:
    """The network in the mode in which it is traced, and afterwards as it was: a fake step counts itself for real."""
    modes = [(module, module.training) for module in nn.Module.modules(network)]
    buffers = [(buffer, buffer.detach().clone()) for buffer in network.buffers()] if training else []
    if not training:
        network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


@contextmanager
def unshadowed(network: nn.Module) -> Iterator[None]:
    """Parts whose names are those of torch's own methods, `modules` or `children`, have other names for the time being.

    Torch keeps them and finds the method by that name, so that the network runs, and no tracer knows its way in it.
    """
    renamed = []
    for module in list(nn.Module.modules(network)):
        parts = module._modules
        if any(hasattr(type(module), name) for name in parts):
            renamed.append((parts, dict(parts)))
            kept = {f"{n}_" if hasattr(type(module), n) else n: part for n, part in parts.items()}
            parts.clear()
            parts.update(kept)
    try:
        yield
    finally:
        for parts, before in renamed:
            parts.clear()
            parts.update(before)


def refusal_text(refusals: Sequence[Refusal]) -> str:
    """One sentence for all refusals: at most three are named."""
    scores = [refusal.reason for refusal in refusals if refusal.reason.startswith(SCORES)]
    if scores:
        return (
            f"a run needs a network that gives an image; {scores[0]}; use napari_seamless.classify(model, image) (the "
            "command classify)"
        )
    said = list(dict.fromkeys(map(str, refusals)))  # layers without a name say the same
    named = "; ".join(said[:3])
    more = f" (and {len(said) - 3} more)" if len(said) > 3 else ""
    return (
        f"to be the same in tiles as on the whole image, a network must look at neighbourhoods, or at the whole "
        f"plane by sums, extremes or ranks; got {named}{more}; use a network without it, or run the network on a "
        "downsampled level that fits whole"
    )


class _Guard(TorchFunctionMode):
    """Looks at every torch call whether tracing should go on, and shows it `x.data`, where it would lose sight of x."""

    def __init__(self, cancelled: Callable[[], bool], deadline: float, limit: float) -> None:
        super().__init__()
        self._cancelled, self._deadline, self._limit = cancelled, deadline, limit

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._cancelled():
            raise RunCancelled("tracing was cancelled before it was done; start it again to run the network")
        if time.thread_time() > self._deadline:
            raise TraceFailed(
                f"tracing must end within {self._limit:g} s of computing; this network had not; give it a longer limit"
            )
        if is_data_of(func):
            return args[0].detach()
        return func(*args, **(kwargs or {}))


class Padded(nn.Module):
    """A network that wants sizes divisible by `divisor`: far edges padded by reflection, output cropped to match.

    The divisor is one number, or one for each axis.

    Where an image is smaller than the padding it needs, reflection repeats, as numpy's does.
    """

    def __init__(self, network: nn.Module, divisor: Divisor) -> None:
        super().__init__()
        self.network, self.divisor = network, divisor

    def forward(self, x: Tensor) -> Tensor:
        sizes = x.shape[2:]
        padded = x
        for k, (size, divisor) in enumerate(zip(sizes, by_axis(self.divisor, len(sizes)), strict=True)):
            padded = _reflected(padded, 2 + k, -size % divisor)
        result = only_tensor(self.network(padded))
        first = result.dim() - len(sizes)
        for k, size in enumerate(sizes):
            keep = -(-result.shape[first + k] * size // padded.shape[2 + k])
            result = result.narrow(first + k, 0, keep)
        return result


def _reflected(x: Tensor, dim: int, amount: int) -> Tensor:
    """`amount` pixels of reflection at the far end of one dimension, however small the image."""
    while amount:
        size = x.shape[dim]
        step = min(amount, size - 1) if size > 1 else amount
        after_dim, before_dim = x.dim() - 1 - dim, dim - 2
        pads = [0, 0] * after_dim + [0, step] + [0, 0] * before_dim
        x = F.pad(x, pads, mode="reflect" if size > 1 else "replicate")
        amount -= step
    return x


def find_divisor(network: nn.Module, shape: Sequence[int], dtype: torch.dtype, guard: TorchFunctionMode) -> Divisor:
    """The smallest number by which the image's sizes must be divisible, or one for each axis; 1 mostly.

    A network that takes a larger image with the same remainders finds this one too small, and is not helped by padding.
    """
    failure = _failure(network, shape, dtype, guard)
    if failure is None:
        return 1
    if isinstance(failure, needs_values()):
        raise TraceFailed(
            "a network must do the same whatever the pixel values are, with no branch or size that depends on them; "
            f"this one asks for a value{_place_of(failure)}; choose by torch.where there instead"
        ) from failure
    if any(words in str(failure) for words in OTHER_TYPES):
        raise TraceFailed(
            f"a network gets float32 and must compute in it, or cast by itself; here it says{_place_of(failure)}: "
            f"{_first_line(failure)}; convert it with network.float()"
        ) from failure
    larger = (*shape[:2], *(n + ROUND for n in shape[2:]))
    if _failure(network, larger, dtype, guard) is None:
        raise _explained(failure, shape, too_small=True) from failure
    ndim = len(shape) - 2
    seen = Sizes()
    with seen:
        _failure(network, (*shape[:2], *marked_sizes(ndim)), dtype, guard)
    guess = of_sizes(seen.found, ndim)

    def works(divisor: Divisor, sizes: Sequence[int]) -> bool:
        return _failure(Padded(network, divisor), (*shape[:2], *sizes), dtype, guard) is None

    found = smallest(guess, shape[2:], works)
    if found is not None:
        return found
    raise _explained(failure, shape) from failure


def _failure(
    network: nn.Module, shape: Sequence[int], dtype: torch.dtype, guard: TorchFunctionMode
) -> Exception | None:
    """What the network itself raises on a fake image of this shape, if anything."""
    with without_fake_log(), fake_mode(), torch.no_grad():
        image = torch.empty(tuple(shape), dtype=dtype)
        try:
            with guard:
                result = only_tensor(network(image))
        except SeveralOutputs as several:
            raise SeveralOutputs(several.shapes, several.dtypes, _fused(network, image)) from several
        except (RuntimeError, ValueError, IndexError, AssertionError, TypeError, NotImplementedError) as failure:
            return failure
    if min(result.shape, default=1) < 1:
        return ValueError(f"Output size is too small: {tuple(result.shape)}")
    return None


def _fused(network: nn.Module, image: Tensor) -> str:
    """As `fused_output`; "" where that cannot be told, as of a network that cannot be differentiated."""
    try:
        return fused_output(network, image)
    except (RuntimeError, SeveralOutputs):
        return ""


def _explained(failure: Exception, shape: Sequence[int], *, too_small: bool = False) -> Exception:
    """What a network says of an image of this shape, in our words."""
    text, size = _first_line(failure), " x ".join(str(n) for n in shape[2:])
    if too_small:
        return InputMismatch(
            f"the image must not be smaller than the network's minimum; it is {size}, and the network says: {text}; "
            "use a larger image or a finer level"
        )
    if "channels" in text:
        return InputMismatch(
            f"image and network must have the same number of channels; the image has {shape[1]}, and the network says: "
            f"{text}; choose channels, another image or another network"
        )
    return TraceFailed(
        f"a network must accept an image of the size it is run on; at {size} with {shape[1]} channels it says: {text}"
    )


def _place_of(failure: Exception) -> str:
    """The last line of the network's own code that an error went through; "" where there is none."""
    frames = traceback.extract_tb(failure.__traceback__)
    own = [frame for frame in frames if not any(f"{os.sep}{name}{os.sep}" in frame.filename for name in NOT_OWN)]
    return f" at {own[-1].filename}:{own[-1].lineno} ({own[-1].line})" if own else ""


def _first_line(failure: Exception) -> str:
    lines = str(failure).strip().splitlines()
    return lines[0] if lines else type(failure).__name__


def _exported(
    network: nn.Module, shape: Sequence[int], dtype: torch.dtype, guard: TorchFunctionMode, *, training: bool = False
) -> Any:
    mode = fake_mode()
    with mode:
        image = torch.empty(tuple(shape), dtype=dtype)
    try:
        with warnings.catch_warnings(), torch.set_grad_enabled(training), mode, guard:
            warnings.simplefilter("ignore")
            exported = torch.export.export(network, (image,), strict=False)
            if training:
                _detach_what_has_no_gradient(exported.graph)
        with warnings.catch_warnings(), guard:
            warnings.simplefilter("ignore")
            return exported.run_decompositions(_decompositions())
    except (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError, AssertionError) as failure:
        if isinstance(failure, TraceFailed):
            raise
        raise TraceFailed(
            "torch.export must be able to trace the network (no branches on pixel values); it says: "
            f"{_first_line(failure)}"
        ) from failure


def _detach_what_has_no_gradient(graph: torch.fx.Graph) -> None:
    """What is computed under `torch.no_grad` is a part of its own at first, whose results become constants here."""
    for node in list(graph.nodes):
        if not is_under_no_grad(node):
            continue
        for result in list(node.users):
            with graph.inserting_after(result):
                detached = graph.call_function(torch.ops.aten.detach.default, (result,))
            detached.meta = dict(result.meta)
            result.replace_all_uses_with(detached, delete_user_cb=lambda user, new=detached: user is not new)


def _decompositions() -> dict[Any, Callable[..., Any]]:
    """torch's own ways of taking apart the operators in DECOMPOSED; all others stay whole."""
    known: Any = torch.export.default_decompositions()
    return {op: parts for op, parts in known.items() if str(op) in DECOMPOSED}


def _has_no_positions(program: Program) -> bool:
    """Whether the result follows from what the whole plane was reduced to: classes of an image, (1, c)."""
    return not program.refusals and not any(program.values[program.output].dims) and program.output in settled(program)


def _output_refusals(program: Program) -> tuple[Refusal, ...]:
    """The result must be (1, [c,] [z,] y, x): every spatial axis once, in order, nothing flattened."""
    if program.refusals:
        return ()
    value = program.values[program.output]
    if len(value.shape) == 2 and not any(value.dims):
        return (Refusal("output", "", f"{SCORES}, of shape {value.shape}"),)
    spatial = [axes for axes in value.dims if axes]
    if sorted(spatial) == [(a,) for a in range(program.ndim)] != spatial:
        order = " and ".join("zyx"[-program.ndim :][axes[0]] for axes in spatial)
        reason = f"the axes of its result are {order}, another order than the image's; put them back, as by transpose"
        return (Refusal("output", "", reason),)
    if spatial != [(a,) for a in range(program.ndim)] or value.dims[-program.ndim :] != tuple(spatial):
        return (Refusal("output", "", f"its result of shape {value.shape} is not an image (1, [channels,] [z,] y, x)"),)
    channels = value.shape[: -program.ndim]
    if len(channels) > 2 or (channels and channels[0] != 1):
        return (Refusal("output", "", f"its result of shape {value.shape} is not an image (1, [channels,] [z,] y, x)"),)
    return ()
