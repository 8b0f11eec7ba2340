"""Scaling an image by its own statistics before a network sees it: by percentiles, or by mean and deviation.

    network = nn.Sequential(PercentileScale(1, 99.8), network)

Both look at the whole image, of any size, and trace as a part of the network does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


@torch.library.custom_op("napari_seamless::percentile", mutates_args=())
def percentile(x: torch.Tensor, percentiles: Sequence[float], per_channel: bool) -> torch.Tensor:
    """Percentiles (0..100) of (1, c, ...), with linear interpolation as numpy's: (percentiles, c), or (percentiles, 1).

    An operator of torch's library, because torch's own quantile refuses images of more than 16 million numbers.
    """
    ordered = x.reshape(x.shape[1] if per_channel else 1, -1).sort().values
    found = []
    for wanted in percentiles:
        position = wanted / 100 * (ordered.shape[1] - 1)
        low, part = int(position), position - int(position)
        a, b = (ordered[:, min(low + k, ordered.shape[1] - 1)].double() for k in (0, 1))
        found.append(a + (b - a) * part if part < 0.5 else b - (b - a) * (1 - part))
    return torch.stack(found).to(x.dtype)


@percentile.register_fake
def _(x: torch.Tensor, percentiles: Sequence[float], per_channel: bool) -> torch.Tensor:
    return x.new_empty((len(percentiles), x.shape[1] if per_channel else 1))


class PercentileScale(nn.Module):
    """(x - low) / (high - low + eps), with percentiles `low` and `high` of each channel, or of all channels together.

    The values between them become 0..1; `clip` cuts off what lies outside.
    """

    def __init__(
        self, low: float = 1.0, high: float = 99.0, *, per_channel: bool = True, clip: bool = False, eps: float = 1e-20
    ) -> None:
        super().__init__()
        self.low, self.high, self.per_channel, self.clip, self.eps = low, high, per_channel, clip, eps

    def forward(self, x: torch.Tensor, measured: torch.Tensor | None = None) -> torch.Tensor:
        """float (1, c, [z,] y, x) -> the same shape; by the statistics of `measured`, where that is given."""
        found = percentile(x if measured is None else measured, [self.low, self.high], self.per_channel)
        low, high = found.reshape(2, 1, -1, *[1] * (x.dim() - 2)).unbind(0)
        scaled: torch.Tensor = (x - low) / (high - low + self.eps)
        return scaled.clamp(0.0, 1.0) if self.clip else scaled


class MeanStdScale(nn.Module):
    """(x - mean) / (std + eps), with mean and standard deviation of each channel, or of all channels together."""

    def __init__(self, *, per_channel: bool = True, eps: float = 1e-8) -> None:
        super().__init__()
        self.per_channel, self.eps = per_channel, eps

    def forward(self, x: torch.Tensor, measured: torch.Tensor | None = None) -> torch.Tensor:
        """float (1, c, [z,] y, x) -> the same shape; by the statistics of `measured`, where that is given."""
        over = tuple(range(2 if self.per_channel else 1, x.dim()))
        std, mean = torch.std_mean(x if measured is None else measured, over, correction=0, keepdim=True)
        scaled: torch.Tensor = (x - mean) / (std + self.eps)
        return scaled
