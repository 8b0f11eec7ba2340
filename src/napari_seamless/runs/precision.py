"""On which device, and how exactly: what is asked for, and what can be had."""

from __future__ import annotations

import torch

from napari_seamless.runs.prepared import Prepared
from napari_seamless.runtime.engine import resolve_device
from napari_seamless.runtime.engine.precision import (
    Ability,
    EffectivePrecision,
    Precision,
    can_multiply,
    check_float64,
    checked_precision,
    settle_precision,
)

__all__ = ["Precision", "checked_precision", "in_precision", "place_for"]


def place_for(prepared: Prepared, device: str, *, can: Ability = can_multiply) -> tuple[torch.device, str]:
    """The device meant by a name, and a notice where "auto" had to mean the CPU.

    Some accelerators have no float64. Raises DeviceUnavailable for one that is named, is not there, or cannot run the
    network.
    """
    place = resolve_device(device)
    if not prepared.needs_float64 or can(place, torch.float64):
        return place, ""
    if device == "auto":
        return torch.device("cpu"), f"the network computes in float64, which {place} cannot: it runs on the CPU"
    check_float64(place, can=can)
    return place, ""


def in_precision(prepared: Prepared, precision: str, place: torch.device) -> tuple[Prepared, EffectivePrecision]:
    """The network in a precision, and which one it is in the end. Quick; raises BadRequest for an unknown one."""
    return prepared.in_precision(settle_precision(checked_precision(precision), place))
