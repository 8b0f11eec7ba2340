"""On which device, and how exactly: what is asked for, and what can be had."""

from __future__ import annotations

from dataclasses import replace

import torch

from napari_seamless.program.graph import Program
from napari_seamless.program.reduced_precision import in_reduced_precision
from napari_seamless.runs.prepare import Prepared
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
    if not _needs_float64(prepared.program) or can(place, torch.float64):
        return place, ""
    if device == "auto":
        return torch.device("cpu"), f"the network computes in float64, which {place} cannot: it runs on the CPU"
    check_float64(place, can=can)
    return place, ""


def in_precision(prepared: Prepared, precision: str, place: torch.device) -> tuple[Prepared, EffectivePrecision]:
    """The network in a precision, and which one it is in the end. Quick; raises BadRequest for an unknown one."""
    settled = settle_precision(checked_precision(precision), place)
    if settled.dtype is None or prepared.approximation is not None:
        return prepared, settled
    program = in_reduced_precision(prepared.program, settled.dtype)
    if program is prepared.program:
        return prepared, EffectivePrecision(
            "float32", f"the network multiplies no float32 numbers that {precision} could stand for: it runs as it is"
        )
    return replace(prepared, program=program), settled


def _needs_float64(program: Program) -> bool:
    return any(program.values[node.output].dtype == torch.float64 for node in program.nodes)
