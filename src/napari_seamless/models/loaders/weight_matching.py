"""Whether weights belong to a network, and what differs if they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import takewhile

import torch

from napari_seamless.errors import PassModule, WeightsMismatch

SHOWN = 5


def check_weights(got: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], network: str) -> None:
    """Refuse weights whose names or shapes are not those wanted; `network` is its name in a sentence.

    Raises `WeightsMismatch` with the first five names of each difference, the nearest names and the likely cause.
    """
    missing = [key for key in wanted if key not in got]
    unexpected = [key for key in got if key not in wanted]
    reshaped = [key for key in wanted if key in got and got[key].shape != wanted[key].shape]
    reasons = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped}
    found = [f"{len(keys)} {reason} ({first_five(keys)})" for reason, keys in reasons.items() if keys]
    if not found:
        return
    pairs = [f"{near} for {key}" for key, near in nearest(missing, unexpected)]
    near = f"; nearest names: {', '.join(pairs)}" if pairs else ""
    shapes = [f"{key} is {_times(got[key])} and not {_times(wanted[key])}" for key in reshaped[:2]]
    of = f"; {'; '.join(shapes)}" if shapes else ""
    raise WeightsMismatch(
        f"weights must have the names and shapes of {network}; got {', '.join(found)}{near}{of}; "
        f"{likely_cause(missing, unexpected, len(wanted), len(got))}",
        remedies=(PassModule(),),
    )


def nearest(missing: Sequence[str], unexpected: Sequence[str]) -> list[tuple[str, str]]:
    """At most five pairs of a missing name and the unexpected one that is most like it."""
    pairs = []
    for key in missing[: 4 * SHOWN]:
        for near in get_close_matches(key, unexpected, n=1, cutoff=0.75):
            pairs.append((key, near))
    return pairs[:SHOWN]


def likely_cause(missing: Sequence[str], unexpected: Sequence[str], wanted: int, got: int) -> str:
    """Why names or shapes differ, as far as they tell."""
    if not missing and not unexpected:
        return "the same layers with other numbers of channels or classes: check the keyword arguments"
    prefix = _shared(unexpected)
    if prefix and {key.removeprefix(f"{prefix}.") for key in unexpected} >= set(missing):
        return f"every name begins with '{prefix}.': the network was a part of another module when it was saved"
    prefix = _shared(missing)
    if prefix and {key.removeprefix(f"{prefix}.") for key in missing} >= set(unexpected):
        return f"the names lack '{prefix}.': only that part of the network was saved"
    if len(missing) == wanted:
        return "no name agrees: it is another architecture"
    if not missing:
        return "all that is wanted is there, and more: a larger variant, or a training's extra heads"
    if len(unexpected) < got / 2:
        return "most names agree: another depth or variant of this architecture"
    return "few names agree: another architecture, or another version of its code"


def _shared(names: Sequence[str]) -> str:
    """The leading parts, between dots, that all names have in common."""
    parts = [name.split(".")[:-1] for name in names]
    shared = takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False))
    return ".".join(column[0] for column in shared)


def first_five(keys: Sequence[str]) -> str:
    """For a message: at most five of the names."""
    return ", ".join(keys[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")


def _times(tensor: torch.Tensor) -> str:
    return " x ".join(str(n) for n in tensor.shape) or "a number"
