"""From a classifier of small crops to a network that labels every pixel of an image of any size.

A classifier that was trained on crops of, say, 51 x 51 pixels can label an image by being run at every pixel: almost
all of that work is done again and again. The same numbers come from one pass over the whole image if every stride
becomes a dilation of what follows it, and the linear layer after flattening a convolution as large as the map that it
sees (Tschopp 2015, arXiv 1509.03371, calls the networks SK, for strided kernels; Giusti et al. 2013 have the idea for
max pooling). The result is an ordinary network, so that it is traced, tiled and exact as any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_seamless.errors import BadRequest
from napari_seamless.models._compat import first_line

POINTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.PReLU, nn.Hardswish,
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.BatchNorm2d, nn.LocalResponseNorm,
)  # fmt: skip


def dense(classifier: nn.Sequential, crop: int | tuple[int, int], *, every: int = 1) -> nn.Module:
    """The network that gives `classifier`'s answer for the crop around every pixel, or around every `every`-th.

    `classifier` is an nn.Sequential (perhaps of more of them) of convolutions, pooling, pointwise layers, flattening
    and linear layers, which takes (1, c, *crop) and gives (1, classes). The result takes (1, c, y, x) and gives
    (1, classes, y, x), or (1, classes, ceil(y / every), ceil(x / every)): the image is reflected at its borders, the
    crop of pixel (i, j) is [i - crop // 2, i - crop // 2 + crop). It shares no weights with the classifier, is in eval
    mode, and needs images of more than half a crop.

    Raises BadRequest for layers that are not shift invariant, such as convolutions that pad the crop.
    """
    size = (crop, crop) if isinstance(crop, int) else crop
    if every < 1 or min(size) < 1:
        raise BadRequest(f"a crop and a step are positive numbers of pixels; got crop={crop} and every={every}")
    layers = list(_layers(classifier))
    _require_shape(classifier, layers, size)
    return Dense(nn.ModuleList(_converted(layers, size)), size, every).eval()


class Dense(nn.Module):
    """What `dense` makes: `layers` have no strides, and shrink the reflected image back to its own size.

    Where a stride leaves out the crop's last pixels, the image's last positions stand for crops beyond it, and go.
    """

    def __init__(self, layers: nn.ModuleList, crop: tuple[int, int], every: int) -> None:
        super().__init__()
        self.layers, self.crop, self.every = layers, crop, every

    def forward(self, x: Tensor) -> Tensor:
        (up, left), (height, width), (rows, columns) = (n // 2 for n in self.crop), self.crop, x.shape[-2:]
        x = F.pad(x, (left, width - 1 - left, up, height - 1 - up), mode="reflect")
        for layer in self.layers:
            x = layer(x)
        return x[..., : rows : self.every, : columns : self.every]


class DilatedMean(nn.Module):
    """Average pooling whose positions lie `dilation` apart."""

    weight: Tensor

    def __init__(self, channels: int, kernel: tuple[int, int], dilation: tuple[int, int], dtype: torch.dtype) -> None:
        super().__init__()
        self.dilation = dilation
        self.register_buffer("weight", torch.full((channels, 1, *kernel), 1 / (kernel[0] * kernel[1]), dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, dilation=self.dilation, groups=len(self.weight))


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """The leaves of nested sequences, in order."""
    if isinstance(module, nn.Sequential):
        for part in module:
            yield from _layers(part)
    else:
        yield module


def _require_shape(classifier: nn.Module, layers: list[nn.Module], size: tuple[int, int]) -> None:
    """The classifier takes one crop and gives one vector."""
    first = next((layer for layer in layers if isinstance(layer, nn.Conv2d)), None)
    if first is None:
        raise BadRequest("a classifier of crops begins with a convolution; this one has none; give it as nn.Sequential")
    was_training = classifier.training
    try:
        with torch.no_grad():
            answer = classifier.eval()(torch.zeros(1, first.in_channels, *size, dtype=first.weight.dtype))
    except RuntimeError as error:
        reason = first_line(error)
        raise BadRequest(
            f"a classifier takes a crop of the size it was trained on; given {size[0]} x {size[1]} it says: {reason}; "
            "give that size"
        ) from error
    finally:
        classifier.train(was_training)
    if answer.dim() != 2:
        raise BadRequest(
            f"a classifier gives one vector a crop, (1, classes); this one gives {tuple(answer.shape)}; it may be "
            "dense already"
        )


def _converted(layers: list[nn.Module], size: tuple[int, int]) -> Iterator[nn.Module]:
    dilation, flat, channels, dtype = (1, 1), False, 0, torch.float32
    for layer in layers:
        match layer:
            case nn.Conv2d():
                channels, dtype = layer.out_channels, layer.weight.dtype
                yield _conv(layer, dilation)
                size, dilation = _after(size, dilation, layer.kernel_size, layer.stride, layer.dilation)
            case nn.MaxPool2d() | nn.AvgPool2d():
                kernel, stride = _pair(layer.kernel_size), _pair(layer.stride)
                inner = _pair(layer.dilation) if isinstance(layer, nn.MaxPool2d) else (1, 1)
                _refuse_padding(layer)
                _refuse_ceiling(layer)
                apart = (dilation[0] * inner[0], dilation[1] * inner[1])
                if isinstance(layer, nn.MaxPool2d):
                    yield nn.MaxPool2d(kernel, stride=1, dilation=apart)
                else:
                    yield DilatedMean(channels, kernel, apart, dtype)
                size, dilation = _after(size, dilation, kernel, stride, inner)
            case nn.AdaptiveAvgPool2d() if _pair(layer.output_size) == (1, 1):
                yield DilatedMean(channels, size, dilation, dtype)
                size = (1, 1)
            case nn.Flatten():
                flat = True
            case nn.Linear():
                yield _linear(layer, size if flat else (1, 1), dilation)
                size = (1, 1)
            case _ if isinstance(layer, POINTWISE):
                yield deepcopy(layer)
            case _:
                raise BadRequest(
                    "only convolutions, pooling, pointwise layers, Flatten and Linear are made dense; got "
                    f"{type(layer).__name__}; replace it"
                )


def _after(
    size: tuple[int, int],
    dilation: tuple[int, int],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    inner: tuple[int, ...],
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The crop's map after a layer, and how far apart its values lie in the whole image."""
    rows, columns = ((size[k] - inner[k] * (kernel[k] - 1) - 1) // stride[k] + 1 for k in range(2))
    return (rows, columns), (dilation[0] * stride[0], dilation[1] * stride[1])


def _conv(layer: nn.Conv2d, dilation: tuple[int, int]) -> nn.Conv2d:
    _refuse_padding(layer)
    apart = (dilation[0] * layer.dilation[0], dilation[1] * layer.dilation[1])
    made = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (layer.kernel_size[0], layer.kernel_size[1]),
        dilation=apart,
        groups=layer.groups,
        bias=layer.bias is not None,
        dtype=layer.weight.dtype,
    )
    made.load_state_dict(layer.state_dict())
    return made


def _refuse_ceiling(layer: nn.MaxPool2d | nn.AvgPool2d) -> None:
    if layer.ceil_mode:
        raise BadRequest(
            "pooling with ceil_mode looks beyond the crop, which has no counterpart in an image; train without it"
        )


def _linear(layer: nn.Linear, size: tuple[int, int], dilation: tuple[int, int]) -> nn.Conv2d:
    channels = layer.in_features // (size[0] * size[1])
    made = nn.Conv2d(
        channels,
        layer.out_features,
        size,
        dilation=dilation if max(size) > 1 else 1,
        bias=layer.bias is not None,
        dtype=layer.weight.dtype,
    )
    state = layer.state_dict()
    state["weight"] = state["weight"].reshape(layer.out_features, channels, *size)
    made.load_state_dict(state)
    return made


def _refuse_padding(layer: nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) -> None:
    if layer.padding == "valid":
        return
    if isinstance(layer.padding, str) or any(_pair(layer.padding)):
        raise BadRequest(
            f"a layer that pads the crop sees its edge, which an image does not have; {type(layer).__name__} pads by "
            f"{layer.padding}; train without padding"
        )


def _pair(value: object) -> tuple[int, int]:
    """torch's "one number or one for each dimension"."""
    if isinstance(value, int):
        return (value, value)
    assert isinstance(value, tuple | list)
    return (int(value[0]), int(value[1]))
