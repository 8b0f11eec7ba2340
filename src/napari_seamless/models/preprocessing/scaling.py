"""What is done to pixel values before a network, and to its output after it: modules, traced like any other layer.

All take and give float (1, c, [z,] y, x), unless they say otherwise. Scaling by an image's own statistics is in
percentile.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Linear(nn.Module):
    """x * gain + offset, one number for all channels or one each."""

    gain: torch.Tensor
    offset: torch.Tensor

    def __init__(self, gain: float | Sequence[float], offset: float | Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("gain", torch.as_tensor(gain, dtype=torch.float32))
        self.register_buffer("offset", torch.as_tensor(offset, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        shape = (1, -1, *[1] * (x.dim() - 2))
        return x * self.gain.reshape(shape) + self.offset.reshape(shape)


class FixedScale(nn.Module):
    """(x - mean) / std, with numbers known beforehand, one for all channels or one each."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        shape = (1, -1, *[1] * (x.dim() - 2))
        return (x - self.mean.reshape(shape)) / self.std.reshape(shape)


class Clip(nn.Module):
    """Values outside become the nearest bound; None leaves that side open."""

    def __init__(self, low: float | None, high: float | None) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        return x.clamp(self.low, self.high)


class Binarize(nn.Module):
    """1 where a value is larger than the threshold, 0 elsewhere; one threshold for all channels or one each."""

    threshold: torch.Tensor

    def __init__(self, threshold: float | Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.as_tensor(threshold, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape, float32."""
        return (x > self.threshold.reshape(1, -1, *[1] * (x.dim() - 2))).float()


class Classes(nn.Module):
    """Scores -> uint8 class values, (1, [z,] y, x).

    One channel: `values[1]` where it exceeds the threshold (`middle`, if there is none), else `values[0]`. Several:
    the value of the largest, or, with a threshold that not even this one reaches, `values[0]`. An output without
    channels is taken for classes.
    """

    def __init__(self, values: Sequence[int], threshold: float | None, ndim: int, *, middle: float = 0.5) -> None:
        super().__init__()
        self.values, self.threshold, self.ndim, self.middle = tuple(values), threshold, ndim, middle

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(1, k, [z,] y, x) -> (1, [z,] y, x)."""
        if x.dim() == self.ndim + 1:
            return x.to(torch.uint8)
        first, *others = self.values
        if x.shape[1] == 1:
            chosen = x[:, 0] > (self.middle if self.threshold is None else self.threshold)
            return chosen.to(torch.uint8) * (others[0] - first) + first
        numbers = x.argmax(dim=1)
        if self.values != tuple(range(len(self.values))):
            numbers = sum((numbers == k) * value for k, value in enumerate(self.values))  # type: ignore[assignment]
        if self.threshold is not None:
            sure = x.amax(dim=1) >= self.threshold
            numbers = torch.where(sure, numbers, torch.full_like(numbers, first))
        return numbers.to(torch.uint8)


class CastToInteger(nn.Module):
    """Values as whole numbers of a type, cut off at its ends."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape, of the type."""
        info = torch.iinfo(self.dtype)
        return x.clamp(info.min, info.max).round().to(self.dtype)
