"""Networks that cannot be run exactly in tiles, and one that can."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """As a vision transformer: each 8 x 8 pixels look at all others. `size` is what it insists on, if anything."""

    def __init__(self, size: int | None = None, outputs: int = 2) -> None:
        super().__init__()
        self.embed, self.head = nn.Conv2d(3, 16, 8, 8), nn.Conv2d(16, outputs, 1)
        self.query, self.key, self.value = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        if self.size is not None and x.shape[-1] != self.size:
            raise ValueError(f"Input height ({x.shape[-2]}) doesn't match model ({self.size}).")
        tokens = self.embed(x / 64 - 2)
        flat = tokens.flatten(2).transpose(1, 2)
        looked = F.scaled_dot_product_attention(self.query(flat), self.key(flat), self.value(flat))
        tokens = tokens + looked.transpose(1, 2).reshape(tokens.shape)
        return F.interpolate(self.head(tokens), size=x.shape[-2:], mode="bilinear")


class Local(nn.Module):
    """Three convolutions: each output pixel sees 7 x 7 input pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 2, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x / 255)


class Classes(nn.Module):
    """Attention that ends in numbers of classes: 0, 3 or 6."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = Attention(outputs=3)

    def forward(self, x: Tensor) -> Tensor:
        return 3 * self.scores(x).argmax(1)


class Resized(nn.Module):
    """Local, `down` times smaller or `up` times larger."""

    def __init__(self, down: int = 1, up: int = 1) -> None:
        super().__init__()
        self.local, self.down, self.up = Local(), down, up

    def forward(self, x: Tensor) -> Tensor:
        y = F.avg_pool2d(self.local(x), self.down)
        return F.interpolate(y, scale_factor=self.up, mode="nearest")


class Centred(nn.Module):
    """A branch on pixel values: bright images get their mean taken off."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean() if x.mean() > 10 else x


def seeded(network: nn.Module) -> nn.Module:
    """With weights that are the same each time, in eval mode."""
    generator = torch.Generator().manual_seed(3)
    for parameter in network.parameters():
        spread = 1.5 / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else 0.1
        parameter.data.normal_(0, spread, generator=generator)
    return network.eval()
