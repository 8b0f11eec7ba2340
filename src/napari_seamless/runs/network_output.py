"""Which of several outputs of a network is the result: what the user says, or a rule, and a sentence about it.

The rule: outputs that are images come before others; then one that has a usual name for the result (`USUAL`, in that
order); then the largest; of three or more of one shape without names, as side outputs are, the one that is made of all
others, else the last; else the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from napari_seamless.errors import BadRequest
from napari_seamless.models import Model
from napari_seamless.program.outputs import OneOutput

Shapes = Mapping[str, tuple[int, ...]]

USUAL = (
    *("out", "output", "outputs", "logits", "pred", "preds", "prediction", "predictions", "result", "final", "fused"),
    *("mask", "masks", "seg", "segmentation", "semantic", "probabilities", "probability", "prob", "score", "main"),
)
"""Names of what a network is for, in lower case."""
SIDE_OUTPUTS = 3
"""So many without names, of one shape, are side outputs, with the best one last."""


def with_output(model: Model, outputs: Shapes, wanted: str | int | None, ndim: int, fused: str = "") -> Model:
    """The model that gives one of its outputs, of shapes (1, [k,] [z,] y, x), of which one may be `fused`. Raises
    BadRequest for one it lacks."""
    asked = model.output if wanted is None else wanted
    name = default_output(outputs, ndim, fused) if asked is None else named_output(outputs, asked)
    chosen = replace(model, module=OneOutput(model.module, name)) if model.select is None else model.select(name)
    if len(outputs) == 1:
        return chosen
    how = "by rule; another one with network_output=NAME (--network-output NAME)" if asked is None else "as asked for"
    notice = f"the network gives {len(outputs)} outputs, {_listed(outputs)}; the output {name!r} is taken, {how}"
    return replace(chosen, notices=(*model.notices, notice))


def default_output(outputs: Shapes, ndim: int, fused: str = "") -> str:
    """The name of the output that is taken where nobody says it; `fused` is the one that is made of all others.

    >>> default_output({"aux": (1, 1, 50, 50), "out": (1, 2, 50, 50)}, 2)
    'out'
    >>> default_output({"0": (1, 2, 25, 25), "1": (1, 2, 50, 50)}, 2)
    '1'
    >>> default_output({"0": (1, 2, 50, 50), "1": (1, 2, 50, 50), "2": (1, 2, 50, 50)}, 2)
    '2'
    >>> default_output({"0": (1, 2, 50, 50), "1": (1, 2, 50, 50), "2": (1, 2, 50, 50)}, 2, fused="0")
    '0'
    """
    images = {name: shape for name, shape in outputs.items() if len(shape) in (ndim + 1, ndim + 2)} or dict(outputs)
    lasts = {name.rpartition(".")[2].casefold(): name for name in reversed(list(images))}
    for usual in USUAL:
        if usual in lasts:
            return lasts[usual]
    sizes = {name: prod(shape[-ndim:]) for name, shape in images.items()}
    best = [name for name in images if sizes[name] == max(sizes.values())]
    are_sides = len({images[name] for name in best}) == 1 and len(best) >= SIDE_OUTPUTS
    if are_sides and all(name.rpartition(".")[2].isdecimal() for name in best):
        return fused if fused in best else best[-1]
    return best[0]


def named_output(outputs: Shapes, wanted: str | int) -> str:
    """The output with a name, or with a number in their order. Raises BadRequest."""
    names = list(outputs)
    if str(wanted) in names:
        return str(wanted)
    if isinstance(wanted, int) and -len(names) <= wanted < len(names):
        return names[wanted]
    raise BadRequest(
        f"network_output (--network-output) is the name or number of one of the network's outputs, {_listed(outputs)}; "
        f"got {wanted!r}"
    )


def check_only_output(wanted: str | int | None) -> None:
    """Refuse the choice of an output where there is only one. Raises BadRequest."""
    if wanted not in (None, 0, "0"):
        raise BadRequest(
            f"network_output (--network-output) chooses one of several outputs; this network gives one, and {wanted!r} "
            "was asked for; leave it out"
        )


def _listed(outputs: Shapes) -> str:
    return ", ".join(f"{name!r} of {' x '.join(map(str, shape))}" for name, shape in outputs.items())
