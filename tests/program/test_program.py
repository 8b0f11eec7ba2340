"""What a program says of itself: work, memory, shape classes, divisors, and why it is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from napari_seamless.errors import InputMismatch, NotTileable, RunCancelled, TraceFailed
from napari_seamless.geometry import Grid, Region
from napari_seamless.program.analysis import halo, inner_tile, program_hash, redundancy, stride
from napari_seamless.program.region_program import RegionPrograms
from napari_seamless.program.trace import trace
from napari_seamless.runtime.engine import TorchEngine
from networks import CASES, Case, UNet, image_for, made
from oracle import Tiled, by_passes, relative_error, whole


class PlainUNet(nn.Module):
    """The U-Net of the issue: depth 4, two 3x3 convolutions a step, nearest upsampling."""

    def __init__(self, base: int) -> None:
        super().__init__()
        widths = [base * 2**k for k in range(5)]
        self.down = nn.ModuleList(_double(i, o) for i, o in zip([3, *widths], widths, strict=False))
        self.back = nn.ModuleList(_double(widths[k] + widths[k + 1], widths[k]) for k in range(4))
        self.head = nn.Conv2d(base, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for k, layer in enumerate(self.down):
            x = layer(x)
            if k < 4:
                skips.append(x)
                x = F.max_pool2d(x, 2)
        for k in reversed(range(4)):
            x = self.back[k](torch.cat([skips[k], F.interpolate(x, scale_factor=2)], 1))
        return self.head(x)


def _double(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in (inputs, outputs):
        layers += [nn.Conv2d(i, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


@pytest.fixture(scope="module")
def gigapixel() -> RegionPrograms:
    """The U-Net at 100 000 x 100 000."""
    return RegionPrograms(trace(PlainUNet(64), (1, 3, 100_000, 100_000)))


@pytest.mark.parametrize(("tile", "most"), [(512, 1.32), (1024, 1.15), (2048, 1.07)])
def test_a_tile_costs_hardly_more_arithmetic_than_its_share_of_the_image(
    gigapixel: RegionPrograms, tile: int, most: float
) -> None:
    per_pixel, times = redundancy(gigapixel, (tile, tile))
    assert per_pixel == pytest.approx(849_728)
    assert times <= most + 0.005


def test_a_gigapixel_plan_needs_a_few_dozen_region_programs() -> None:
    regions = RegionPrograms(trace(PlainUNet(4), (1, 3, 100_000, 100_000)))
    grid = Grid((100_000, 100_000), (1024, 1024))
    for y in (*range(4), 40, 41, *range(94, 98)):
        for x in (*range(4), 50, *range(94, 98)):
            regions.at(grid.region((y, x)))
    assert len(regions) <= 36


def test_the_halo_is_derived_and_the_same_on_every_side_of_a_symmetric_network() -> None:
    program = trace(
        nn.Sequential(nn.Conv2d(3, 4, 7, padding=3), nn.Conv2d(4, 4, 3, padding=4, dilation=4)), (1, 3, 500, 400)
    )
    assert [halo(program, axis, 64) for axis in range(2)] == [(7, 7), (7, 7)]
    assert [stride(program, axis) for axis in range(2)] == [1, 1]


def test_the_stride_of_a_u_net_is_that_of_its_deepest_level(gigapixel: RegionPrograms) -> None:
    assert stride(gigapixel.program, 0) == 16


def test_other_weights_make_another_program_and_the_same_ones_the_same() -> None:
    case = CASES[0]
    hashes = [program_hash(trace(made(case, seed=seed), (1, 3, 64, 64))) for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_network_that_wants_divisible_sizes_is_found_out_and_padded() -> None:
    network = made(Case("u", lambda: UNet("transposed")))
    assert trace(network, (1, 3, 67, 91)).divisor == 8
    assert trace(network, (1, 3, 64, 96)).divisor == 1


def test_the_divisor_is_that_of_the_network_where_a_smaller_one_pads_this_image_alike() -> None:
    """To multiples of 4 and of 8 an edge of 71 is padded to 72 all the same."""
    network = made(Case("u", lambda: UNet("transposed")))
    assert trace(network, (1, 3, 71, 71)).divisor == 8
    assert trace(network, (1, 3, 71, 95)).divisor == 8


def test_a_divisor_is_found_by_few_looks_at_the_network() -> None:
    class Counting(UNet):
        looks = 0

        def forward(self, x: Tensor) -> Tensor:
            self.looks += 1
            return super().forward(x)

    network = Counting("transposed").eval()
    assert trace(network, (1, 3, 67, 91)).divisor == 8
    assert network.looks <= 5


@pytest.mark.parametrize("shape", [(3, 5), (1, 1), (7, 1)])
def test_an_image_smaller_than_the_padding_it_needs_is_padded_all_the_same(shape: tuple[int, int]) -> None:
    case = Case("u", lambda: UNet("transposed"))
    network, image = made(case), image_for(case, shape)
    tiled = Tiled.of(network, image)
    assert relative_error(tiled.in_tiles(64), whole(network, image, tiled.program.divisor)) <= 1e-5


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return (tokens @ tokens.transpose(1, 2)).softmax(-1) @ tokens


class Sorted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).sort(2)[0].view(x.shape)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Attention(), r"aten\.(matmul|bmm).*positions with positions \(attention\)"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), Sorted()),
            r"aten\.sort.* at layer '1'.*several spatial axes were flattened",
        ),
    ],
    ids=["attention", "sorted-plane"],
)
def test_what_needs_the_whole_plane_at_once_is_refused_by_operator_and_layer(network: nn.Module, said: str) -> None:
    with pytest.raises(NotTileable, match=said):
        trace(network.eval(), (1, 3, 32, 32))


def test_an_operator_without_a_rule_is_refused_by_name() -> None:
    class Fourier(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft2(x).real

    with pytest.raises(
        NotTileable, match=r"fft2.*line \d+ of test_program.py, `return torch.fft.fft2\(x\).*truly global"
    ):
        trace(Fourier(), (1, 3, 32, 32))


class Blocks(nn.Module):
    """The largest of each block of y by x pixels, beside the pixels."""

    def __init__(self, y: int, x: int) -> None:
        super().__init__()
        self.y, self.x = y, x

    def forward(self, image: Tensor) -> Tensor:
        n, c, h, w = image.shape
        most = image.view(n, c, h // self.y, self.y, w // self.x, self.x).amax((3, 5))
        return most.repeat_interleave(self.y, 2).repeat_interleave(self.x, 3) + image


@pytest.mark.parametrize(
    ("blocks", "shape", "divisor"),
    [
        ((10, 10), (103, 71), 10),
        ((14, 10), (101, 71), (14, 10)),
        ((7, 7), (50, 60), 7),
        ((3, 5), (50, 61), (3, 5)),
        ((11, 11), (50, 60), 11),
    ],
)
def test_any_divisor_is_found_for_each_axis(
    blocks: tuple[int, int], shape: tuple[int, int], divisor: int | tuple[int, int]
) -> None:
    image = torch.randn(1, 3, *shape)
    program = trace(Blocks(*blocks), tuple(image.shape))
    assert program.divisor == divisor
    assert torch.equal(by_passes(program, image, 32), whole(Blocks(*blocks), image, divisor))


@pytest.mark.parametrize(
    ("name", "kind"), [("modules", nn.ModuleList), ("modules", list), ("children", nn.ModuleList)], ids=str
)
def test_a_part_may_have_the_name_of_one_of_torchs_methods(name: str, kind: type) -> None:
    class Shadowing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 4, 3)
            setattr(self, name, kind([self.a]))

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x)

    network = Shadowing()
    before = dict(network._modules)
    assert len(trace(nn.Sequential(network), (1, 3, 32, 32)).nodes) == 1
    assert network._modules == before


def test_all_refusals_are_listed_for_an_explanation() -> None:
    class Scattered(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.masked_scatter(x > 0, x)

    network = nn.Sequential(Scattered(), nn.Conv2d(3, 4, 3, padding=1), Scattered()).eval()
    found = trace(network, (1, 3, 32, 32), refuse=False).refusals
    assert [(r.operator, r.path) for r in found] == [("aten.masked_scatter.default", path) for path in ("0", "2")]


def test_wrong_channels_and_too_small_images_are_told_apart() -> None:
    network = nn.Conv2d(3, 4, 9)
    with pytest.raises(InputMismatch, match="must have the same number of channels; the image has 1"):
        trace(network, (1, 1, 32, 32))
    with pytest.raises(InputMismatch, match="must not be smaller than the network's minimum; it is 5 x 32"):
        trace(network, (1, 3, 5, 32))


def test_tracing_can_be_cancelled_and_has_a_limit() -> None:
    with pytest.raises(RunCancelled, match="cancelled before it was done"):
        trace(UNet("nearest"), (1, 3, 64, 64), cancelled=lambda: True)
    with pytest.raises(TraceFailed, match="must end within 0 s"):
        trace(UNet("nearest"), (1, 3, 64, 64), time_limit=0)


def test_a_network_that_branches_on_pixels_is_refused() -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 1 if x.sum() > 0 else x

    own_line = r"whatever the pixel values.*test_program\.py:\d+ \(return x \+ 1 if x\.sum\(\) > 0 else x\)"
    with pytest.raises(TraceFailed, match=own_line):
        trace(Branch(), (1, 3, 32, 32))


def test_training_mode_is_left_as_it_was() -> None:
    network = UNet("nearest").train()
    trace(network, (1, 3, 64, 64))
    assert network.training


def measured_peak(engine: TorchEngine, image: Tensor, write: Region) -> int:
    def read(region: Region) -> object:
        return image[0][(slice(None), *region.slices())].numpy()

    tile = engine.tile(write)
    engine.compute(tile, read, lambda: False)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        engine.compute(tile, read, lambda: False)
    """The allocator's own count of bytes alive at once, over a second run of one tile."""
    current = peak = 0
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        current += event.nbytes()
        peak = max(peak, current)
    return peak


@pytest.mark.parametrize("name", ["unet-nearest", "unet-bilinear", "fpn", "resnet", "convnext", "densenet"])
@pytest.mark.parametrize("tile", [256, 448])
def test_the_predicted_peak_is_within_a_quarter_of_what_is_allocated(name: str, tile: int) -> None:
    case = next(c for c in CASES if c.name == name)
    network, image = made(case), image_for(case, (768, 768))
    engine = TorchEngine(trace(network, tuple(image.shape)), "cpu", fast=False)
    write = inner_tile((768, 768), (tile, tile))
    placed = engine._regions.at(write)
    measured = measured_peak(engine, image, write)
    assert measured == pytest.approx(placed.region.peak_bytes, rel=0.25)


# -- random graphs


@st.composite
def graphs(draw: st.DrawFn) -> nn.Module:
    """Up to five layers of kinds that change the grid, on two channels."""
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 5))):
        kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 2))
        reach = dilation * (kernel - 1)
        match draw(st.sampled_from(["conv", "up", "max", "avg", "resize"])):
            case "conv":
                padding = draw(st.integers(0, reach)) if reach else 0
                layers.append(nn.Conv2d(2, 2, kernel, draw(st.integers(1, 3)), padding, dilation))
            case "up":
                step = draw(st.integers(1, 3))
                layers.append(nn.ConvTranspose2d(2, 2, kernel, step, draw(st.integers(0, (kernel - 1) // 2)), step - 1))
            case "max":
                layers.append(nn.MaxPool2d(kernel, draw(st.integers(1, 3)), kernel // 2, ceil_mode=draw(st.booleans())))
            case "avg":
                layers.append(
                    nn.AvgPool2d(kernel, draw(st.integers(1, 3)), kernel // 2, draw(st.booleans()), draw(st.booleans()))
                )
            case _:
                mode = draw(st.sampled_from(["nearest", "bilinear"]))
                layers.append(nn.Upsample(scale_factor=draw(st.sampled_from([0.5, 1.5, 2, 3])), mode=mode))
    return nn.Sequential(*layers).double().eval()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(graphs(), st.integers(12, 60), st.integers(12, 60), st.data())
def test_any_region_of_any_graph_is_that_region_of_the_whole(
    network: nn.Module, h: int, w: int, data: st.DataObject
) -> None:
    image = torch.randn(1, 2, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(h * 61 + w))
    try:
        expected = whole(network, image)
    except RuntimeError:
        return
    tiled = Tiled.of(network, image)
    bounds = []
    for size in tiled.shape:
        lo = data.draw(st.integers(0, size - 1))
        bounds.append((lo, data.draw(st.integers(lo + 1, size))))
    write = Region.of(*bounds)
    part = expected[0][(slice(None), *write.slices())]
    assert relative_error(tiled.region(write), part) <= 1e-11 * max(
        1.0, float(expected.abs().max() / part.abs().max().clamp(min=1e-9))
    )
