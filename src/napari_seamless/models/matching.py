"""Whether weights belong to a network, and what differs if they do not."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from napari_seamless.errors import WeightsMismatch


def check_weights(got: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], network: str) -> None:
    """Refuse weights whose names or shapes are not those wanted; `network` is its name in a sentence.

    Raises `WeightsMismatch` with the first five names of each difference.
    """
    reasons = {
        "missing": [key for key in wanted if key not in got],
        "unexpected": [key for key in got if key not in wanted],
        "of another shape": [key for key in wanted if key in got and got[key].shape != wanted[key].shape],
    }
    found = [f"{len(keys)} {reason} ({first_five(keys)})" for reason, keys in reasons.items() if keys]
    if found:
        raise WeightsMismatch(
            f"weights must have the names and shapes of {network}; got {', '.join(found)}; "
            "pass the module itself if it is another network"
        )


def first_five(keys: list[str]) -> str:
    """For a message: at most five of the names."""
    return ", ".join(keys[:5]) + (", ..." if len(keys) > 5 else "")
