"""The network of StarDist's published models of planes (Schmidt et al. 2018), as their configuration describes it.

    image -- [convs -- max 2] for each power of 2 of the grid -- U-Net -- conv -- conv 1 -> sigmoid: probability
                                                                  |          `-- conv 1 -> rays, in pixels
                                                                  `-- conv -- conv 1 -> softmax: classes

Layers have the names that they have in StarDist's own files. All operators are local.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import nn

ACTIVATIONS: Mapping[str, type[nn.Module]] = MappingProxyType(
    {
        "relu": nn.ReLU,
        "elu": nn.ELU,
        "selu": nn.SELU,
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "softplus": nn.Softplus,
        "swish": nn.SiLU,
        "linear": nn.Identity,
    }
)
"""By their names in Keras."""
EPS = 1e-3
"""What Keras adds to the variance of a batch norm."""
DEEPEST = 10


class StarDistUnit(nn.Module):
    """Convolution, batch norm where there is one, activation; keeps the size, with zeros outside the image.

    Of a kernel of even size the larger half lies behind the pixel.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: Sequence[int], activation: str = "linear", *, batch_norm: bool = False
    ) -> None:
        super().__init__()
        (y, x), even = kernel, [1 - n % 2 for n in kernel]
        self.pad = nn.ZeroPad2d((0, even[1], 0, even[0])) if any(even) else nn.Identity()
        self.conv = nn.Conv2d(inputs, outputs, (y, x), padding=((y - 1) // 2, (x - 1) // 2))
        self.norm = nn.BatchNorm2d(outputs, eps=EPS) if batch_norm else nn.Identity()
        self.act = ACTIVATIONS[activation]()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, y, x) -> (n, outputs, y, x)."""
        found: torch.Tensor = self.act(self.norm(self.conv(self.pad(x))))
        return found


class StarDistNetwork(nn.Module):
    """(n, inputs, y, x) -> (n, 1 + rays + classes, y / grid, x / grid): what `StarPolygons` takes.

    Probability in 0..1, distances in pixels of the image, and probabilities of classes without that of the background.
    y and x must be multiples of `stride` (y, x). `base` is the width at the finest scale, `expansion` times as much at
    each of `depth` coarser ones, which are `pool` (y, x) times smaller; `features` is the width before the answers, 0
    for none. `activation` and `last_activation` are names of Keras, see ACTIVATIONS. Raises ValueError.
    """

    def __init__(
        self,
        inputs: int = 1,
        rays: int = 32,
        grid: int = 1,
        classes: int = 0,
        depth: int = 3,
        base: int = 32,
        convs: int = 2,
        kernel: Sequence[int] = (3, 3),
        pool: Sequence[int] = (2, 2),
        activation: str = "relu",
        last_activation: str | None = None,
        features: int = 128,
        expansion: float = 2,
        *,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if grid < 1 or grid & (grid - 1):
            raise ValueError(f"the grid of StarDist is a power of 2; got {grid}")
        if not 0 <= depth <= DEEPEST:
            raise ValueError(f"a U-Net of StarDist has 0 to {DEEPEST} coarser scales; got {depth}")
        for name in (activation, last_activation or activation):
            if name not in ACTIVATIONS:
                raise ValueError(f"an activation is {', '.join(ACTIVATIONS)}; got {name}")
        self.depth, self.convs, self.classes = depth, convs, classes
        self.halvings = grid.bit_length() - 1
        self.stride = (grid * pool[0] ** depth, grid * pool[1] ** depth)
        self.halve = nn.MaxPool2d(2)
        self.shrink = nn.MaxPool2d((pool[0], pool[1]))
        self.enlarge = nn.Upsample(scale_factor=(float(pool[0]), float(pool[1])), mode="nearest")
        widths = [int(base * expansion**n) for n in range(depth + 1)]
        self.layers = nn.ModuleDict()

        def layer(name: str, before: int, width: int, act: str = activation) -> int:
            self.layers[name] = StarDistUnit(before, width, kernel, act, batch_norm=batch_norm)
            return width

        width = inputs
        for n in range(self.halvings):
            for i in range(convs):
                self.layers[f"grid_{n}_no_{i}"] = StarDistUnit(width, base, kernel, activation)
                width = base
        for n in range(depth):
            for i in range(convs):
                width = layer(f"down_level_{n}_no_{i}", width, widths[n])
        for i in range(convs - 1):
            width = layer(f"middle_{i}", width, widths[depth])
        width = layer(f"middle_{convs}", width, widths[max(0, depth - 1)])
        for n in reversed(range(depth)):
            width += widths[n]
            for i in range(convs - 1):
                width = layer(f"up_level_{n}_no_{i}", width, widths[n])
            last = activation if n else last_activation or activation
            width = layer(f"up_level_{n}_no_{convs}", width, widths[max(0, n - 1)], last)
        wide = features or width
        if features:
            self.layers["features"] = StarDistUnit(width, features, kernel, activation)
        self.layers["prob"] = StarDistUnit(wide, 1, (1, 1), "sigmoid")
        self.layers["dist"] = StarDistUnit(wide, rays, (1, 1))
        if classes:
            if features:
                self.layers["features_class"] = StarDistUnit(width, features, kernel, activation)
            self.layers["prob_class"] = StarDistUnit(wide, classes + 1, (1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The channels that `StarPolygons` takes."""
        for n in range(self.halvings):
            x = self.halve(self._row(x, f"grid_{n}_no_", self.convs))
        skips: list[torch.Tensor] = []
        for n in range(self.depth):
            skips.append(self._row(x, f"down_level_{n}_no_", self.convs))
            x = self.shrink(skips[-1])
        x = self._last(x, "middle_")
        for n in reversed(range(self.depth)):
            x = self._last(torch.cat([self.enlarge(x), skips[n]], 1), f"up_level_{n}_no_")
        features = self._where_there("features", x)
        answers = [self.layers["prob"](features), self.layers["dist"](features)]
        if self.classes:
            scores = self.layers["prob_class"](self._where_there("features_class", x))
            answers.append(scores.softmax(dim=1)[:, 1:])
        return torch.cat(answers, 1)

    def _row(self, x: torch.Tensor, name: str, count: int) -> torch.Tensor:
        for i in range(count):
            x = self.layers[f"{name}{i}"](x)
        return x

    def _last(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """A row of which the last has a number more than its place."""
        found: torch.Tensor = self.layers[f"{name}{self.convs}"](self._row(x, name, self.convs - 1))
        return found

    def _where_there(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return self.layers[name](x) if name in self.layers else x
