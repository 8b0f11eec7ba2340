"""Flows on nuclei that people outlined, and what the published code makes of them.

`python nuclei_flows.py`, where cellpose 3.1.1.1 is installed, writes the label images that the tests compare with.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from napari_seamless.postprocess.flows.from_labels import perfect_flows

LABELS = Path(__file__).parents[1] / "postprocess" / "labels"
PUBLISHED = {None: "cellpose-all.png", 0.4: "cellpose-0.4.png"}
"""Label images by the largest flow error."""


def labels_of(name: str) -> np.ndarray:
    return np.asarray(Image.open(LABELS / name)).astype(np.int64)


@lru_cache
def tissue() -> np.ndarray:
    """The nuclei of both images, one above the other: (1032, 680)."""
    above, below = labels_of("fluorescence.png")[:, :680], labels_of("stained.png")
    return np.concatenate([above, np.where(below, below + above.max(), 0)])


@lru_cache
def flow_output() -> np.ndarray:
    """What a network that is right but for some noise gives for the tissue: (3, 1032, 680), float32."""
    output, random = perfect_flows(tissue()), np.random.default_rng(0)
    noise = ndimage.gaussian_filter(random.normal(size=output.shape), (0, 2, 2)) * 7
    output[:2] = 0.9 * output[:2] + 1.2 * noise[:2]
    output[2] = 3 * np.sign(ndimage.gaussian_filter(output[2], 1)) + noise[2]
    return output.round(3)


def published_labels(flow_error: float | None) -> np.ndarray:
    """What cellpose gives on a CPU, with its defaults but for this."""
    device = import_module("torch").device("cpu")
    flow, logit = flow_output()[:2].copy(), flow_output()[2]
    settings = {"flow_threshold": flow_error or 0, "min_size": 15, "niter": 200, "device": device}
    return np.asarray(import_module("cellpose.dynamics").compute_masks(flow, logit, **settings))


if __name__ == "__main__":
    for flow_error, name in PUBLISHED.items():
        Image.fromarray(published_labels(flow_error).astype(np.uint16)).save(LABELS / name)
