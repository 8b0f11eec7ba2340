"""A small folder as StarDist writes it, with weights that are the same every time."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from napari_seamless.models.loaders.example_network import CHANNELS
from napari_seamless.models.networks.stardist import StarDistNetwork, StarDistUnit


def write_example(folder: Path) -> Path:
    """A network of two channels in and four rays, on a grid of 2."""
    import h5py

    model = folder / "example"
    model.mkdir()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = StarDistNetwork(CHANNELS, rays=4, grid=2, depth=1, base=4, features=6)
    config = {"n_rays": 4, "n_channel_in": CHANNELS, "grid": [2, 2], "unet_n_depth": 1, "unet_n_filter_base": 4}
    (model / "config.json").write_text(json.dumps({**config, "net_conv_after_unet": 6}))
    (model / "thresholds.json").write_text(json.dumps({"prob": 0.45, "nms": 0.35}))
    with h5py.File(model / "weights_best.h5", "w") as file:
        names: list[str] = []
        for name, layer in network.layers.items():
            assert isinstance(layer, StarDistUnit)
            names.append(f"conv2d_{len(names)}" if name.startswith("grid_") else name)
            kernel, bias = layer.conv.weight.detach().permute(2, 3, 1, 0), layer.conv.bias
            assert bias is not None
            group = file.create_group(names[-1])
            group.attrs["weight_names"] = [f"{names[-1]}/{key}:0".encode() for key in ("kernel", "bias")]
            group[f"{names[-1]}/kernel:0"], group[f"{names[-1]}/bias:0"] = kernel.numpy(), bias.detach().numpy()
        file.attrs["layer_names"] = [name.encode() for name in names]
    return model
