"""The table of networks that the oracle tests run: small, untrained, one for each way of building a local network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_seamless.models.networks.filtered_unet import FilteredUNet
from napari_seamless.models.networks.stars import StarNetwork


def unit(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1, norm: bool = True) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=not norm)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs) if norm else nn.Identity(), nn.ReLU(inplace=True))


class UNet(nn.Module):
    """Depth 3; `up` is "nearest", "bilinear" (to the size of the skip) or "transposed" (wants sizes divisible by 8)."""

    def __init__(self, up: str) -> None:
        super().__init__()
        widths = (4, 6, 8, 10)
        self.up = up
        self.down = nn.ModuleList(unit(i, o) for i, o in zip((3, *widths), widths, strict=False))
        self.back = nn.ModuleList(unit(widths[k] + widths[k + 1], widths[k]) for k in range(3))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(widths[k + 1], widths[k + 1], 2, 2) for k in range(3))
        self.head = nn.Conv2d(widths[0], 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for k, layer in enumerate(self.down):
            x = layer(x)
            if k < 3:
                skips.append(x)
                x = F.max_pool2d(x, 2)
        for k in reversed(range(3)):
            skip = skips[k]
            x = self.grow[k](x) if self.up == "transposed" else F.interpolate(x, size=skip.shape[-2:], mode=self.up)
            x = self.back[k](torch.cat([skip, x], 1))
        return self.head(x)


class ValidUNet(nn.Module):
    """Ronneberger 2015: unpadded convolutions, skips cropped to the centre, output smaller than the input."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3)
        self.low = nn.Conv2d(6, 6, 3)
        self.back, self.head = nn.Conv2d(12, 4, 3), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = F.relu(self.two(F.relu(self.one(x))))
        low = F.relu(self.low(F.max_pool2d(skip, 2)))
        up = F.interpolate(low, scale_factor=2)
        y, x0 = (skip.shape[2] - up.shape[2]) // 2, (skip.shape[3] - up.shape[3]) // 2
        skip = skip[:, :, y : y + up.shape[2], x0 : x0 + up.shape[3]]
        return self.head(F.relu(self.back(torch.cat([skip, up], 1))))


class Pyramid(nn.Module):
    """FPN-like: lateral convolutions, top-down sums, everything brought to one size and joined."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([unit(3, 6, stride=2), unit(6, 8, stride=2), unit(8, 10, stride=2)])
        self.lateral = nn.ModuleList([nn.Conv2d(6, 5, 1), nn.Conv2d(8, 5, 1), nn.Conv2d(10, 5, 1)])
        self.head = nn.Conv2d(15, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        found = []
        for layer in self.down:
            x = layer(x)
            found.append(x)
        tops = [self.lateral[2](found[2])]
        for k in (1, 0):
            tops.append(self.lateral[k](found[k]) + F.interpolate(tops[-1], size=found[k].shape[-2:], mode="nearest"))
        same = [F.interpolate(t, size=size, mode="bilinear", align_corners=False) for t in tops]
        return self.head(torch.cat(same, 1))


class Dilated(nn.Module):
    """DeepLab-like: strides, then parallel dilated convolutions, resized with align_corners."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(unit(3, 6, stride=2), unit(6, 8, stride=2))
        self.rates = nn.ModuleList([nn.Conv2d(8, 4, 1), *(unit(8, 4, dilation=d) for d in (2, 4, 6))])
        self.head = nn.Conv2d(16, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        low = self.stem(x)
        low = self.head(torch.cat([rate(low) for rate in self.rates], 1))
        return F.interpolate(low, size=x.shape[-2:], mode="bilinear", align_corners=True).softmax(1)


class Residual(nn.Module):
    """ResNet encoder-decoder: 7x7 stem, padded max pooling in ceil mode, strided shortcuts, LeakyReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 7, 2, 3)
        self.a, self.b = nn.Conv2d(6, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1, groups=2)
        self.shortcut = nn.Conv2d(6, 8, 1, 2)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        low = F.max_pool2d(F.leaky_relu(self.stem(x), 0.1), 3, 2, 1, ceil_mode=True)
        low = F.relu(self.norm(self.b(F.relu(self.a(low)))) + self.shortcut(low))
        return self.head(F.interpolate(low, size=x.shape[-2:], mode="bicubic"))


class Dense(nn.Module):
    """DenseNet-like: every layer sees all before it; average pooling; the batch norm comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(3 + 4 * k), nn.ReLU(), nn.Conv2d(3 + 4 * k, 4, 3, padding=1)) for k in range(3)
        )
        self.head = nn.Conv2d(15, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        x = F.avg_pool2d(x, 3, 2, 1)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        x = F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)
        return F.interpolate(self.head(x), size=size)


class ChannelsLast(nn.Module):
    """ConvNeXt-like: depthwise 7x7, layer norm and linear over channels in (n, y, x, c), a learnt scale."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.depthwise = nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.scale = nn.Parameter(torch.full((8,), 0.5))
        self.head = nn.ConvTranspose2d(8, 2, 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.depthwise(x).permute(0, 2, 3, 1)
        y = self.scale * self.down(F.gelu(self.up(self.norm(y))))
        return self.head(x + y.permute(0, 3, 1, 2))


class Tokens(nn.Module):
    """Positions flattened to tokens for a layer norm and a linear layer, and back (MLP decoders do that)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.mix = nn.Conv2d(3, 6, 3, padding=1), nn.LayerNorm(6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        return self.mix(self.norm(tokens)).transpose(1, 2).reshape(n, 4, h, w)


class SubPixel(nn.Module):
    """ESPCN (Shi et al. 2016): twice the size by pixel shuffle, with a pixel unshuffle before it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(12, 8, 5, padding=2), nn.Conv2d(8, 48, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.b(torch.tanh(self.a(F.pixel_unshuffle(x, 2)))), 4).clamp(-1, 1)


class Wrapped(nn.Module):
    """Circular, reflect and replicate padding, a roll and a flip."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=2, padding_mode="circular")
        self.b = nn.Conv2d(4, 4, 5, padding=2, padding_mode="reflect")
        self.c = nn.Conv2d(4, 3, 3, padding=1, padding_mode="replicate")

    def forward(self, x: Tensor) -> Tensor:
        y = self.c(F.silu(self.b(F.relu(self.a(x)))))
        return torch.roll(y, (3, -2), (2, 3)) + 0.5 * y.flip(3)


class Mixed(nn.Module):
    """What else occurs: coordinates as channels, split and stack, PReLU, transposed convolution with odd parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(5, 8, 3, padding="same", dilation=2)
        self.slope = nn.PReLU(8)
        self.grow = nn.ConvTranspose2d(4, 3, 3, 2, padding=1, output_padding=1, groups=1)
        self.register_buffer("gain", torch.tensor([0.5, 2.0, 1.0]).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        _, _, h, w = x.shape
        ys = torch.linspace(-1, 1, h, dtype=x.dtype).view(1, 1, h, 1).expand(1, 1, h, w)
        xs = torch.linspace(-1, 1, w, dtype=x.dtype).view(1, 1, 1, w).expand(1, 1, h, w)
        a, b = self.slope(self.stem(torch.cat([x, ys, xs], 1))).chunk(2, 1)
        both = torch.stack([a * b.sigmoid(), b - b.amax(1, keepdim=True)], 2).mean(2)
        return self.grow(F.avg_pool2d(both, 2))[:, :, 1:, :-1] * self.gain


class Resizing(nn.Module):
    """Every way of resizing: by factors that do not divide, antialiased, bicubic with align_corners, "area"."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.interpolate(self.mix(x), scale_factor=0.7, mode="bilinear", antialias=True)
        y = F.interpolate(y, scale_factor=1.3, mode="bicubic", align_corners=True)
        y = F.interpolate(y, scale_factor=3, mode="bilinear")
        y = F.interpolate(y, scale_factor=0.5, mode="nearest-exact")
        y = F.interpolate(F.interpolate(y, scale_factor=2, mode="nearest"), size=x.shape[-2:], mode="nearest")
        return self.head(y)


class Volume(nn.Module):
    """A 3-D U-Net of depth 2, resized trilinearly to the size of the skip."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 6, 3, padding=1)
        self.norm = nn.BatchNorm3d(6)
        self.back, self.head = nn.Conv3d(10, 4, 3, padding=1), nn.Conv3d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = F.relu(self.a(x))
        low = F.relu(self.norm(self.b(F.max_pool3d(skip, 2))))
        up = F.interpolate(low, size=skip.shape[-3:], mode="trilinear")
        return self.head(F.relu(self.back(torch.cat([skip, up], 1))))


class Classes(nn.Module):
    """A network that ends in labels: (1, y, x) uint8."""

    def __init__(self) -> None:
        super().__init__()
        self.network = UNet("nearest")

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x / 255).argmax(1).to(torch.uint8)


@dataclass(frozen=True)
class Case:
    """A network of the table: `channels` and `ndim` of its input, and the smallest image that it takes."""

    name: str
    make: Callable[[], nn.Module]
    channels: int = 3
    ndim: int = 2
    smallest: int = 9


def filtered() -> nn.Module:
    """The network that lessons begin with, small, and as it is when its U-Net has learned something."""
    network = FilteredUNet(3, 2, sizes=3, width=6, widths=(4, 6))
    nn.init.normal_(network.look_around.head.weight, std=0.3)
    return network


CASES = (
    Case("unet-nearest", lambda: UNet("nearest")),
    Case("unet-bilinear", lambda: UNet("bilinear")),
    Case("unet-transposed", lambda: UNet("transposed")),
    Case("unet-valid", ValidUNet, smallest=17),
    Case("fpn", Pyramid),
    Case("deeplab", Dilated),
    Case("resnet", Residual),
    Case("densenet", Dense),
    Case("convnext", ChannelsLast),
    Case("tokens", Tokens),
    Case("espcn", SubPixel),
    Case("circular", Wrapped),
    Case("mixed", Mixed),
    Case("resizing", Resizing),
    Case("filtered-unet", filtered),
    Case("stars", lambda: StarNetwork(3, rays=5, stem=4, widths=(4, 6), features=6)),
    Case("unet-3d", Volume, channels=1, ndim=3),
)


def made(case: Case, dtype: torch.dtype = torch.float32, seed: int = 0) -> nn.Module:
    """The network with seeded weights and batch norms that are not trivial."""
    torch.manual_seed(seed)
    network = case.make()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    return network.to(dtype).eval()


def image_for(case: Case, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(1, case.channels, *shape, dtype=dtype)
