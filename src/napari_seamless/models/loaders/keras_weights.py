"""Weights of Keras in HDF5, as `model.save_weights("weights.h5")` writes them.

Nothing but plain numbers of the file itself is read: no links to other files, no virtual or external data, no filters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_seamless.errors import ModelError

if TYPE_CHECKING:
    import h5py

MOST_LAYERS, MOST_WEIGHTS, DEEPEST = 2000, 20, 4
DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, LookupError, MemoryError)
"""What h5py raises where a file is broken."""

Layers = Mapping[str, Mapping[str, torch.Tensor]]
"""By the names of layers, and of numbers, such as `kernel` and `bias`. float32, axes as in Keras."""


def read_layers(path: Path) -> Layers:
    """The layers that have weights; names of one kind (`conv2d`, `conv2d_1`) by rising number. Raises ModelError."""
    try:
        import h5py
    except ImportError as error:
        raise ModelError(
            "weights of Keras (.h5) need h5py; it is not installed; pip install 'napari-seamless[stardist]'"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            # of a whole model the weights are a part
            top = file["model_weights"] if "model_weights" in _links(file, path, MOST_LAYERS) else file
            left = path.stat().st_size
            found: dict[str, dict[str, torch.Tensor]] = {}
            for name in sorted(_links(top, path, MOST_LAYERS), key=_by_number):
                weights = {}
                for key, data in _weights(top[name], path, DEEPEST):
                    left -= data.nbytes
                    if left < 0:
                        raise _refusal(path, "names numbers several times")
                    weights[key] = torch.from_numpy(np.asarray(data[()], np.float32))
                if weights:
                    found[name] = weights
            return found
    except DAMAGE as error:
        if isinstance(error, ModelError):
            raise
        raise _refusal(path, f"is damaged ({error})") from error


def _weights(found: Any, path: Path, deeper: int) -> Iterator[tuple[str, h5py.Dataset]]:
    """All numbers in a layer by the last part of their names, without what Keras 2 adds to it (`:0`)."""
    import h5py

    if not isinstance(found, h5py.Group) or not deeper:
        raise _refusal(path, "has other things than numbers in a layer")
    for name in _links(found, path, MOST_WEIGHTS):
        data = found[name]
        if not isinstance(data, h5py.Dataset):
            yield from _weights(data, path, deeper - 1)
            continue
        if data.dtype.kind != "f" or data.dtype.itemsize > 8:
            raise _refusal(path, f"has no numbers at {data.name}")
        is_plain = data.chunks is None and not data.is_virtual and not data.external
        if not is_plain or data.id.get_storage_size() != data.nbytes:
            raise _refusal(path, f"has numbers that are packed, elsewhere or not all there at {data.name}")
        yield name.partition(":")[0], data


def _links(group: h5py.Group, path: Path, most: int) -> list[str]:
    """What lies in a group and in this very file."""
    import h5py

    names = list(islice(group, most + 1))
    if len(names) > most:
        raise _refusal(path, f"has more than {most} parts in {group.name}")
    if any(not isinstance(group.get(name, getlink=True), h5py.HardLink) for name in names):
        raise _refusal(path, "has a link to another place or file")
    return names


def _by_number(name: str) -> tuple[str, int]:
    kind, _, number = name.rpartition("_")
    return (kind, int(number)) if kind and number.isdecimal() and len(number) < 10 else (name, 0)


def _refusal(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"weights of Keras are layers of plain numbers in one HDF5 file, as save_weights writes them; {path.name} "
        f"{reason}; save them again, or download them again"
    )
