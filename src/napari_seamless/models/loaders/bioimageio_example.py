"""A small package as the zoo has them: TorchScript weights, arrays to test with, and a description in version 0.5."""

from __future__ import annotations

import json
import warnings
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_seamless.models.loaders.example_network import CHANNELS, example_network


def write_example(folder: Path) -> Path:
    """A package of a network of two channels in and three out, without processing steps."""
    package = folder / "example"
    package.mkdir()
    network, image = example_network(), torch.linspace(0, 1, CHANNELS * 32 * 40).reshape(1, CHANNELS, 32, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(network), package / "weights.pt")
    with torch.inference_mode():
        np.save(package / "output.npy", network(image).numpy())
    np.save(package / "input.npy", image.numpy())
    (package / "README.md").write_text("An example.")
    sizes = [{"tensor_id": "image", "axis_id": axis} for axis in "yx"]
    description = {
        "type": "model",
        "format_version": "0.5.4",
        "name": "Example",
        "description": "Finds nothing",
        "license": "MIT",
        "authors": [{"name": "Nobody"}],
        "cite": [{"text": "Nobody", "url": "https://example.org"}],
        "documentation": "README.md",
        "inputs": [_tensor(package, "image", "input.npy", ["one", "two"], [{"min": 8, "step": 1}] * 2)],
        "outputs": [_tensor(package, "scores", "output.npy", ["a", "b", "c"], [{**s, "offset": 0} for s in sizes])],
        "weights": {"torchscript": {**_file(package, "weights.pt"), "pytorch_version": "2.6"}},
    }
    (package / "rdf.yaml").write_text(json.dumps(description))
    return package


def _tensor(package: Path, name: str, array: str, channels: list[str], sizes: list[dict[str, Any]]) -> dict[str, Any]:
    space = [{"type": "space", "id": axis, "size": size} for axis, size in zip("yx", sizes, strict=True)]
    axes = [{"type": "batch"}, {"type": "channel", "channel_names": channels}, *space]
    return {"id": name, "axes": axes, "data": {"type": "float32"}, "test_tensor": _file(package, array)}


def _file(package: Path, name: str) -> dict[str, str]:
    return {"source": name, "sha256": sha256((package / name).read_bytes()).hexdigest()}
