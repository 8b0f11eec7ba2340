"""Which of several outputs of a network is the result: what the user says, or a rule, and a sentence about it.

The rule: outputs that are images come before others; then one that has a usual name for the result (`USUAL`, in that
order); then the largest; of three or more of one shape without names, as side outputs are, the one that is made of all
others, else the last; else the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import torch

from napari_seamless.errors import BadRequest, SeveralOutputs
from napari_seamless.models import Model
from napari_seamless.models.model import OutputPart
from napari_seamless.program.outputs import JoinedOutputs, OneOutput

Shapes = Mapping[str, tuple[int, ...]]
Wanted = str | int | Sequence[str | int] | None
ALL = "all"
"""Instead of a name: every output, each as an image of its own."""

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


def is_all(wanted: Wanted, outputs: Shapes) -> bool:
    """Whether every output is asked for, and not the one that is called so."""
    return wanted == ALL and ALL not in outputs


def with_outputs(model: Model, several: SeveralOutputs, wanted: Wanted, ndim: int) -> Model:
    """The model that gives some of its outputs in one. Raises BadRequest where they cannot be made in one go."""
    shapes = several.shapes
    listed = wanted if isinstance(wanted, Sequence) and not isinstance(wanted, str) else tuple(shapes)
    names = tuple(named_output(shapes, one) for one in listed)
    if not names or len(set(names)) < len(names):
        raise BadRequest(f"several outputs are asked for by name, each once, or as 'all'; got {wanted!r}")
    if model.select is not None:
        raise BadRequest(
            f"the outputs of a model with steps after its network are made one by one; '{model.name}' has some; ask "
            "for one (network_output=NAME, --network-output NAME)"
        )
    chosen = {name: shapes[name] for name in names}
    if len({shape[-ndim:] for shape in chosen.values()}) > 1 or any(
        len(shape) not in (ndim + 1, ndim + 2) for shape in chosen.values()
    ):
        raise BadRequest(
            f"outputs that are made in one go are images of one size; got {_listed(chosen)}; name those that are "
            "(network_output=[...], --network-output A,B), and make another run for the others"
        )
    parts = tuple(
        OutputPart.of(name, shape[1] if len(shape) == ndim + 2 else None, several.dtypes[name])
        for name, shape in chosen.items()
    )
    dtypes = [getattr(torch, part.dtype) for part in parts]
    joint = dtypes[0] if len(set(dtypes)) == 1 else torch.float32
    module = JoinedOutputs(model.module, names, ndim, joint)
    notice = f"the network gives {len(shapes)} outputs, {_listed(shapes)}; {_quoted(names)} are images of one result"
    plain = replace(model, kind="image", classes=(), channel_names=())
    return replace(plain, module=module, parts=parts, notices=(*model.notices, notice))


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


def check_only_output(wanted: Wanted) -> None:
    """Refuse the choice of an output where there is only one. Raises BadRequest."""
    if wanted not in (None, 0, "0", ALL):
        raise BadRequest(
            f"network_output (--network-output) chooses one of several outputs; this network gives one, and {wanted!r} "
            "was asked for; leave it out"
        )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _listed(outputs: Shapes) -> str:
    return ", ".join(f"{name!r} of {' x '.join(map(str, shape))}" for name, shape in outputs.items())
