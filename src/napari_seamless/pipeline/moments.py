"""Moments as a value: what passes measured of one image, to be saved and used again.

With them any region of that image is exact in one pass; with those of another image a series of slides is normalised
alike (frozen statistics).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from napari_seamless.engine.moments import as_state
from napari_seamless.errors import BadRequest, InputDamaged, InputNotFound
from napari_seamless.program.graph import Program
from napari_seamless.program.ops.barrier import State
from napari_seamless.program.passes import barriers_of

FORMAT = "napari-seamless moments 1"


@dataclass(frozen=True)
class Moments:
    """For each barrier, by number and layer name, its state: a few float64 arrays; and where they come from.

    `facts` are model, image, level, scope of the statistics, and the program's hash.
    """

    states: Mapping[str, tuple[NDArray[np.float64], ...]]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path) -> Path:
        """Write a small safetensors file; never half of it."""
        path = Path(path)
        arrays = {
            f"{name}|{k}": np.ascontiguousarray(a) for name, state in self.states.items() for k, a in enumerate(state)
        }
        partial = path.with_name(path.name + ".partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        save_file(arrays, partial, metadata={"format": FORMAT, "facts": json.dumps(dict(self.facts))})
        os.replace(partial, path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Moments:
        """Read what `save` wrote. Raises InputNotFound, InputDamaged."""
        if not Path(path).is_file():
            raise InputNotFound(f"a file of moments must exist; there is none at {path}; check the path")
        states: dict[str, list[NDArray[np.float64]]] = {}
        try:
            with safe_open(path, framework="numpy") as file:
                facts = file.metadata() or {}
                for key in sorted(file.keys(), key=_order):
                    states.setdefault(key.rpartition("|")[0], []).append(file.get_tensor(key))
        except SafetensorError as error:
            raise InputDamaged(
                f"a file of moments is a safetensors file; {path} is none that can be read: {error}"
            ) from error
        if facts.get("format") != FORMAT:
            raise InputDamaged(
                f"a file of moments says so in its header; {path} says {facts.get('format')!r}; choose another"
            )
        return cls({name: tuple(state) for name, state in states.items()}, json.loads(facts["facts"]))

    @classmethod
    def of(cls, program: Program, states: Mapping[int, State], facts: Mapping[str, Any]) -> Moments:
        """From states by the values of their barriers."""
        names = barrier_names(program)
        return cls({names[v]: tuple(part.numpy() for part in state) for v, state in states.items()}, facts)

    def given(self, program: Program, *, partly: bool = False) -> dict[int, State]:
        """The states by the values of a program's barriers. Raises BadRequest if some are missing, unless `partly`."""
        names = barrier_names(program)
        missing = [name for name in names.values() if name not in self.states]
        if missing and not partly:
            raise BadRequest(
                f"moments must be of the same network; these, of {self.facts.get('model', 'an unknown model')}, lack "
                f"{missing[0]!r}; measure them with this one"
            )
        return {v: as_state(self.states[name]) for v, name in names.items() if name in self.states}


def barrier_names(program: Program) -> dict[int, str]:
    """For the value of each barrier its name: the same for any size of image."""
    return {node.output: f"{k:03d} {node.path or '-'} {node.operator}" for k, node in enumerate(barriers_of(program))}


def _order(key: str) -> tuple[str, int]:
    name, _, part = key.rpartition("|")
    return name, int(part)
