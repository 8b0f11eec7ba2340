"""One small network for each operator: a convolution, the operator, and an average that looks over the tile's border.

Each function takes an image (1, 4, y, x) and gives one of any number of channels. `exact` says that it only moves
numbers, so that nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHAPE = (30, 44)
Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """`has_gradient` says that gradients can be taken through it."""

    name: str
    function: Function
    exact: bool = False
    has_gradient: bool = True
    shape: tuple[int, int] = SHAPE


class Between(nn.Module):
    """conv -> function -> mean over 3 x 3."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Conv2d(4, 4, 3, padding=1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.function(self.a(x)), 3, 1, 1)


class Alone(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def image(case: Case, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, 4, *case.shape, generator=generator, dtype=torch.float64).to(dtype)


def assigned(at: Callable[[Tensor], tuple[object, ...]], value: Callable[[Tensor], object]) -> Function:
    """y[at] = value."""

    def function(x: Tensor) -> Tensor:
        y = x.clone()
        y[at(x)] = value(x)
        return y

    return function


def shifted(x: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    out[:, :, 2:, 1:] = x[:, :, :-2, :-1]
    return out


def new_plane(x: Tensor) -> Tensor:
    out = torch.zeros(x.shape, dtype=x.dtype)
    out[:, :, 3:-3] = x[:, :, 3:-3]
    out[..., 0] = 1.5
    return out


def stretched_beside(x: Tensor, channels: int) -> Tensor:
    """Many positions of one memory, beside what could be computed over that very memory."""
    return x.expand(-1, channels, -1, -1) + x * 0.01


def normed_by_hand(x: Tensor) -> Tensor:
    centred = x - x.mean((2, 3), keepdim=True)
    return centred / (centred.pow(2).mean((2, 3), keepdim=True) + 1e-5).sqrt()


def standardised(x: Tensor) -> Tensor:
    return (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1e-5)


ROWS = (
    Case("mean-of-rows", lambda x: x - x.mean(3, keepdim=True)),
    Case("mean-of-columns", lambda x: x - x.mean(2, keepdim=True)),
    Case("sum-of-rows-dropped", lambda x: x / (1 + x.abs().sum(3)[..., None])),
    Case("chained-means", lambda x: x * x.mean(3, keepdim=True).mean(2, keepdim=True).sigmoid()),
    Case("chained-sums-dropped", lambda x: x * x.sum(3).sum(2)[:, :, None, None].tanh()),
    Case("chained-maxima", lambda x: x - x.max(3, keepdim=True)[0].max(2, keepdim=True)[0]),
    Case("largest-of-columns", lambda x: x - x.amax(2, keepdim=True)),
    Case("smallest-of-rows", lambda x: x - x.min(3, keepdim=True)[0]),
    Case("deviation-of-rows", lambda x: x / x.std(3, keepdim=True)),
    Case("variance-of-columns", lambda x: x / (x.var(2, keepdim=True, correction=0) + 1)),
    Case("length-of-rows", lambda x: x / x.norm(dim=3, keepdim=True)),
    Case("rows-and-channels", lambda x: x - x.mean((1, 3), keepdim=True)),
    Case("largest-of-rows-and-channels", lambda x: x - x.amax((1, 3), keepdim=True)),
    Case("log-sum-of-rows", lambda x: x - x.logsumexp(3, keepdim=True)),
    Case("softmax-of-rows", lambda x: x.softmax(3) * 44),
    Case("log-softmax-of-columns", lambda x: x.log_softmax(2)),
    Case("coordinates", lambda x: x * F.conv1d(x.mean(3), torch.ones(4, 4, 3, dtype=x.dtype), padding=1)[..., None]),
    Case("strips", lambda x: x * torch.sigmoid(x.mean(3, keepdim=True) + x.mean(2, keepdim=True))),
    Case("row-means-of-row-means", lambda x: x - (x - x.mean(3, keepdim=True)).mean(2, keepdim=True)),
    Case("any-in-row", lambda x: x * (x > 2).any(3, keepdim=True), has_gradient=True),
)

CHANNELS = (
    Case("one-map", lambda x: x * x.mean(1, keepdim=True).sigmoid().expand(-1, 4, -1, -1)),
    Case("more-maps", lambda x: x[:, :1].expand(-1, 6, -1, -1), exact=True),
    Case("map-stretched-and-changed", lambda x: stretched_beside(x + 1, 4) + stretched_beside(x[:, :1] + 1, 4)),
    Case("normalize", lambda x: F.normalize(x, dim=1)),
    Case("norm-1", lambda x: x / (1 + x.norm(p=1, dim=1, keepdim=True))),
    Case("std-of-channels", lambda x: x / x.std(1, keepdim=True)),
    Case("var-of-channels", lambda x: x * x.var(1, keepdim=True)),
    Case("prod", lambda x: x.prod(1, keepdim=True)),
    Case("cumsum", lambda x: x.cumsum(1)),
    Case("cumprod", lambda x: x.cumprod(1)),
    Case("cummax", lambda x: x.cummax(1)[0], exact=True),
    Case("cummin", lambda x: x.cummin(1)[0], exact=True),
    Case("logcumsumexp", lambda x: x.logcumsumexp(1)),
    Case("sort", lambda x: x.sort(1)[0], exact=True),
    Case("sort-descending", lambda x: x.sort(dim=1, descending=True, stable=True)[0], exact=True),
    Case("argsort", lambda x: x.argsort(1).to(x.dtype), exact=True, has_gradient=False),
    Case("topk", lambda x: x.topk(2, 1)[0], exact=True),
    Case("topk-places", lambda x: x.topk(2, 1)[1].to(x.dtype), exact=True, has_gradient=False),
    Case("lrn", lambda x: F.local_response_norm(x, 3)),
    Case("diff-of-channels", lambda x: x.diff(dim=1)),
    Case("count-nonzero", lambda x: x * x.gt(0).count_nonzero(1)[:, None]),
    Case("index-select", lambda x: x.index_select(1, torch.tensor([2, 0])), exact=True),
    Case("channel-list", lambda x: x[:, [3, 1]], exact=True),
    Case("gather", lambda x: x.gather(1, x.argmax(1, keepdim=True)), exact=True),
    Case("take-along", lambda x: torch.take_along_dim(x, x.argsort(1), 1), exact=True),
    Case("scatter", lambda x: torch.zeros_like(x).scatter(1, x.argmax(1, keepdim=True), 1.0), exact=True,
         has_gradient=False),
    Case("one-hot", lambda x: F.one_hot(x.argmax(1), 4).permute(0, 3, 1, 2).to(x.dtype), exact=True,
         has_gradient=False),
    Case("embedding", lambda x: F.embedding(x.argmax(1), torch.arange(12.0).view(4, 3)).permute(0, 3, 1, 2).to(x.dtype),
         has_gradient=False),
    Case("cosine", lambda x: F.cosine_similarity(x, x.flip(1), dim=1)[:, None]),
    Case("cross", lambda x: torch.linalg.cross(x[:, :3], x[:, 1:], dim=1)),
    Case("glu", lambda x: F.glu(x, 1)),
    Case("softmin", lambda x: F.softmin(x, 1)),
    Case("trapezoid", lambda x: torch.trapezoid(x, dim=1)[:, None]),
    Case("renorm-like", lambda x: x * (1.0 / x.norm(dim=1, keepdim=True)).clamp(max=1)),
    Case("einsum", lambda x: torch.einsum("nchw,dc->ndhw", x, torch.arange(12.0, dtype=x.dtype).view(3, 4))),
    Case("tensordot", lambda x: torch.tensordot(torch.ones(2, 4, dtype=x.dtype), x, ([1], [1])).transpose(0, 1)),
    Case("shuffle", lambda x: F.channel_shuffle(x, 2), exact=True),
    Case("roll-channels", lambda x: x.roll(1, 1), exact=True),
    Case("bucketize", lambda x: torch.bucketize(x, torch.tensor([-1.0, 0, 1])).to(x.dtype), exact=True,
         has_gradient=False),
    Case("index-add", lambda x: x.index_add(1, torch.tensor([1]), x[:, :1])),
    Case("index-fill", lambda x: x.index_fill(1, torch.tensor([1]), 0.5), exact=True),
    Case("index-copy", lambda x: x.index_copy(1, torch.tensor([1]), x[:, :1]), exact=True),
)  # fmt: skip

WRITES = (
    Case("write-channels", assigned(lambda _: (slice(None), slice(1, 3)), lambda x: x[:, 1:3].relu() * 2)),
    Case("write-channel-list", assigned(lambda _: (slice(None), [0, 2]), lambda _: 1.0), exact=True),
    Case("write-channel", assigned(lambda _: (slice(None), 1), lambda _: 0.0), exact=True),
    Case("write-rows", assigned(lambda _: (slice(None), slice(None), slice(0, 4)), lambda _: 0.0), exact=True),
    Case("write-last-columns", assigned(lambda _: (..., slice(-4, None)), lambda _: 0.0), exact=True),
    Case("write-inner", assigned(lambda _: (..., slice(5, -5), slice(7, -7)), lambda _: 2.0), exact=True),
    Case("write-steps", assigned(lambda _: (..., slice(1, None, 3), slice(None, None, 2)), lambda _: 0.0), exact=True),
    Case("write-row", assigned(lambda _: (..., 9, slice(None)), lambda x: x[..., 3, :]), exact=True),
    Case("write-column", assigned(lambda _: (..., -1), lambda _: 3.0), exact=True),
    Case("write-image", assigned(lambda _: (..., slice(4, 20), slice(None)), lambda x: x[..., 10:26, :]), exact=True),
    Case("write-mean", assigned(lambda _: (..., slice(4, 20), slice(3, 9)), lambda x: x.mean((2, 3), keepdim=True))),
    Case("write-mask", assigned(lambda x: (x > 0.5,), lambda _: 0.0), exact=True),
    Case("masked-fill", lambda x: x.masked_fill(x.mean(1, keepdim=True) > 0, -1.0), exact=True),
    Case("shifted", shifted, exact=True),
    Case("new-plane", new_plane, exact=True),
    Case("fill", lambda x: x.clone().fill_(2.0) + x, exact=True),
    Case("copy", lambda x: x.clone().copy_(x[:, :1]), exact=True),
)

NEIGHBOURS = (
    Case("unfold", lambda x: F.unfold(x, 3, padding=1).view(1, 4, 9, *SHAPE).amax(2), exact=True),
    Case("unfold-strided",
         lambda x: F.unfold(x, (3, 2), padding=(1, 0), stride=2, dilation=(2, 1)).view(1, 24, 14, 22)),
    Case("fold", lambda x: F.fold(F.unfold(x, 3, padding=1).square(), SHAPE, 3, padding=1)),
    Case("fold-strided", lambda x: F.fold(F.unfold(x, 4, stride=2, padding=1).tanh(), SHAPE, 4, stride=2, padding=1)),
    Case("fold-apart", lambda x: F.fold(F.unfold(x, 2, stride=3).tanh(), SHAPE, 2, stride=3)),
    Case("windows", lambda x: x.unfold(2, 3, 1).unfold(3, 5, 1).amax((-1, -2)), exact=True),
    Case("windows-strided", lambda x: x.unfold(2, 4, 3).mean(-1)),
    Case("repeat-interleave", lambda x: x.repeat_interleave(3, 2).repeat_interleave(2, 3), exact=True),
    Case("repeat-interleave-channels", lambda x: x.repeat_interleave(2, 1), exact=True),
    Case("repeat", lambda x: x.repeat(1, 2, 2, 3), exact=True),
    Case("repeat-rows", lambda x: x.repeat(1, 1, 2, 1), exact=True),
    Case("diff", lambda x: F.pad(x.diff(dim=3), (1, 0)) + F.pad(x.diff(dim=2), (0, 0, 0, 1))),
    Case("roll-all", lambda x: x.roll((1, 50, -3), (1, 2, 3)), exact=True),
    Case("roll", lambda x: x.roll((5, -7), (2, 3)), exact=True),
    Case("flip", lambda x: x.flip(2, 3), exact=True),
    Case("flip-all", lambda x: x.flip(1, 2, 3), exact=True),
    Case("turned-twice", lambda x: x.rot90(2, (2, 3)), exact=True),
    Case("transposed-and-back", lambda x: (x.transpose(2, 3) * 2).transpose(2, 3), exact=True),
    Case("running-sum-of-rows", lambda x: x.cumsum(3) / 44),
    Case("running-sum-of-columns", lambda x: x.cumsum(2) / 30),
    Case("integral-image", lambda x: x.cumsum(2).cumsum(3) / 300),
    Case("instance-norm-by-hand", normed_by_hand),
    Case("standardised", standardised),
)  # fmt: skip

ALONG_ROWS = (
    Case("place-in-row", lambda x: x * x.argmax(3, keepdim=True) / 10),
    Case("place-in-column", lambda x: x * x.argmin(2)[:, :, None] / 10),
    Case("place-in-plane", lambda x: x * (x.argmax() + x.flatten(2).argmin(2)[..., None, None]) / 1000),
    Case("place-of-maximum", lambda x: x * x.max(3, keepdim=True)[1] / 10),
    Case("running-product", lambda x: (1 + x / 10).cumprod(2)),
    Case("running-maximum-and-place", lambda x: x.cummax(3)[0] + x.cummin(2)[0] + x.cummax(3)[1] / 40),
    Case("median-of-rows", lambda x: x - x.median(3, keepdim=True)[0] - x.median(2)[0][:, :, None]),
    Case("quantiles-of-channels-last",
         lambda x: x - x.permute(0, 2, 3, 1).quantile(torch.tensor([0.3, 0.6], dtype=x.dtype), 3)[1][:, None]),
    Case("quantiles-of-rows", lambda x: x - x.quantile(torch.tensor([0.3, 0.6], dtype=x.dtype), 3)[1][..., None],
         has_gradient=False),
    Case("kth-of-rows", lambda x: x - torch.add(*x.kthvalue(5, 3, keepdim=True)) / 10),
    Case("sorted-rows", lambda x: x.sort(3)[0], exact=True),
    Case("order-of-rows", lambda x: x.argsort(3).to(x.dtype), exact=True, has_gradient=False),
    Case("largest-of-rows-sorted", lambda x: x.topk(9, 3)[0], exact=True),
    Case("taken-along-rows", lambda x: torch.take_along_dim(x, x.argsort(3), 3), exact=True),
    Case("sums-of-rows", lambda x: x * x.prod(3, keepdim=True) + x.nansum(2)[:, :, None] + x.gt(0).count_nonzero()
         + x.nanmean((2, 3), keepdim=True)),
    Case("layer-norm-of-rows", lambda x: F.layer_norm(x, (44,), torch.linspace(0, 1, 44, dtype=x.dtype))),
    Case("histogram", lambda x: x * x.histc(8, -3, 3)[3] / 100, has_gradient=False),
)  # fmt: skip


def bent_grid(kind: str, *, align_corners: bool) -> Tensor:
    """Positions (1, 26, 38, 2) of a stretched or turned plane, each moved a little."""
    maps = {"turned": [[0.98, -0.3, 0.1], [0.25, 0.98, -0.05]], "stretched": [[1.2, 0.0, 0.1], [0.0, 0.8, -0.1]]}
    affine = torch.tensor([maps[kind]], dtype=torch.float64)
    grid = F.affine_grid(affine, [1, 1, 26, 38], align_corners=align_corners)
    return grid + 0.02 * torch.randn(grid.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def sampled(kind: str, mode: str, padding: str, *, align_corners: bool) -> Function:
    grid = bent_grid(kind, align_corners=align_corners)
    return lambda x: F.grid_sample(x, grid.to(x.dtype), mode, padding, align_corners)


def affine(x: Tensor) -> Tensor:
    """A grid that is made on the way, of numbers alone."""
    numbers = torch.tensor([[[0.9, 0.1, 0.0], [0.0, 1.1, 0.1]]], dtype=x.dtype)
    return F.grid_sample(x, F.affine_grid(numbers, list(x.shape), align_corners=False), align_corners=False)


def unpooled(kernel: int, padding: int, shape: tuple[int, int]) -> Function:
    def function(x: Tensor) -> Tensor:
        y = x[..., : shape[0], : shape[1]]
        most, places = F.max_pool2d(y, kernel, padding=padding, return_indices=True)
        return F.max_unpool2d(most, places, kernel, padding=padding, output_size=list(shape))

    return function


MOVED = (
    Case("lower-triangle", lambda x: x.tril(3), exact=True),
    Case("upper-triangle", lambda x: x.triu(-3), exact=True),
    Case("unpooled", unpooled(2, 0, SHAPE), exact=True),
    Case(
        "places-of-whole-numbers", lambda x: x * F.max_pool2d((x * 100).long(), 3, 1, 1, return_indices=True)[1] / 1000
    ),
    Case("unpooled-with-a-rest", unpooled(3, 1, (29, 43)), exact=True),
    Case("affine-grid", affine),
    Case("grid-bilinear", sampled("turned", "bilinear", "zeros", align_corners=True)),
    Case("grid-bilinear-reflected", sampled("stretched", "bilinear", "reflection", align_corners=False)),
    Case("grid-nearest", sampled("turned", "nearest", "border", align_corners=False)),
    Case("grid-bicubic", sampled("stretched", "bicubic", "zeros", align_corners=False)),
    Case("grid-bicubic-reflected", sampled("turned", "bicubic", "reflection", align_corners=True)),
)

LOSSES_AND_LISTS = (
    Case("losses-of-elements", lambda x: F.mse_loss(x, x.flip(1), reduction="none")
         + F.kl_div(x, x.sigmoid(), reduction="sum") * x / 1000
         + F.binary_cross_entropy_with_logits(x, x.sigmoid(), reduction="none")),
    Case("emptied", lambda x: x.clone().zero_() + x.relu() / torch.ops.aten.std.default(x)),
    Case("renorm", lambda x: x.renorm(2, 1, 30.0)),
    Case("shifted-as-a-spectrum", lambda x: torch.fft.fftshift(x, dim=(2, 3)), exact=True),
    Case("gradients", lambda x: torch.add(*torch.gradient(x, dim=(2, 3)))),
    Case("special-functions", lambda x: torch.special.xlogy(x, x.abs() + 1)
         + torch.special.gammainc(torch.full_like(x, 1.5), x.abs()) + torch.special.polygamma(1, x.abs() + 1)),
    Case("products-of-linalg", lambda x: torch.linalg.matmul(x.movedim(1, -1), torch.ones(4, 3, dtype=x.dtype))
         .movedim(-1, 1) + torch.linalg.vecdot(x, x.flip(1), dim=1)[:, None]),
    Case("rows-by-list", lambda x: x[:, :, [3, 1, 28, -2]].index_select(3, torch.arange(40, 3, -3)), exact=True),
    Case("grid-by-lists", lambda x: x[:, :, torch.arange(3, 60)[:, None] // 2 % 30, torch.arange(0, -44, -1)],
         exact=True),
    Case("distances-to-points", lambda x: torch.cdist(x.flatten(2).transpose(1, 2), torch.eye(4, dtype=x.dtype)[:3])
         .transpose(1, 2).unflatten(2, SHAPE)),
    Case("searched", lambda x: torch.searchsorted(torch.arange(-1, 2, dtype=x.dtype), x.contiguous()).to(x.dtype),
         exact=True, has_gradient=False),
    Case("scattered-extremes", lambda x: torch.zeros_like(x).scatter_reduce(1, x.argsort(1), x, "amax"), exact=True),
    Case("nan-medians", lambda x: x - x.nanmedian(3, keepdim=True)[0] - x.nanquantile(0.3, 2, keepdim=True),
         has_gradient=False),
)  # fmt: skip


def ranks_of_all(x: Tensor) -> Tensor:
    """Of channels and positions in one dimension."""
    rows = x.flatten(1)
    low, high = rows.amin(1).view(-1, 1, 1, 1), rows.max(1, keepdim=True)[0][..., None, None]
    middle, upper = rows.median(1)[0], torch.quantile(rows, 0.9, dim=1, keepdim=True)
    groups = x.reshape(1, 2, -1)
    centred = (groups - groups.kthvalue(9)[0][..., None] / 9).view_as(x)
    return (centred - low) / (high - low) + middle.view(1, 1, 1, 1) * upper[..., None, None]


def norms_of_any_order(x: Tensor) -> Tensor:
    """Over the plane, over rows, and over the plane and channels."""
    largest = torch.linalg.vector_norm(x, torch.inf, (1, 2, 3), keepdim=True)
    least = torch.linalg.vector_norm(x, -torch.inf, (2, 3), keepdim=True)
    return F.normalize(x.flatten(2), 1, 2).view_as(x) * 100 + x.norm(3, 3, keepdim=True) + least + x / largest


def under_other_names(x: Tensor) -> Tensor:
    """As files have them in which torch has taken networks apart."""
    aten = torch.ops.aten
    y = aten.reflection_pad2d(x, [1, 2, 0, 1]) + aten.replication_pad2d(x, [1, 2, 1, 0])
    y = aten.upsample_bilinear2d(y, [60, 88], False, None, None) + aten.upsample_nearest2d(y, [60, 88])
    y = y + aten.upsample_bicubic2d(x, [60, 88], True)
    return F.avg_pool2d(aten.native_channel_shuffle(y, 2), 2)


FLATTENED = (
    Case("ranks-of-all", ranks_of_all, has_gradient=False),
    Case("length-of-all", lambda x: F.normalize(x.flatten(1), dim=1).view_as(x) * 100
         + x / x.reshape(-1).abs().sum()),
    Case("places-in-all", lambda x: x + x.flatten(1).argmax(1).view(1, 1, 1, 1) / 1000, has_gradient=False),
    Case("layer-norm-of-all", lambda x: F.layer_norm(x.flatten(1), (x[0].numel(),)).unflatten(1, x.shape[1:])),
    Case("norms-of-any-order", norms_of_any_order),
    Case("under-other-names", under_other_names, has_gradient=False),  # torch has none of the shuffle
    Case("spread-of-means", lambda x: x / x.mean((2, 3)).std()),
)  # fmt: skip

CASES = (*ROWS, *CHANNELS, *WRITES, *NEIGHBOURS, *ALONG_ROWS, *MOVED, *LOSSES_AND_LISTS, *FLATTENED)
