"""Networks whose output is known: what polygons are made of is written in their image."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from napari_seamless.models.model import Model
from napari_seamless.postprocess.polygons import definition
from napari_seamless.postprocess.polygons.step import StarPolygons

STEP = StarPolygons(rays=8, largest_radius=24)


class WrittenOutput(nn.Module):
    """Takes its output from every second pixel of an image of as many channels."""

    def __init__(self, channels: int = STEP.channels) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, stride=2, bias=False)
        self.conv.weight = nn.Parameter(torch.eye(channels)[:, :, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.conv(x)
        return found


def written_model(step: StarPolygons = STEP) -> Model:
    return Model("cells", WrittenOutput(step.channels).eval(), "Cells", kind="labels", postprocess=step)


def written_image(shape: tuple[int, int], seed: int = 0, step: StarPolygons = STEP) -> np.ndarray:
    """An image (c, y, x) float32 with the example output of polygons, in numbers that float16 has."""
    output = definition.example_output(step, shape, seed).astype(np.float16)
    image = np.zeros((step.channels, *shape), np.float32)
    image[:, :: step.grid, :: step.grid] = output
    return image


def whole_image_labels(image: np.ndarray, step: StarPolygons = STEP) -> np.ndarray:
    """Dense labels (y, x) as the definition of polygons gives them."""
    return definition.whole_image_labels(step, image[:, :: step.grid, :: step.grid], image.shape[1:])


def dense(labels: np.ndarray) -> np.ndarray:
    """Labels with 1, 2, 3, ... in place of ids."""
    return np.unique(np.append(0, labels), return_inverse=True)[1][1:].reshape(labels.shape)
