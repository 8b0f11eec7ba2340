"""Moments as a value: what passes measured of one image, to be saved and used again.

With them any region of that image is exact in one pass; with those of another image a series of slides is normalised
alike (frozen statistics).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from napari_seamless.durable_files import write_durably
from napari_seamless.errors import BadRequest, InputDamaged, InputNotFound
from napari_seamless.program.graph import Node, Program
from napari_seamless.program.ops.barrier import Barrier, State
from napari_seamless.program.passes import barriers_of
from napari_seamless.runtime.engine.moments import as_state
from napari_seamless.store.journal import FOLDER

FORMAT = "napari-seamless moments 1"
MOMENTS = "moments.safetensors"
"""The name of the file of moments in a result's own folder."""


CHECKSUM = "checksum"


@dataclass(frozen=True)
class Moments:
    """For each barrier, by number and layer name, its state: a few float64 arrays; and where they come from.

    `facts` are model, image, what the statistics are of, and the hashes of program and weights.
    """

    states: Mapping[str, tuple[NDArray[np.float64], ...]]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """What tells these moments from others."""
        found = sha256()
        for name in sorted(self.states):
            found.update(name.encode())
            for part in self.states[name]:
                found.update(part.tobytes())
        return found.hexdigest()[:16]

    def save(self, path: str | Path) -> Path:
        """Write a small safetensors file with a checksum; never half of it, and on the disk when this returns."""
        path = Path(path)
        arrays = {
            f"{name}|{k}": np.array(a, order="C") for name, state in self.states.items() for k, a in enumerate(state)
        }
        facts = json.dumps(dict(self.facts))
        header = {"format": FORMAT, "facts": facts, CHECKSUM: _checksum(arrays, facts)}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, save(arrays, metadata=header))
        return path

    @classmethod
    def load(cls, path: str | Path) -> Moments:
        """Read what `save` wrote, or what a result (an OME-Zarr folder) has with it.

        Raises InputNotFound and InputDamaged.
        """
        if Path(path).is_dir():
            inside = (found for lead in ("", "labels/*/") for found in Path(path).glob(f"{lead}0/{FOLDER}/{MOMENTS}"))
            path = next(inside, Path(path) / MOMENTS)
        if not Path(path).is_file():
            raise InputNotFound(f"a file of moments must exist; there is none at {path}; check the path")
        try:
            with safe_open(path, framework="numpy") as file:
                facts = file.metadata() or {}
                arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
        except SafetensorError as error:
            raise InputDamaged(
                f"a file of moments is a safetensors file; {path} is none that can be read: {error}"
            ) from error
        if facts.get("format") != FORMAT:
            raise InputDamaged(
                f"a file of moments says so in its header; {path} says {facts.get('format')!r}; choose another"
            )
        if facts.get(CHECKSUM) != _checksum(arrays, facts.get("facts", "")):
            raise InputDamaged(
                f"moments are read as they were written; those in {path} have another checksum than they should; "
                "measure them again"
            )
        states: dict[str, list[NDArray[np.float64]]] = {}
        for key in sorted(arrays, key=_order):
            states.setdefault(key.rpartition("|")[0], []).append(arrays[key])
        return cls({name: tuple(state) for name, state in states.items()}, json.loads(facts["facts"]))

    @classmethod
    def of(cls, program: Program, states: Mapping[int, State], facts: Mapping[str, Any]) -> Moments:
        """From states by the values of their barriers."""
        names = barrier_names(program)
        return cls({names[v]: tuple(part.numpy() for part in state) for v, state in states.items()}, facts)

    def given(self, program: Program, network_hash: str, *, partly: bool = False) -> dict[int, State]:
        """The states by the values of a program's barriers; `network_hash` is that of its weights.

        Raises BadRequest for those of other weights or of another form, and if some are missing, unless `partly`.
        """
        if self.facts.get("network", network_hash) != network_hash:
            raise self._foreign("have been measured with other weights")
        names, nodes = barrier_names(program), {node.output: node for node in barriers_of(program)}
        missing = [name for name in names.values() if name not in self.states]
        if missing and not partly:
            raise self._foreign(f"lack {missing[0]!r}")
        found = {v: as_state(self.states[name]) for v, name in names.items() if name in self.states}
        for value, state in found.items():
            if [part.shape for part in state] != state_shapes(program, nodes[value]):
                raise self._foreign(f"have another form at {names[value]!r}")
            if any(part.isnan().any() for part in state):
                raise self._foreign(f"hold NaN at {names[value]!r}")
        return found

    def _foreign(self, difference: str) -> BadRequest:
        model = self.facts.get("model", "an unknown model")
        return BadRequest(f"moments must be of the same network; these, of {model}, {difference}; measure them with it")


def barrier_names(program: Program) -> dict[int, str]:
    """For the value of each barrier its name: the same for any size of image."""
    return {node.output: f"{k:03d} {node.path or '-'} {node.operator}" for k, node in enumerate(barriers_of(program))}


def state_shapes(program: Program, node: Node) -> list[torch.Size]:
    """The shapes of a barrier's state: those of what a single pixel gives."""
    assert isinstance(node.operation, Barrier)
    values = [program.values[i] for i in node.inputs]
    pixels = [
        torch.zeros([1 if axes else n for n, axes in zip(v.shape, v.dims, strict=True)], dtype=v.dtype) for v in values
    ]
    own = tuple((0, 1) if n is not None else None for n in values[0].domain)
    return [part.shape for part in node.operation.partial(pixels, own)]


def _checksum(arrays: Mapping[str, NDArray[np.float64]], facts: str) -> str:
    """Of everything that a file of moments says."""
    found = sha256(facts.encode())
    for key in sorted(arrays):
        found.update(f"{key} {arrays[key].shape} {arrays[key].dtype}".encode())
        found.update(arrays[key].tobytes())
    return found.hexdigest()


def _order(key: str) -> tuple[str, int]:
    name, _, part = key.rpartition("|")
    return name, int(part)
