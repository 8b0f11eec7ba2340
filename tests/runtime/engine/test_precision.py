"""Fewer digits: where they are rounded, how far that leads, what a result says of it, and what a device cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import barrier_networks
import napari_seamless as ns
import networks
from napari_seamless.errors import BadRequest, DeviceUnavailable, OutputExists
from napari_seamless.geometry import Region
from napari_seamless.program.graph import Program, check
from napari_seamless.program.ops.local import Local
from napari_seamless.program.reduced_precision import in_reduced_precision
from napari_seamless.program.region_program import RegionPrograms
from napari_seamless.program.saved_activations import DeviceSpeed, StorageTier, plan_saved_activations
from napari_seamless.program.spans import Box
from napari_seamless.program.trace import trace
from napari_seamless.runs.precision import place_for
from napari_seamless.runtime.engine import TorchEngine
from napari_seamless.runtime.engine.cpu_fallback import CpuFallback
from napari_seamless.runtime.engine.precision import arithmetic, can_multiply, settle_precision
from napari_seamless.runtime.engine.run_region import run_region
from oracle import by_passes, whole

CPU = torch.device("cpu")
LOW = [torch.bfloat16, torch.float16]
LOCAL = ("unet-transposed", "convnext", "unet-3d")
WHOLE = ("se-resnet-unet", "pspnet")


@cache
def case_of(name: str) -> tuple[nn.Module, Tensor, Program]:
    """A network of the oracles' tables, an image for it, and its program."""
    network, image = made(name)
    return network, image, trace(network, tuple(image.shape))


def made(name: str) -> tuple[nn.Module, Tensor]:
    shape = (16, 40, 48) if name == "unet-3d" else (72, 96)
    torch.manual_seed(1)
    if name in LOCAL:
        case = next(c for c in networks.CASES if c.name == name)
        return networks.made(case), torch.randn(1, case.channels, *shape)
    other = next(c for c in barrier_networks.CASES if c.name == name)
    return barrier_networks.made(other, shape), torch.randn(1, 3, *shape)


def off(found: Tensor, expected: Tensor) -> float:
    """Largest difference in standard deviations."""
    return float((found.float() - expected.float()).abs().max() / expected.float().std())


@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize("name", [*LOCAL, *WHOLE])
def test_a_rounded_program_is_as_far_from_float32_as_torch_itself_in_that_type(name: str, dtype: torch.dtype) -> None:
    network, image, exact = case_of(name)
    program = in_reduced_precision(exact, dtype)
    check(program)
    expected = whole(network, image, exact.divisor)
    with torch.inference_mode(), torch.autocast("cpu", dtype):
        theirs = network(image)
    found = by_passes(program, image.clone(), 1000)
    assert found.dtype == torch.float32
    assert 1e-5 < off(found, expected) < 2 * off(theirs, expected) < 0.2
    keeping = plan_saved_activations(program, [StorageTier("disk", 1 << 50, 1e18)], DeviceSpeed(1e9, 1e9))
    tiled = by_passes(program, image.clone(), 24, keeping.after)
    assert off(tiled, found) < off(theirs, expected), "tiles differ by less than rounding does"


def test_most_values_of_a_rounded_network_take_half_the_bytes() -> None:
    _, _, exact = case_of("unet-transposed")
    program = in_reduced_precision(exact, torch.bfloat16)
    made = [node.output for node in exact.nodes]
    low = [value for value in made if program.values[value].dtype == torch.bfloat16]
    assert len(low) > 0.7 * len(made)
    write = Region.of((0, 64), (0, 64))
    needed = [RegionPrograms(p).at(write).region.peak_bytes for p in (exact, program)]
    assert needed[1] < 0.7 * needed[0]


def test_what_is_made_after_the_last_product_is_float32() -> None:
    class Tail(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.softmax(torch.relu(self.conv(x / 255)) * 7, 1).argmax(1)

    program = in_reduced_precision(trace(Tail().eval(), (1, 1, 40, 40)), torch.bfloat16)
    types = {node.operator: program.values[node.output].dtype for node in program.nodes if node.operator != "cast"}
    assert types["aten.conv2d.default"] == torch.bfloat16
    for operator in ("aten.div.Tensor", "aten.relu.default", "aten.mul.Tensor", "aten.softmax.int"):
        assert types[operator] == torch.float32, operator


def test_float64_networks_are_left_as_they_are() -> None:
    program = trace(nn.Conv2d(1, 1, 3).double().eval(), (1, 1, 30, 30), dtype=torch.float64)
    assert in_reduced_precision(program, torch.bfloat16) is program


def slide() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 200, 180)).astype(np.float32)


def model(norm: bool = False) -> nn.Module:
    torch.manual_seed(0)
    middle = nn.InstanceNorm2d(8) if norm else nn.Identity()
    first = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), middle, nn.ReLU())
    return nn.Sequential(first, nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 3, padding=1)).eval()


def run(network: nn.Module, **options: object) -> ns.Result:
    return ns.run(network, slide(), axes="cyx", tile=64, scheduler="serial", device="cpu", **options)


@pytest.mark.parametrize("norm", [False, True])
def test_a_rounded_result_says_so_and_how_far_it_is_from_float32(norm: bool) -> None:
    network = model(norm)
    result = run(network, precision="bfloat16", keep="disk" if norm else "auto")
    exact = np.asarray(run(network))
    report = result.report
    assert report.self_check is not None
    assert (report.exact, report.precision, report.self_check.exact) == (False, "bfloat16", False)
    assert str(report.self_check).startswith("rounded, in bfloat16, against float32: max difference ")
    really = float(np.abs(np.asarray(result) - exact).max() / exact.std())
    assert 1e-3 < report.self_check.largest < 0.1
    assert report.self_check.largest == pytest.approx(really, rel=0.7)


def test_the_whole_way_of_rounding_is_compared_where_that_is_asked_for() -> None:
    report = run(model(norm=True), precision="bfloat16", compare_to_whole=True).report
    assert report.difference_to_whole is not None
    assert 1e-3 < report.difference_to_whole.largest < 0.1


def test_a_result_is_never_of_two_precisions(tmp_path: Path) -> None:
    output = tmp_path / "out.ome.zarr"
    prepared = ns.prepare(model(), ns.open_image(slide(), axes="cyx"))
    ns.start(prepared, precision="bfloat16", output=output, scheduler="serial").wait()
    with pytest.raises(OutputExists, match="another program"):
        ns.start(prepared, output=output, scheduler="serial")
    again = ns.start(prepared, precision="bfloat16", output=output, scheduler="serial")
    again.wait()
    assert again.result().report.tiles == 0, "the same precision goes on, and all is there"
    attributes = (output / "zarr.json").read_text()
    assert '"precision": "bfloat16"' in attributes
    assert '"scope": "rounded"' in attributes


def test_moments_that_were_measured_with_fewer_digits_say_so() -> None:
    moments = run(model(norm=True), precision="float16").moments
    assert moments is not None
    assert moments.facts["precision"] == "float16"


@pytest.mark.parametrize("factors", [(1e6, 1.0), (5e3, 5e3)], ids=["weights", "values"])
def test_values_beyond_what_float16_reaches_are_refused(factors: tuple[float, float]) -> None:
    network = model()
    with torch.no_grad():
        network[0][0].weight.mul_(factors[0])
        network[1].weight.mul_(factors[1])
    with pytest.raises(BadRequest, match=r"at most 65504; this network goes beyond that .* use precision='bfloat16'"):
        run(network, precision="float16")
    assert np.isfinite(np.asarray(run(network, precision="bfloat16"))).all()


def test_a_blended_run_is_rounded_and_compared_with_float32_too() -> None:
    class Fixed(nn.Module):
        """Takes one size only."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 5, padding=2)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).reshape(1, 2, 64, 64)

    report = run(Fixed().eval(), precision="bfloat16", approximate=True).report
    assert report.mismatch is not None
    assert report.self_check is not None
    assert 1e-4 < report.self_check.largest < 0.1


def test_an_unknown_precision_is_refused_with_the_list() -> None:
    with pytest.raises(BadRequest, match="one of float32, tf32, bfloat16, float16; got 'half'"):
        run(model(), precision="half")


def test_the_tile_that_fits_in_a_budget_follows_the_precision() -> None:
    prepared = ns.prepare(model(norm=True), ns.open_image(np.zeros((3, 3000, 3000), np.uint8), axes="cyx"))
    needed = {p: dict(ns.tile_for(prepared, 1 << 28, "cpu", p).choices)[512] for p in ("float32", "bfloat16")}
    assert needed["bfloat16"] < needed["float32"]


# -- what a device cannot do, with a fake in its place


@pytest.mark.parametrize("wanted", ["bfloat16", "float16"])
def test_a_type_that_a_device_lacks_falls_back_to_float32_with_a_notice(wanted: str) -> None:
    settled = settle_precision(wanted, torch.device("mps"), can=lambda _, __: False)
    assert settled.precision == "float32"
    assert settled.notice == f"the device mps computes no {wanted}: computed in float32, which is not rounded"


def test_a_type_without_instructions_is_kept_with_a_notice() -> None:
    settled = settle_precision("bfloat16", CPU, is_quick=lambda _, __: False)
    assert settled.precision == "bfloat16"
    assert "this CPU has no instructions for bfloat16" in settled.notice


def test_tf32_is_for_devices_that_have_it() -> None:
    cuda = torch.device("cuda")
    assert settle_precision("tf32", cuda, has_tf32=lambda _: True).precision == "tf32"
    assert settle_precision("tf32", cuda, has_tf32=lambda _: False).precision == "float32"
    result = run(model(), precision="tf32")
    assert result.report.exact
    assert result.report.notices == ("this CPU has no tf32: computed in float32, which is not rounded",)


@pytest.mark.parametrize("tf32", [False, True])
def test_torchs_switches_are_set_while_a_tile_is_computed_and_put_back(tf32: bool) -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with arithmetic(torch.device("cuda"), tf32=tf32):
        assert torch.backends.cudnn.allow_tf32 is tf32
        assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


def float64_network() -> ns.Prepared:
    class Double(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.double() * 2

    return ns.prepare(Double(), ns.open_image(slide(), axes="cyx"))


def test_float64_on_a_device_without_it_is_refused_by_name_and_goes_to_the_cpu_by_itself() -> None:
    prepared = float64_network()
    with pytest.raises(DeviceUnavailable, match=r"needs a device that computes them; this CPU does not; use the cpu"):
        place_for(prepared, "cpu", can=lambda _, __: False)
    place, notice = place_for(prepared, "auto", can=lambda _, dtype: dtype != torch.float64)
    assert place.type == "cpu"
    assert "computes in float64" in notice
    assert place_for(prepared, "cpu") == (CPU, "")


def test_what_a_device_can_is_found_by_trying() -> None:
    assert can_multiply(CPU, torch.float64)
    assert can_multiply(CPU, torch.bfloat16)
    assert not can_multiply(torch.device("meta"), torch.float32), "nothing comes back from there"


@dataclass(frozen=True)
class Missing(Local):
    """An operator that the fake device lacks: constants know whether they lie on the host."""

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        if "on the host" not in constants:
            raise NotImplementedError(f"The operator '{self.target}' is not implemented for the FAKE device")
        return super().run(inputs, constants, have, want)


def lacking(program: Program, operator: str) -> Program:
    """The program on a device without that operator."""
    nodes = [replace(n, operation=Missing(**vars(n.operation))) if n.operator == operator else n for n in program.nodes]
    return replace(program, nodes=tuple(nodes))


def test_an_operator_that_a_device_lacks_is_computed_on_the_cpu_and_said() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Softplus(), nn.Conv2d(2, 1, 3)).eval()
    image = torch.rand(1, 1, 40, 40)
    program = lacking(trace(network, tuple(image.shape)), "aten.softplus.default")
    placed = RegionPrograms(program).at(Region.of((0, 36), (0, 36)))
    with torch.inference_mode():
        with pytest.raises(NotImplementedError, match="softplus"):
            run_region(program, placed, image.clone(), lambda: False)
        fallback = CpuFallback(CPU, {**program.constants, "on the host": torch.zeros(())})
        found = run_region(program, placed, image.clone(), lambda: False, fallback=fallback)
        torch.testing.assert_close(found, network(image))
    assert fallback.notices == ("cpu has no aten.softplus.default: computed on the CPU, which is slower",)


def test_a_cpu_has_nobody_to_ask_for_help() -> None:
    image = torch.rand(1, 1, 40, 40)
    program = lacking(trace(nn.Softplus(), tuple(image.shape)), "aten.softplus.default")
    engine = TorchEngine(program, "cpu")
    with pytest.raises(NotImplementedError, match="softplus"):
        engine.compute(engine.tile(Region.of((0, 9), (0, 9))), lambda _: image[0].numpy(), lambda: False)
