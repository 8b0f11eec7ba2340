"""Small images with masks, and training files about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio.v3
import numpy as np
import tifffile
import tomli_w
import torch
import zarr
from torch import Tensor, nn

from napari_seamless.geometry import Region

SIDE = 48


@dataclass(frozen=True)
class ArrayImage:
    """An array (c, [z,] y, x) as a TrainingImage."""

    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    def read(self, region: Region) -> Tensor:
        return torch.from_numpy(np.array(self.array[(slice(None), *region.slices())]))


def spots(number: int, shape: tuple[int, int] = (SIDE, SIDE)) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (y, x, 3) with bright spots on a dark, noisy ground, and uint16 (y, x), one number a spot."""
    random = np.random.default_rng(number)
    y, x = np.indices(shape)
    labels = np.zeros(shape, np.uint16)
    for k in range(1, 6):
        centre = random.uniform(4, np.array(shape) - 4)
        labels[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < random.uniform(9, 36)] = k
    ground = 60 + 110 * (labels > 0)[..., None] * np.array([1.0, 0.5, 0.8])
    return (ground + random.normal(0, 15, (*shape, 3))).clip(0, 255).astype(np.uint8), labels


def write_folders(folder: Path, count: int = 6, shape: tuple[int, int] = (SIDE, SIDE)) -> Path:
    """Images as PNG and masks as TIFF in `folder`/images and `folder`/masks; gives `folder`."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for k in range(count):
        pixels, labels = spots(k, shape)
        imageio.v3.imwrite(folder / "images" / f"{k}.png", pixels)
        tifffile.imwrite(folder / "masks" / f"{k}.tif", labels)
    return folder


def write_zarr(path: Path, values: np.ndarray, chunk: int = 16) -> None:
    """An array (y, x) as an OME-Zarr image of one level."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.create_array("0", data=values, chunks=(chunk, chunk), dimension_names=("y", "x"))
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0]}]
    level = {"path": "0", "coordinateTransformations": scale}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [level]}]}


def fields(**changes: Mapping[str, Any] | list[Any]) -> dict[str, Any]:
    """A quick training, with tables that are changed in part."""
    base: dict[str, Any] = {
        "name": "spots",
        "data": {"images": "images", "masks": "masks"},
        "classes": [
            {"value": 0, "name": "ground", "mask": 0},
            {"value": 1, "name": "spot", "mask": "others", "colour": "#1fd160"},
        ],
        "validation": {"share": 0.34},
        "network": {"architecture": "unet", "arguments": {"widths": [4, 4]}},
        "training": {
            "steps": 8,
            "crop": 32,
            "batch": 2,
            "rate": 0.01,
            "validate_every": 4,
            "checkpoint_every": 2,
            "device": "cpu",
        },
    }
    for table, change in changes.items():
        base[table] = {**base.get(table, {}), **change} if isinstance(change, Mapping) else change
    return base


def write_training(folder: Path, **changes: Mapping[str, Any] | list[Any]) -> Path:
    """The same as a file in `folder`."""
    path = folder / "training.toml"
    path.write_text(tomli_w.dumps({"schema": 1, **fields(**changes)}), encoding="utf-8")
    return path


def pooled(inputs: int = 3, outputs: int = 2) -> nn.Module:
    """A classifier of images of any size."""
    torch.manual_seed(0)
    body = (nn.Conv2d(inputs, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*body, nn.Linear(4, outputs))


class Attending(nn.Module):
    """Every pixel looks at every other one."""

    def __init__(self, inputs: int = 3, outputs: int = 2) -> None:
        super().__init__()
        self.keys, self.last = nn.Conv2d(inputs, 4, 1), nn.Conv2d(4, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.keys(x).flatten(2).transpose(1, 2)  # (n, y * x, 4)
        seen = (found @ found.transpose(1, 2)).softmax(-1) @ found
        return self.last(seen.transpose(1, 2).unflatten(2, x.shape[2:]))
