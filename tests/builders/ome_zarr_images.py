"""OME-Zarr images written without any library's help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr

KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def ome_zarr(path: Path, levels: list[np.ndarray], axes: str, version: str, **extra: Any) -> None:
    """An OME-Zarr image written without any library's help, half a micrometre a pixel."""
    group = zarr.open_group(str(path), mode="w", zarr_format=3 if version == "0.5" else 2)
    datasets = []
    for k, level in enumerate(levels):
        array = group.create_array(f"s{k}", shape=level.shape, dtype=level.dtype, chunks=(16,) * level.ndim)
        array[...] = level
        scale = [0.5 * 2**k if a in "yx" else 1.0 for a in axes]
        datasets.append({"path": f"s{k}", "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    described = [{"name": a, "type": KINDS[a]} | ({"unit": "micrometer"} if a in "zyx" else {}) for a in axes]
    image = {"axes": described, "datasets": datasets, "name": "cells"}
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image], **extra}
    else:
        group.attrs.update({"multiscales": [image | {"version": "0.4"}], **extra})
