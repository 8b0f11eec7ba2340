"""A folder as StarDist's own code writes it for planes: `config.json`, `thresholds.json` and weights of Keras.

Its network is made in torch, and polygons are made of what it gives. The files do not say how pixel values were scaled
before training: as in StarDist's examples, percentiles 1 and 99.8 of each channel become 0 and 1, which a notice says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from napari_seamless.errors import ModelError
from napari_seamless.models.architecture import build
from napari_seamless.models.description_files import check_values, read_text
from napari_seamless.models.loaders.keras_weights import Layers, read_layers
from napari_seamless.models.loaders.stardist_example import write_example
from napari_seamless.models.loaders.weight_matching import check_weights
from napari_seamless.models.model import Model
from napari_seamless.models.networks.stardist import StarDistNetwork
from napari_seamless.models.preprocessing.percentile import PercentileScale
from napari_seamless.models.preprocessing.resolution import PadToMultiple
from napari_seamless.models.toml_file import checked
from napari_seamless.postprocess.polygons.settings import MOST_RAYS
from napari_seamless.postprocess.polygons.step import StarPolygons

__all__ = ["load", "matches", "write_example"]

CONFIG, THRESHOLDS, BEST = "config.json", "thresholds.json", "weights_best.h5"
WHAT = "a StarDist configuration"
SUFFIXES = (".h5", ".hdf5")
LOW, HIGH = 1.0, 99.8
PROBABILITY, OVERLAP = 0.5, 0.4
"""StarDist's own, where a folder has none."""

Count = Annotated[int, Field(ge=0, le=4096)]
Pair = tuple[Annotated[int, Field(ge=1, le=64)], Annotated[int, Field(ge=1, le=64)]]
NETWORK_KEYS = {
    "unet_n_depth", "unet_n_filter_base", "unet_n_conv_per_depth", "unet_kernel_size", "unet_pool", "unet_activation",
    "unet_last_activation", "unet_batch_norm", "unet_expansion", "net_conv_after_unet", "unet_prefix",
    "unet_dropout", "unet_kernel_init", "net_input_shape", "net_mask_shape",
}  # fmt: skip
"""Those that the network is made from, then what is of no effect once it is trained."""


class StarDistConfig(BaseModel):
    """The part of `config.json` that says what the network is; fields of its training are left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    n_rays: Annotated[int, Field(ge=3, le=MOST_RAYS)]
    n_dim: Literal[2] = 2
    axes: Literal["YXC", "YX"] = "YXC"
    n_channel_in: Annotated[int, Field(ge=1, le=1024)] = 1
    grid: Pair = (1, 1)
    n_classes: Annotated[int, Field(ge=1, le=1000)] | None = None
    backbone: Literal["unet"] = "unet"
    unet_n_depth: Annotated[int, Field(ge=0, le=10)] = 3
    unet_n_filter_base: Annotated[int, Field(ge=1, le=4096)] = 32
    unet_n_conv_per_depth: Annotated[int, Field(ge=1, le=16)] = 2
    unet_kernel_size: Pair = (3, 3)
    unet_pool: Pair = (2, 2)
    unet_activation: str = "relu"
    unet_last_activation: str | None = "relu"
    unet_batch_norm: bool = False
    unet_expansion: Annotated[float, Field(gt=0, le=8)] = 2.0
    unet_prefix: str = ""
    net_conv_after_unet: Count = 128

    @model_validator(mode="before")
    @classmethod
    def _known(cls, fields: Any) -> Any:
        if isinstance(fields, dict):
            strange = sorted({key for key in fields if str(key).startswith(("unet_", "net_"))} - NETWORK_KEYS)
            if strange:
                raise ValueError(f"there is no rule for {', '.join(strange)[:200]}")
        return fields

    @model_validator(mode="after")
    def _square(self) -> StarDistConfig:
        if self.grid[0] != self.grid[1]:
            raise ValueError(
                f"polygons lie on a grid that is the same in y and x; got {self.grid[0]} and {self.grid[1]}"
            )
        return self

    @property
    def unet_layers(self) -> tuple[str, ...]:
        """The names of the U-Net's layers, in the order in which they are made."""
        depth, convs = self.unet_n_depth, self.unet_n_conv_per_depth
        last = (*range(convs - 1), convs)
        down = (f"down_level_{n}_no_{i}" for n in range(depth) for i in range(convs))
        up = (f"up_level_{n}_no_{i}" for n in reversed(range(depth)) for i in last)
        return (*down, *(f"middle_{i}" for i in last), *up)

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of the architecture `stardist`."""
        return {
            "inputs": self.n_channel_in,
            "rays": self.n_rays,
            "grid": self.grid[0],
            "classes": self.n_classes or 0,
            "depth": self.unet_n_depth,
            "base": self.unet_n_filter_base,
            "convs": self.unet_n_conv_per_depth,
            "kernel": self.unet_kernel_size,
            "pool": self.unet_pool,
            "activation": self.unet_activation,
            "last_activation": self.unet_last_activation,
            "features": self.net_conv_after_unet,
            "expansion": self.unet_expansion,
            "batch_norm": self.unet_batch_norm,
        }


def matches(path: Path) -> bool:
    """Whether it is a folder with a configuration and weights of Keras, or such weights with one beside them."""
    if path.is_file():
        return path.suffix.lower() in SUFFIXES and (path.parent / CONFIG).is_file()
    return path.is_dir() and (path / CONFIG).is_file() and bool(_weight_files(path))


def load(path: Path, *, trust: bool) -> Model:  # noqa: ARG001
    """The model of a StarDist folder, as `Loader.load` says, with StarDist's own thresholds."""
    folder = path if path.is_dir() else path.parent
    config = checked(StarDistConfig, _json(folder / CONFIG, WHAT), str(folder / CONFIG), WHAT, ModelError)
    weights = path if path.is_file() else _weights(folder)
    network = stardist_network(config, read_layers(weights), weights.name)
    said = _json(folder / THRESHOLDS, "StarDist's thresholds") if (folder / THRESHOLDS).is_file() else {}
    scaling = f"percentiles {LOW:g} and {HIGH:g} of each channel of the whole image become 0 and 1"
    model = stardist_model(folder.name, config, network, PercentileScale(LOW, HIGH), said)
    told = f"StarDist's files do not say how pixel values are scaled: {scaling}"
    card = {"format": "StarDist 2D, weights of Keras", "scaling": scaling}
    return replace(model, card=card, notices=(told, *model.notices))


def load_described(name: str, said: Mapping[str, Any], weights: Path, scale: nn.Module) -> Model:
    """The model of which a bioimage.io package holds the weights, and says (`config.stardist`) all that a folder does.

    Pixel values go through `scale` first. Raises ModelError, WeightsMismatch.
    """
    fields = said.get("config")
    config = checked(StarDistConfig, fields if isinstance(fields, dict) else {}, name, WHAT, ModelError)
    thresholds = said.get("thresholds")
    network = stardist_network(config, read_layers(weights), weights.name)
    return stardist_model(name, config, network, scale, thresholds if isinstance(thresholds, dict) else {})


def stardist_network(config: StarDistConfig, layers: Layers, name: str) -> StarDistNetwork:
    """The network with these weights, those of a file of this name. Raises ModelError, WeightsMismatch."""
    state = _state(config, layers)
    network = build("stardist", config.arguments, weights=state)
    assert isinstance(network, StarDistNetwork)
    wanted = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    check_weights(state, wanted, f"the network of {name}'s {CONFIG}")
    network.load_state_dict(state, strict=False)
    return network.eval()


def stardist_model(
    name: str, config: StarDistConfig, network: StarDistNetwork, scale: nn.Module, thresholds: Mapping[str, Any]
) -> Model:
    """The model: `scale`, padded to what the network takes, and polygons by these thresholds."""
    found, notices = _thresholds(thresholds)
    classes = [f"class {k}" for k in range(1, (config.n_classes or 0) + 1)]
    return Model(
        name=name,
        module=nn.Sequential(scale, PadToMultiple(network, network.stride)).eval(),
        title=f"StarDist network of {config.n_rays} rays, {name}",
        channels=config.n_channel_in,
        channel_names=("probability", *(f"ray {k}" for k in range(config.n_rays)), *classes),
        postprocess=StarPolygons(
            rays=config.n_rays,
            grid=config.grid[0],
            classes=config.n_classes or 0,
            probability=found["prob"],
            overlap=found["nms"],
        ),
        notices=notices,
    )


def _state(config: StarDistConfig, layers: Layers) -> dict[str, torch.Tensor]:
    """The weights by our names. Keras numbers the layers that StarDist gives no name, in the order of the network."""
    own = {f"{config.unet_prefix}{name}": name for name in config.unet_layers}
    found = {own.get(name, name): weights for name, weights in layers.items()}
    first = [name for name in found if name.startswith("conv2d")]
    grid = {name: "grid_{}_no_{}".format(*divmod(k, config.unet_n_conv_per_depth)) for k, name in enumerate(first)}
    norms = [name for name in found if "moving_mean" in found[name]]
    normed = dict(zip(norms, config.unet_layers, strict=False))
    state: dict[str, torch.Tensor] = {}
    for name, weights in found.items():
        layer, names = (normed.get(name, name), NORM) if name in norms else (grid.get(name, name), CONV)
        part = "norm" if name in norms else "conv"
        for key, value in weights.items():
            turned = value.permute(3, 2, 0, 1).contiguous() if value.dim() == 4 else value
            state[f"layers.{layer}.{part}.{names.get(key, key)}"] = turned
    return state


CONV = {"kernel": "weight"}
NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def _weight_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())


def _weights(folder: Path) -> Path:
    """Those of the best epoch, or the only ones."""
    files = _weight_files(folder)
    if len(files) > 1 and folder / BEST not in files:
        raise ModelError(
            f"of several files of weights StarDist takes {BEST}; {folder.name} has "
            f"{', '.join(file.name for file in files[:5])}; name the one that is meant"
        )
    return folder / BEST if folder / BEST in files else files[0]


def _thresholds(said: Mapping[str, Any]) -> tuple[dict[str, float], tuple[str, ...]]:
    """As StarDist reads them: its own where there are none, or none that can be."""
    own = {"prob": PROBABILITY, "nms": OVERLAP}
    found = {key: value for key, value in said.items() if key in own and type(value) is float and 0 < value < 1}
    missing = [f"{key} {value:g}" for key, value in own.items() if key not in found]
    notice = f"StarDist's own thresholds are taken where {THRESHOLDS} has none between 0 and 1: {', '.join(missing)}"
    return {**own, **found}, (notice,) if missing else ()


def _json(file: Path, what: str) -> dict[str, Any]:
    try:
        found = json.loads(read_text(file, what, ModelError))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{what} is a JSON file; {file} cannot be read as one: {error}; download it again") from error
    check_values(found, what, ModelError)
    if not isinstance(found, dict):
        raise ModelError(f"{what} names its parts; {file} holds a {type(found).__name__}; download it again")
    return found
