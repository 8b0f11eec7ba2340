"""Networks that look at the whole plane: small, untrained, one for each way of doing that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "instance": lambda c: nn.InstanceNorm2d(c, affine=True),
    "group": lambda c: nn.GroupNorm(2, c),
    "batch": lambda c: nn.BatchNorm2d(c, track_running_stats=False),
    "instance-3d": lambda c: nn.InstanceNorm3d(c, affine=True),
}


def mirrored(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.ReflectionPad2d(size // 2), nn.Conv2d(inputs, outputs, size, stride))


class StyleResidual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = mirrored(width, width, 3), mirrored(width, width, 3)
        self.first, self.second = NORMS["instance"](width), NORMS["instance"](width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.b(F.relu(self.first(self.a(x)))))


class Style(nn.Module):
    """Johnson et al. 2016, thin: 9-3-3, residuals, enlarged convolutions, mirrored borders, instance norm."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, size, stride in ((3, 6, 9, 1), (6, 8, 3, 2), (8, 12, 3, 2)):
            layers += [mirrored(inputs, outputs, size, stride), NORMS["instance"](outputs), nn.ReLU()]
        layers += [StyleResidual(12), StyleResidual(12)]
        for inputs, outputs in ((12, 8), (8, 6)):
            layers += [nn.Upsample(scale_factor=2), mirrored(inputs, outputs, 3), NORMS["instance"](outputs), nn.ReLU()]
        self.body, self.head = nn.Sequential(*layers), mirrored(6, 3, 9)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))[:, :, : x.shape[2], : x.shape[3]]


class UNet(nn.Module):
    """Depth 2, any norm; `gate` follows every convolution."""

    def __init__(self, norm: str, gate: Callable[[int], nn.Module] = nn.Identity, inputs: int = 3) -> None:
        super().__init__()
        self.volume = norm.endswith("3d")
        conv = nn.Conv3d if self.volume else nn.Conv2d

        def unit(i: int, o: int) -> nn.Sequential:
            return nn.Sequential(conv(i, o, 3, padding=1), NORMS[norm](o), nn.LeakyReLU(0.1), gate(o))

        self.a, self.b, self.c = unit(inputs, 6), unit(6, 8), unit(8, 10)
        self.up, self.back, self.head = unit(18, 8), unit(14, 6), conv(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        pool = F.max_pool3d if self.volume else F.max_pool2d
        mode = "trilinear" if self.volume else "bilinear"
        a = self.a(x)
        b = self.b(pool(a, 2))
        c = self.c(pool(b, 2))
        low = self.up(torch.cat([b, F.interpolate(c, size=b.shape[2:], mode=mode)], 1))
        return self.head(self.back(torch.cat([a, F.interpolate(low, size=a.shape[2:], mode=mode)], 1)))


class SegRes(nn.Module):
    """MONAI's SegResNet (Myronenko 2018): group norm first, strides, sums instead of joins."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, 2, 1)
        self.units = nn.ModuleList(self.unit(c) for c in (8, 12, 8))
        self.narrow, self.head = nn.Conv2d(12, 8, 1), nn.Sequential(nn.GroupNorm(4, 8), nn.ReLU(), nn.Conv2d(8, 2, 1))

    @staticmethod
    def unit(c: int) -> nn.Sequential:
        return nn.Sequential(nn.GroupNorm(4, c), nn.ReLU(), nn.Conv2d(c, c, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        high = self.stem(x)
        high = high + self.units[0](high)
        low = self.down(high)
        low = self.narrow(low + self.units[1](low))
        high = high + F.interpolate(low, size=high.shape[2:], mode="bilinear", align_corners=False)
        return self.head(high + self.units[2](high))


class Excite(nn.Module):
    """Squeeze and excite (Hu et al. 2018); `form` is how the gate is brought to the plane."""

    def __init__(self, c: int, form: str = "broadcast") -> None:
        super().__init__()
        self.form = form
        self.a, self.b = nn.Linear(c, max(c // 2, 2)), nn.Linear(max(c // 2, 2), c)

    def forward(self, x: Tensor) -> Tensor:
        n, c, *_ = x.shape
        if self.form == "mean":
            squeezed = x.mean((2, 3))
        elif self.form == "strided":
            squeezed = F.avg_pool2d(x, x.shape[2:]).flatten(1)
        else:
            squeezed = F.adaptive_avg_pool2d(x, 1).view(n, c)
        gate = torch.sigmoid(self.b(F.relu(self.a(squeezed)))).view(n, c, 1, 1)
        return x * (gate.expand_as(x) if self.form == "expand" else gate)


class Inverted(nn.Module):
    """EfficientNet's step: expand, depthwise, squeeze and excite, project, with stored batch norms."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = inputs * 3
        self.expand = nn.Sequential(nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.SiLU())
        self.depth = nn.Sequential(nn.Conv2d(wide, wide, 5, stride, 2, groups=wide), nn.BatchNorm2d(wide), nn.SiLU())
        self.squeeze = nn.Sequential(nn.Conv2d(wide, 4, 1), nn.SiLU(), nn.Conv2d(4, wide, 1), nn.Sigmoid())
        self.project = nn.Sequential(nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depth(self.expand(x))
        y = self.project(y * self.squeeze(y.mean((2, 3), keepdim=True)))
        return x + y if x.shape == y.shape else y


class Pyramid(nn.Module):
    """PSPNet (Zhao et al. 2017): the plane in 1, 2, 3 and 6 bins a side."""

    def __init__(self, pool: Callable[[Tensor, int], Tensor]) -> None:
        super().__init__()
        self.stem, self.pool = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1)), pool
        self.bins = nn.ModuleList(nn.Conv2d(8, 3, 1) for _ in range(4))
        self.head = nn.Conv2d(20, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        found = [F.relu(conv(self.pool(y, n))) for conv, n in zip(self.bins, (1, 2, 3, 6), strict=True)]
        found = [F.interpolate(f, size=y.shape[2:], mode="bilinear", align_corners=True) for f in found]
        return F.interpolate(self.head(torch.cat([y, *found], 1)), size=x.shape[2:], mode="bilinear")


class DeepLab(nn.Module):
    """Parallel dilations and a pooled image (Chen et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.rates = nn.ModuleList(nn.Conv2d(8, 4, 3, padding=d, dilation=d) for d in (1, 3, 6))
        self.pooled = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU()
        )
        self.head = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        pooled = F.interpolate(self.pooled(y), size=y.shape[2:], mode="bilinear", align_corners=False)
        y = self.head(torch.cat([*(F.relu(rate(y)) for rate in self.rates), pooled], 1))
        return F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)


class Standardised(nn.Conv2d):
    """A convolution whose weight is standardised in forward, as timm writes it."""

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(flat, None, None, training=True, momentum=0.0, eps=1e-6).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class NormFree(nn.Module):
    """NFNet (Brock et al. 2021): no norms; weights are standardised, gates are global."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = Standardised(3, 8, 3, 2, 1), Standardised(8, 2, 3, 1, 1)
        self.convs, self.gates = (
            nn.ModuleList(Standardised(8, 8, 3, 1, 1) for _ in range(2)),
            nn.ModuleList(Excite(8, "mean") for _ in range(2)),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        for conv, gate in zip(self.convs, self.gates, strict=True):
            y = y + 0.2 * 2 * gate(conv(F.gelu(y) * 1.7))
        return F.interpolate(self.head(y), size=x.shape[2:])


class Moments(nn.Module):
    """The image by its own mean and deviation; maps of channels' moments, and extremes, as further channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(30, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - x.mean()) / (x.std() + 1e-6)
        y = self.conv((x - x.mean((2, 3), keepdim=True)) / x.var((2, 3), keepdim=True, unbiased=False).add(0.1).sqrt())
        maps = [y.std((2, 3), keepdim=True), y.amax((2, 3), keepdim=True), y.logsumexp((2, 3), keepdim=True)]
        length = y.norm(dim=(2, 3), keepdim=True)
        low = y.flatten(2).min(2).values[..., None, None]
        y = y / length * y[0, 0].numel() ** 0.5
        return self.head(torch.cat([y, (y - low), *(m.expand_as(y) for m in maps)], 1))


class Nested(nn.Module):
    """Barriers behind barriers, and beside them: of normalised values, of gated ones, of both."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(i, 6, 3, padding=1) for i in (3, 6, 3))
        self.norm, self.group = NORMS["instance"](6), nn.GroupNorm(3, 6)
        self.one, self.two = Excite(6), Excite(6, "expand")
        self.head = nn.Conv2d(12, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        left = self.one(F.relu(self.norm(self.a(x))))
        left = self.two(self.group(self.b(left)))
        right = self.c(x)
        right = right * (right.mean((2, 3), keepdim=True) + left.amax((2, 3), keepdim=True)).sigmoid()
        both = F.instance_norm(torch.cat([left, F.avg_pool2d(right, 3, 1, 1)], 1))
        return self.head(both) - both.mean((1, 2, 3), keepdim=True)


class Response(nn.Module):
    """Global response normalisation (ConvNeXt V2), channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.down = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 16), nn.Linear(16, 8)
        self.gain, self.shift = nn.Parameter(torch.randn(1, 1, 1, 16)), nn.Parameter(torch.randn(1, 1, 1, 16))
        self.head = nn.ConvTranspose2d(8, 2, 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = F.gelu(self.up(x.permute(0, 2, 3, 1)))
        length = torch.norm(y, p=2, dim=(1, 2), keepdim=True)
        y = self.gain * (y * length / (length.mean(-1, keepdim=True) + 1e-6)) + self.shift + y
        return self.head(x + self.down(y).permute(0, 3, 1, 2))


class LinearAttention(nn.Module):
    """Efficient attention (Shen et al. 2021): keys times values over positions first, so nothing is quadratic."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads, self.stem, self.norm = heads, nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(1, 8)
        self.qkv, self.out = nn.Conv2d(8, 24, 1, bias=False), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        n, c, h, w = y.shape
        q, k, v = (t.reshape(n, self.heads, c // self.heads, h * w) for t in self.qkv(self.norm(y)).chunk(3, 1))
        context = k.softmax(-1) @ v.transpose(-1, -2)
        found = (context.transpose(-1, -2) @ q.softmax(-2)).reshape(n, c, h, w)
        return F.interpolate(self.out(y + found), size=x.shape[2:], mode="bilinear")


class Context(nn.Module):
    """GCNet (Cao et al. 2019): a spatial softmax, and the mean of features under it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mask, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 1), nn.Conv2d(9, 2, 1)
        self.change = nn.Sequential(nn.Conv2d(8, 4, 1), nn.LayerNorm([4, 1, 1]), nn.ReLU(), nn.Conv2d(4, 8, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        n, c, h, w = y.shape
        mask = self.mask(y).view(n, 1, h * w).softmax(2)
        context = torch.matmul(y.view(n, 1, c, h * w), mask.unsqueeze(-1)).view(n, c, 1, 1)
        return self.head(torch.cat([y + self.change(context), mask.view(n, 1, h, w) * (h * w)], 1))


class LayerNorms(nn.Module):
    """Layer norm over channels and plane, with a weight as large as the image, and without."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 3, 3, padding=1)
        self.norm = nn.LayerNorm([5, *shape])
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(F.relu(self.norm(self.a(x))))
        return F.layer_norm(y, y.shape[1:]) + F.layer_norm(y, y.shape[2:])


class Attentive(nn.Module):
    """CBAM (Woo et al. 2018): means and maxima of the plane through one small network, then of channels; and ECA."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 2, 3, padding=1)
        self.small = nn.Sequential(nn.Flatten(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 8))
        self.where, self.along = nn.Conv2d(2, 1, 7, padding=3), nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        gate = self.small(F.avg_pool2d(y, y.shape[2:])) + self.small(F.max_pool2d(y, y.shape[2:]))
        y = y * gate.sigmoid()[:, :, None, None]
        y = y * self.where(torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)).sigmoid()
        pooled = F.adaptive_avg_pool2d(y, 1).squeeze(-1).transpose(-1, -2)
        return self.head(y * self.along(pooled).transpose(-1, -2).unsqueeze(-1).sigmoid())


class Selective(nn.Module):
    """Branches weighed by their pooled sum (SKNet, ResNeSt); a Gram matrix; adaptive instance norm."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(3, 6, 3, padding=d, dilation=d) for d in (1, 2))
        self.choose, self.gram, self.head = nn.Conv2d(6, 12, 1), nn.Linear(36, 6), nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.stack([branch(x) for branch in self.branches], 1)
        pooled = F.adaptive_avg_pool2d(both.sum(1), 1)
        y = (both * self.choose(pooled).view(1, 2, 6, 1, 1).softmax(1)).sum(1)
        flat = y.flatten(2)
        style = self.gram((flat @ flat.transpose(1, 2) / flat.shape[2]).flatten(1)).tanh()
        target = self.branches[0](x)
        y = (y - y.mean((2, 3), keepdim=True)) / (y.std((2, 3), keepdim=True) + 1e-3)
        y = y * target.std((2, 3), keepdim=True) + target.mean((2, 3), keepdim=True)
        return self.head(y + style[:, :, None, None])


def wrapped(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers)


def efficient() -> nn.Module:
    steps = [Inverted(6, 6, 1), Inverted(6, 8, 2), Inverted(8, 8, 1)]
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1), *steps, nn.Upsample(scale_factor=4, mode="bilinear"), nn.Conv2d(8, 2, 1)
    )


@dataclass(frozen=True)
class Case:
    """A network of the table, made for an image of (y, x) or (z, y, x)."""

    name: str
    make: Callable[[tuple[int, ...]], nn.Module]
    ndim: int = 2


CASES = (
    Case("style", lambda _: Style()),
    Case("unet-instance", lambda _: UNet("instance")),
    Case("unet-group", lambda _: UNet("group")),
    Case("unet-batch-without-statistics", lambda _: UNet("batch")),
    Case("segresnet", lambda _: SegRes()),
    Case("se-resnet-unet", lambda _: UNet("group", Excite)),
    Case("unet-expanded-gates", lambda _: UNet("instance", lambda c: Excite(c, "expand"))),
    Case("unet-strided-gates", lambda _: UNet("batch", lambda c: Excite(c, "strided"))),
    Case("efficientnet", lambda _: efficient()),
    Case("pspnet", lambda _: Pyramid(F.adaptive_avg_pool2d)),
    Case("pspnet-max", lambda _: Pyramid(F.adaptive_max_pool2d)),
    Case("deeplab", lambda _: DeepLab()),
    Case("nfnet", lambda _: NormFree()),
    Case("moments", lambda _: Moments()),
    Case("nested", lambda _: Nested()),
    Case("response-norm", lambda _: Response()),
    Case("linear-attention", lambda _: LinearAttention(1)),
    Case("linear-attention-heads", lambda _: LinearAttention(2)),
    Case("global-context", lambda _: Context()),
    Case("layer-norm", LayerNorms),
    Case("cbam-eca", lambda _: Attentive()),
    Case("selective", lambda _: Selective()),
    Case("unet-3d", lambda _: UNet("instance-3d", inputs=1), ndim=3),
)


def made(case: Case, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> nn.Module:
    """The network with seeded weights, and norms whose scale and shift are not trivial."""
    torch.manual_seed(0)
    network = case.make(shape)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase | nn.GroupNorm) and module.weight is not None:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.3)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            nn.init.normal_(module.running_mean, 0.0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.to(dtype).eval()
