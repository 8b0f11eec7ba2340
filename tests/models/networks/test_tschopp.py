"""The networks of Tschopp 2015: as published, exact in tiles, and SK equal to its classifier at every pixel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import napari_seamless as ns
from napari_seamless.models.architecture import build
from napari_seamless.models.networks.dense_classifier import dense
from napari_seamless.models.networks.tschopp import SKNet, USKNet, ValidNetwork, ValidUNet, sw_crop, sw_net
from oracle import Tiled, relative_error, whole

SMALL_SW = {"widths": (4, 5, 6), "kernels": (3, 3, 2), "last": 2, "hidden": (8, 7)}
SMALL = {
    "sk-net": SMALL_SW,
    "u-net-valid": {"widths": (3, 4, 5)},
    "usk-net": {"widths": (3, 4), "bottom": (4, 5), "kernels": (3, 2), "last": 2, "hidden": (6, 5)},
}
PUBLISHED = {"sk-net": (229, 128, 20_569_858), "u-net-valid": (572, 388, 28_942_850), "usk-net": (692, 512, 3_018_754)}
"""Sides of the input and the output in the author's own definitions, and the weights that their layers have."""


def small(name: str, **more: object) -> ValidNetwork:
    torch.manual_seed(3)
    network = build(name, {**SMALL[name], **more})
    assert isinstance(network, ValidNetwork)
    for parameter in network.parameters():
        if parameter.dim() == 1:
            nn.init.uniform_(parameter, -0.2, 0.2)
    return network.eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_network_has_the_sizes_and_the_weights_of_its_publication(name: str) -> None:
    side, made, weights = PUBLISHED[name]
    with torch.device("meta"):
        network = build(name)
        assert network(torch.empty(1, 3, side, side)).shape == (1, 2, made, made)
    assert network.context == side - made
    assert sum(p.numel() for p in network.parameters()) == weights


def test_dilations_double_where_the_classifier_halves() -> None:
    with torch.device("meta"):
        convs = [layer for layer in SKNet().layers if isinstance(layer, nn.Conv2d | nn.MaxPool2d)]
    assert [(layer.kernel_size, layer.dilation) for layer in convs] == [
        ((7, 7), (1, 1)), (2, 1), ((5, 5), (2, 2)), (2, 2), ((3, 3), (4, 4)), (2, 4), ((10, 10), (8, 8)),
        ((1, 1), (1, 1)), ((1, 1), (1, 1)),
    ]  # fmt: skip


def with_the_weights_of(classifier: nn.Sequential, network: SKNet) -> SKNet:
    linear = [layer for layer in classifier if isinstance(layer, nn.Conv2d | nn.Linear)]
    convs = [layer for layer in network.layers if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for one, other in zip(linear, convs, strict=True):
            other.weight.copy_(one.weight.reshape(other.weight.shape))
            other.bias.copy_(one.bias)
    return network


def test_an_sk_network_gives_what_its_classifier_gives_for_every_crop() -> None:
    torch.manual_seed(0)
    classifier = sw_net(**SMALL_SW).double().eval()
    for layer in classifier:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.uniform_(layer.bias, -0.3, 0.3)
    network = with_the_weights_of(classifier, SKNet(**SMALL_SW).double())
    crop = sw_crop(SMALL_SW["kernels"], SMALL_SW["last"])
    image = torch.rand(1, 3, crop + 8, crop + 5, dtype=torch.float64)
    crops = image.unfold(2, crop, 1).unfold(3, crop, 1)[0].permute(1, 2, 0, 3, 4)
    with torch.no_grad():
        answers = classifier(crops.reshape(-1, 3, crop, crop)).reshape(9, 6, 2).permute(2, 0, 1)[None]
        torch.testing.assert_close(network(image), answers, rtol=1e-12, atol=1e-12)
        mirrored = with_the_weights_of(classifier, SKNet(**SMALL_SW, mirror=True).double())
        torch.testing.assert_close(mirrored(image), dense(classifier, crop)(image), rtol=1e-12, atol=1e-12)


def bottomed(network: ValidUNet | USKNet, image: Tensor) -> Tensor:
    """A network of two halvings, written out, with skips cut around their middle."""
    first = network.down[0](image)
    second = network.down[1](nn.functional.max_pool2d(first, 2))
    x = network.bottom(nn.functional.max_pool2d(second, 2))
    for k, skip in ((1, second), (0, first)):
        x = network.narrow[k](x.repeat_interleave(2, 2).repeat_interleave(2, 3))
        lo = [(skip.shape[a] - x.shape[a]) // 2 for a in (2, 3)]
        skip = skip[:, :, lo[0] : lo[0] + x.shape[2], lo[1] : lo[1] + x.shape[3]]
        x = network.up[k](torch.cat([x, skip], 1))
    return network.head(x)


@pytest.mark.parametrize("name", ["u-net-valid", "usk-net"])
def test_skips_are_cut_around_their_middle_for_the_sizes_that_fit(name: str) -> None:
    network = small(name)
    rows, columns = (network.context + network.rest % network.multiple + k * network.multiple for k in (3, 5))
    image = torch.rand(1, 3, rows, columns)
    with torch.no_grad():
        torch.testing.assert_close(network(image), bottomed(network, image))
        assert network(image).shape[2:] == (rows - network.context, columns - network.context)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_it_is_exact_in_tiles_on_an_image_of_any_size(name: str, mirror: bool) -> None:
    network = small(name, mirror=mirror)
    image = torch.rand(1, 3, network.context + 37, network.context + 51)
    expected = whole(network, image)
    tiled = Tiled.of(network, image)
    for edge in (16, 23):
        assert relative_error(tiled.in_tiles(edge), expected) <= 1e-5
    if mirror:
        assert expected.shape[2:] == image.shape[2:]


@pytest.mark.parametrize("name", SMALL)
def test_inside_the_image_mirroring_changes_nothing(name: str) -> None:
    plain, mirrored = small(name), small(name, mirror=True)
    rest, multiple = plain.rest % plain.multiple, plain.multiple
    image = torch.rand(1, 3, *(plain.context + rest + 12 * multiple,) * 2)
    # coarse pixels begin where the reflected image does
    shift = -plain.before % multiple
    with torch.no_grad():
        inner, full = plain(image[..., shift:, shift:]), mirrored(image)
    lo, (rows, columns) = plain.before + shift, inner.shape[2:]
    torch.testing.assert_close(full[..., lo : lo + rows, lo : lo + columns], inner)


def test_a_named_network_with_weights_from_a_file_is_run_by_its_name(tmp_path: Path) -> None:
    network = small("usk-net", mirror=True)
    save_file(network.state_dict(), tmp_path / "mine.safetensors")
    image = np.random.default_rng(0).random((3, 120, 90), np.float32)
    arguments = json.loads(json.dumps({**SMALL["usk-net"], "mirror": True}))
    model = ns.load_model(tmp_path / "mine.safetensors", architecture="usk-net", arguments=arguments)
    found = np.asarray(ns.run(model, image, axes="cyx", tile=64, scheduler="serial"))
    expected = whole(network, torch.from_numpy(image)[None])
    assert relative_error(found, expected) <= 1e-5
