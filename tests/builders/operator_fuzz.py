"""Random networks put together from the list of operators by hypothesis, by tiles and in plain torch.

As a script it makes any number of them for each seed, those of `SEEDS` if none is named::

    python tests/builders/operator_fuzz.py --count 300 --seed 0

Each is *right* (equal within rounding), *refused* (in a sentence of ours), or *wrong*; the last may not occur. One seed
draws the same networks each time.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from napari_seamless.errors import SeamlessError
from napari_seamless.program.trace import trace
from operator_networks import CASES, Function
from oracle import by_passes, relative_error, whole

ALLOWED = 1e-9
"""Of the largest value, in double precision."""

LARGEST = 1 << 18
"""Elements, so that functions that enlarge do not do so too often."""

SEEDS = (1,)
"""Of which 300 networks each are known to be right or refused."""

PLAIN: dict[str, Function] = {
    "relu": torch.relu,
    "conv": lambda x: F.conv2d(x, torch.ones(4, x.shape[1], 3, 3, dtype=x.dtype).cumsum(2).sub(3) / 20, padding=1),
    "dilated": lambda x: F.conv2d(x, torch.ones(3, x.shape[1], 3, 3, dtype=x.dtype) / 9, padding=2, dilation=2),
    "valid": lambda x: F.conv2d(x, torch.ones(4, x.shape[1], 3, 3, dtype=x.dtype).cumsum(3) / 30),
    "max-pool": lambda x: F.max_pool2d(x, 2),
    "max-pool-ceil": lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
    "mean-pool": lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    "nearest": lambda x: F.interpolate(x, scale_factor=2.0),
    "bilinear": lambda x: F.interpolate(x, size=(33, 29), mode="bilinear"),
    "corners": lambda x: F.interpolate(x, size=(27, 40), mode="bilinear", align_corners=True),
    "reflect": lambda x: F.pad(x, (2, 1, 1, 2), mode="reflect"),
    "circular": lambda x: F.pad(x, (2, 1, 1, 2), mode="circular"),
    "instance-norm": F.instance_norm,
    "gate": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "row-gate": lambda x: x * x.amax(3, keepdim=True).sigmoid(),
    "column-softmax": lambda x: x.softmax(2) * 9,
    "transposed": lambda x: F.conv_transpose2d(x, torch.ones(x.shape[1], 4, 3, 3, dtype=x.dtype) / 9, stride=2),
    "shuffle": lambda x: F.pixel_shuffle(x[:, :1].expand(-1, 4, -1, -1), 2),
    "unshuffle": lambda x: F.pixel_unshuffle(x[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2], 2)[:, :5],
    "flip": lambda x: x.flip(3),
    "roll": lambda x: x.roll((3, -5), (2, 3)),
    "every-other": lambda x: x[:, :, 1::2, ::2],
    "border": lambda x: F.pad(x[:, :, 2:-2, 2:-2], (2, 2, 2, 2), value=0.5),
    "channels-last": lambda x: F.layer_norm(x.movedim(1, -1), x.shape[1:2]).movedim(-1, 1),
    "tokens": lambda x: x.flatten(2).transpose(1, 2).cumsum(-1).transpose(1, 2).unflatten(2, tuple(x.shape[2:])),
    "rows-as-tokens": lambda x: x - x.mean(3).unsqueeze(3),
    "transpose": lambda x: x.transpose(2, 3),
    "turn": lambda x: x.rot90(1, (2, 3)),
    "sum-with-turned": lambda x: x + x.rot90(2, (2, 3)),
    "windowed": lambda x: x.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2)),
    "cumulated": lambda x: x.cumsum(2) / x.shape[2],
    "tril": lambda x: x.tril(),
    "fourier": lambda x: torch.fft.fft2(x).real / 40,
    "median": lambda x: x - x.median(1, keepdim=True)[0],
    "attention": lambda x: (x.flatten(2).transpose(1, 2) @ x.flatten(2)).softmax(-1)[:, :1, :1, None] * x,
    "first-row": lambda x: x - x[:, :, :1],
    "first-pixel": lambda x: x - x[:, :, 3:4, 4:5],
    "own-size": lambda x: F.interpolate(F.avg_pool2d(x, 2), size=x.shape[2:], mode="bicubic"),
    "detached": lambda x: x.detach() * 2,
    "batched-rows": lambda x: (x.permute(0, 2, 1, 3) * 2).permute(0, 2, 1, 3),
    "stacked": lambda x: torch.stack([x, x.flip(2)], 2).amax(2),
    "wide": lambda x: torch.cat([x, x.flip(3)], 3),
    "tall-zeros": lambda x: torch.cat([x, torch.zeros_like(x[:, :, :3])], 2),
}
LISTED: dict[str, Function] = {case.name: case.function for case in CASES}
FUNCTIONS = {**LISTED, **PLAIN}
NAMES = sorted(FUNCTIONS)
TURNING = ("transpose", "turn")


@dataclass(frozen=True)
class Drawn:
    """The names of a network's functions, in order, its image's size, and the tile."""

    names: tuple[str, ...]
    shape: tuple[int, int]
    tile: int

    def __str__(self) -> str:
        return f"{' > '.join(self.names)} at {self.shape[0]} x {self.shape[1]}, tile {self.tile}"


class Chain(nn.Module):
    """The functions one after the other, plus what the first one made, where sizes still agree.

    An image that was turned on its side in the end is turned back, as networks do it.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.functions = [FUNCTIONS[name] for name in names]
        self.is_turned = sum(name in TURNING for name in names) % 2 == 1

    def forward(self, x: Tensor) -> Tensor:
        first = None
        for function in self.functions:
            x = function(x)
            first = x if first is None else first
        is_alike = first is not None and first.shape == x.shape and first is not x and not self.is_turned
        x = x + first if is_alike and first is not None else x
        return x.transpose(2, 3) if self.is_turned else x


@st.composite
def networks(draw: st.DrawFn, most: int = 5) -> Drawn:
    """Networks of up to that many functions, of which at least plain torch knows the result."""
    shape, tile = draw(st.sampled_from([(30, 44), (31, 23), (24, 40), (17, 50)])), draw(st.sampled_from([7, 11, 16]))
    found = Drawn((), shape, tile)
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=most)):
        longer = Drawn((*found.names, name), shape, tile)
        found = longer if is_runnable(longer) else found
    assume(found.names)
    return found


def is_runnable(network: Drawn) -> bool:
    """Whether plain torch takes it, and gives an image of numbers that are neither astronomic nor mere rounding."""
    pixels = image(network)
    try:
        result, other = (whole(Chain(network.names), p) for p in (pixels, pixels * (1 + 2**-50)))
    except (RuntimeError, IndexError, ValueError, TypeError, AssertionError, UserWarning):
        return False
    is_image = result.dim() == 4 and result.shape[0] == 1 and 0 < result.numel() < LARGEST
    largest = float(result.double().abs().max()) if is_image else 0
    return 1e-6 < largest < 1e6 and float((result.double() - other.double()).abs().max()) < ALLOWED / 100 * largest


def image(network: Drawn) -> Tensor:
    generator = torch.Generator().manual_seed(len(network.names))
    return torch.randn(1, 4, *network.shape, generator=generator, dtype=torch.float64)


def outcome(network: Drawn) -> str:
    """ "right", "refused: ..." or "wrong: ..."."""
    module, pixels = Chain(network.names), image(network)
    try:
        program = trace(module, tuple(pixels.shape), dtype=pixels.dtype)
    except SeamlessError as refusal:
        return f"refused: {str(refusal).partition('; got ')[2][:150]}"
    expected = whole(module, pixels, program.divisor)
    found = by_passes(program, pixels, network.tile)
    if found.shape != expected.shape:
        return f"wrong: a result of {tuple(found.shape)}, not {tuple(expected.shape)}"
    error = relative_error(found.double().numpy(), expected.double())
    return "right" if error <= ALLOWED else f"wrong: off by {error:.1e}"


def outcomes(count: int, number: int) -> Counter[str]:
    """How many of the networks of one seed are right, refused and wrong; those that are not right are printed."""
    seen: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(networks())
    def look(network: Drawn) -> None:
        try:
            result = outcome(network)
        except Exception as error:  # noqa: BLE001 whatever escapes is what is looked for
            result = f"wrong: raised {type(error).__name__}: {str(error)[:150]}"
        seen[result.partition(":")[0]] += 1
        if result != "right":
            print(f"{network}\n    {result}", flush=True)

    look()
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, action="append")
    asked = parser.parse_args()
    wrong = 0
    for number in asked.seed or SEEDS:
        seen = outcomes(asked.count, number)
        print(f"seed {number}: {dict(seen)}", flush=True)
        wrong += seen["wrong"]
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
