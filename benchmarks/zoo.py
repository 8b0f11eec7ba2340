"""Which published architectures are computed exactly, and which are refused? None may be computed wrong.

    python benchmarks/zoo.py                  every architecture of the packages that are installed
    python benchmarks/zoo.py monai smp        only those of some packages
    python benchmarks/zoo.py --only segresnet only those with a word in their name
    python benchmarks/zoo.py --table zoo.tsv  add what is found to a file, and leave out what is in it already
    python benchmarks/zoo.py --limit 300      give up on a network after that many seconds

Packages: monai, torchvision, timm, smp (segmentation-models-pytorch). Networks are not trained: weights are seeded and
batch norms hold the moments of the test image, so that every layer's output has a size worth comparing. Each network is
run tile by tile, in as many passes as it takes, and compared with plain torch on the whole image, in double precision,
where an error of the method cannot hide behind rounding, and in single precision, the way a run computes.
"""

from __future__ import annotations

import argparse
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from napari_seamless.errors import SeamlessError
from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.program.graph import Program
from napari_seamless.program.ops.barrier import Barrier
from napari_seamless.program.passes import plan_passes, settle
from napari_seamless.program.trace import Padded, trace
from napari_seamless.runtime.engine import TorchEngine
from napari_seamless.runtime.engine.moments import MomentsSink

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
PRECISIONS = (torch.float64, torch.float32)
PLANE, VOLUME = (197, 166), (29, 34, 38)
TILE_OF = {2: 64, 3: 16}
ALLOWED, ROUNDINGS = 1e-9, 30
"""The largest difference in double precision, in output standard deviations; and in single precision, as a multiple of
what plain torch's own rounding comes to (the whole image in single against double), which random weights amplify."""


@dataclass(frozen=True)
class Entry:
    """An architecture: how it is made, and the image it is tried on."""

    package: str
    name: str
    make: Callable[[], nn.Module]
    channels: int = 3
    shape: tuple[int, ...] = PLANE


@dataclass(frozen=True)
class Verdict:
    """What came of an architecture; "missing" if the installed version of its package cannot make it, "slow" if it took
    longer than was allowed.

    `double` and `single` are the largest difference between tiles and whole, in output standard deviations; `rounding`
    is plain torch's own, the whole image in single against double precision.
    """

    entry: Entry
    kind: str
    double: float = 0.0
    single: float = 0.0
    rounding: float = 0.0
    reason: str = ""
    seconds: float = 0.0
    passes: int = 0

    def __str__(self) -> str:
        figures = (
            self.reason
            or f"{self.double:8.1e} double {self.single:8.1e} single ({self.rounding:7.1e} torch's own), "
            f"{self.passes} passes"
        )
        return f"{self.kind:8} {self.entry.package:11} {self.entry.name:32} {self.seconds:5.1f} s  {figures}"


class Part(nn.Module):
    """Of a network that returns several tensors, one."""

    def __init__(self, network: nn.Module, key: int | str) -> None:
        super().__init__()
        self.network, self.key = network, key

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.network(x)[self.key]
        return result


def monai_networks() -> Iterator[Entry]:
    from monai.networks import nets

    def add(name: str, make: Callable[[], nn.Module], dims: int = 2, channels: int = 3) -> Entry:
        return Entry("monai", name, make, channels, PLANE if dims == 2 else VOLUME)

    four = {"channels": (8, 12, 16, 24), "strides": (2, 2, 2)}
    kernels = {"kernel_size": (3, 3, 3), "strides": (1, 2, 2), "upsample_kernel_size": (2, 2), "filters": (8, 12, 16)}
    yield add("UNet 2-D", lambda: nets.UNet(2, 3, 2, num_res_units=2, norm="batch", **four))
    yield add("UNet 2-D, no residuals", lambda: nets.UNet(2, 3, 2, norm="batch", act="relu", **four))
    yield add("UNet 2-D, instance norm", lambda: nets.UNet(2, 3, 2, norm="instance", **four))
    yield add("UNet 3-D", lambda: nets.UNet(3, 1, 2, num_res_units=1, norm="batch", **four), 3, 1)
    sizes = (8, 8, 12, 16, 24, 8)
    for dims in (2, 3):
        tail, c = f"{dims}-D", 3 if dims == 2 else 1
        yield add(f"BasicUNet {tail}", lambda d=dims, c=c: nets.BasicUNet(d, c, 2, sizes, norm="batch"), dims, c)
        yield add(f"AttentionUnet {tail}", lambda d=dims, c=c: nets.AttentionUnet(d, c, 2, **four), dims, c)
        yield add(f"SegResNet {tail}", lambda d=dims, c=c: nets.SegResNet(d, 8, c, 2, norm="batch"), dims, c)
        yield add(
            f"SegResNetDS {tail}",
            lambda d=dims, c=c: nets.SegResNetDS(d, 8, c, 2, norm="batch", blocks_down=(1, 2, 2)),
            dims,
            c,
        )
        yield add(f"DynUNet {tail}", lambda d=dims, c=c: nets.DynUNet(d, c, 2, norm_name="batch", **kernels), dims, c)
        yield add(f"VNet {tail}", lambda d=dims: nets.VNet(d, 1, 2, bias=False), dims, 1)
        yield add(f"HighResNet {tail}", lambda d=dims, c=c: nets.HighResNet(d, c, 2, norm_type="batch"), dims, c)
        yield add(
            f"AutoEncoder {tail}",
            lambda d=dims, c=c: nets.AutoEncoder(d, c, 2, (8, 12, 16), (2, 2, 2), norm="batch", num_res_units=1),
            dims,
            c,
        )
    for mode in ("deconv", "nontrainable", "pixelshuffle"):
        yield add(
            f"BasicUNet 2-D, {mode}",
            lambda m=mode: nets.BasicUNet(2, 3, 2, sizes, norm="batch", upsample=m),
        )
        yield add(f"SegResNet 2-D, {mode}", lambda m=mode: nets.SegResNet(2, 8, 3, 2, norm="batch", upsample_mode=m))
    yield add("BasicUNetPlusPlus", lambda: Part(nets.BasicUNetPlusPlus(2, 3, 2, sizes, norm="batch"), 0))
    yield add("FlexibleUNet, resnet18", lambda: nets.FlexibleUNet(3, 2, "resnet18", spatial_dims=2))
    yield add("FlexibleUNet, efficientnet-b0", lambda: nets.FlexibleUNet(3, 2, "efficientnet-b0", spatial_dims=2))
    yield add("DenseNet121 features", lambda: nets.DenseNet121(2, 3, 2).features)
    yield add("DynUNet 2-D, instance norm", lambda: nets.DynUNet(2, 3, 2, norm_name="instance", **kernels))
    yield add("SegResNet 2-D, group norm", lambda: nets.SegResNet(2, 8, 3, 2))
    yield add("MedNeXt S", lambda: nets.MedNeXt(2, 8, 3, 2))
    yield add("SwinUNETR", lambda: nets.SwinUNETR(3, 2, feature_size=12, spatial_dims=2))
    yield add("PatchDiscriminator", lambda: Part(nets.PatchDiscriminator(2, 8, 3, num_layers_d=3, norm="BATCH"), -1))


def torchvision_networks() -> Iterator[Entry]:
    import torchvision.models as tv

    bare = {"weights": None, "weights_backbone": None}

    def add(name: str, make: Callable[[], nn.Module]) -> Entry:
        return Entry("torchvision", name, make)

    yield add("fcn_resnet50", lambda: Part(tv.segmentation.fcn_resnet50(**bare), "out"))
    yield add("deeplabv3_resnet50", lambda: Part(tv.segmentation.deeplabv3_resnet50(**bare), "out"))
    yield add("lraspp_mobilenet_v3", lambda: Part(tv.segmentation.lraspp_mobilenet_v3_large(**bare), "out"))
    for name in ("alexnet", "vgg11", "vgg16_bn", "squeezenet1_1", "mobilenet_v2", "densenet121", "convnext_tiny"):
        yield add(f"{name} features", lambda n=name: getattr(tv, n)(weights=None).features)
    for name in ("mobilenet_v3_large", "efficientnet_b0", "swin_t"):
        yield add(f"{name} features", lambda n=name: getattr(tv, n)(weights=None).features)
    yield add("mnasnet0_5 layers", lambda: tv.mnasnet0_5(weights=None).layers)
    for name in ("resnet18", "resnext50_32x4d", "wide_resnet50_2"):
        yield add(f"{name} stages", lambda n=name: nn.Sequential(*list(getattr(tv, n)(weights=None).children())[:-2]))
    yield add("shufflenet_v2 stages", lambda: nn.Sequential(*list(tv.shufflenet_v2_x0_5(weights=None).children())[:-1]))
    yield add("googlenet stages", lambda: nn.Sequential(*list(_googlenet(tv).children())[:-3]))
    yield add("regnet_x_400mf trunk", lambda: nn.Sequential(*list(tv.regnet_x_400mf(weights=None).children())[:-2]))
    yield add("resnet18 classifier", lambda: tv.resnet18(weights=None))


def _googlenet(tv: object) -> nn.Module:
    network: nn.Module = tv.googlenet(weights=None, aux_logits=False, init_weights=False)  # type: ignore[attr-defined]
    return network


TIMM = (
    "resnet18", "resnet26d", "resnetv2_50", "seresnet18", "wide_resnet50_2", "res2net50_14w_8s", "resnest14d",
    "mobilenetv2_050", "mobilenetv3_small_050", "efficientnet_lite0", "efficientnet_b0", "tf_efficientnet_lite0",
    "tf_mixnet_s", "convnext_atto", "convnextv2_atto", "regnetx_002", "regnety_002", "densenet121", "dla34",
    "hrnet_w18_small", "vgg11_bn", "xception41", "repvgg_a0", "ghostnet_050", "mobileone_s0", "inception_v3",
    "inception_v4", "cspresnet50", "darknet53", "hardcorenas_a", "selecsls42", "dpn48b", "nf_resnet50",
    "eca_resnet33ts", "fastvit_t8", "swin_tiny_patch4_window7_224", "edgenext_xx_small", "pvt_v2_b0",
    "poolformer_s12", "inception_next_atto", "starnet_s1", "repghostnet_050", "lcnet_050", "tinynet_e", "vovnet39a",
    "rexnetr_200", "gernet_s", "skresnet18",
)  # fmt: skip


def timm_networks() -> Iterator[Entry]:
    import timm

    for name in TIMM:
        make = lambda n=name: Part(timm.create_model(n, pretrained=False, features_only=True), -2)  # noqa: E731
        yield Entry("timm", name, make)


SMP_DECODERS = (
    "Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus", "PAN", "UPerNet",
    "Segformer",
)  # fmt: skip
SMP_ENCODERS = (
    "resnet34", "resnext50_32x4d", "vgg11_bn", "densenet121", "mobilenet_v2", "efficientnet-b0", "timm-efficientnet-b0",
    "timm-res2net50_26w_4s", "timm-regnetx_002", "se_resnet50", "xception", "inceptionv4", "inceptionresnetv2", "dpn68",
    "mit_b0", "mobileone_s0", "timm-gernet_s", "timm-mobilenetv3_small_075", "tu-convnext_atto", "tu-hrnet_w18_small",
)  # fmt: skip


def smp_networks() -> Iterator[Entry]:
    import segmentation_models_pytorch as smp

    def make(decoder: str, encoder: str) -> Callable[[], nn.Module]:
        return lambda: getattr(smp, decoder)(encoder, encoder_weights=None, classes=2)

    yield from (Entry("smp", f"{d}, resnet18", make(d, "resnet18")) for d in SMP_DECODERS)
    yield from (Entry("smp", f"Unet, {e}", make("Unet", e)) for e in SMP_ENCODERS)


PACKAGES: dict[str, tuple[str, Callable[[], Iterator[Entry]]]] = {
    "monai": ("monai", monai_networks),
    "torchvision": ("torchvision", torchvision_networks),
    "timm": ("timm", timm_networks),
    "smp": ("segmentation_models_pytorch", smp_networks),
}


def catalogue(packages: tuple[str, ...] = tuple(PACKAGES)) -> list[Entry]:
    """The architectures of the packages that are installed."""
    if find_spec("torchvision") is not None and "libtorch_cuda" not in torch.__config__.show():
        _define_missing_operators()
    found: list[Entry] = []
    for name in packages:
        module, networks = PACKAGES[name]
        if find_spec(module) is not None:
            found += networks()
    return found


def _define_missing_operators() -> None:
    """torchvision's compiled part does not load beside a torch without CUDA; its networks need only these names."""
    if torch.cuda.is_available() or hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _define_missing_operators.library = library  # type: ignore[attr-defined]  # it lives as long as the names


def judge(entry: Entry, limit: int = 0) -> Verdict:
    """Run one architecture in tiles and on the whole image, in both precisions; `limit` in seconds, 0 for none."""
    began = perf_counter()
    torch.manual_seed(0)
    try:
        network = entry.make().eval()
    except (ValueError, TypeError, AttributeError, RuntimeError, AssertionError, KeyError) as failure:
        return Verdict(entry, "missing", reason=str(failure).strip().splitlines()[0][:150])
    image = torch.randn(1, entry.channels, *entry.shape, dtype=torch.float64)
    try:
        with at_most(limit):
            trace(network, tuple(image.shape))
            _calibrate(network, image.float())
            (truth, double, passes), (rounded, single, _) = (
                _run(network.to(kind), image.to(kind)) for kind in PRECISIONS
            )
    except SeamlessError as refusal:
        return Verdict(entry, "refused", reason=_reason(refusal), seconds=perf_counter() - began)
    except TimeoutError:
        return Verdict(entry, "slow", reason=f"not done after {limit} s", seconds=perf_counter() - began)
    scale = max(float(truth.std()), 1e-30)
    errors = [float(np.abs(a - b).max()) / scale for a, b in ((double, truth), (single, rounded), (rounded, truth))]
    is_exact = errors[0] <= ALLOWED and errors[1] <= ROUNDINGS * max(errors[2], 1e-7)
    kind = "exact" if is_exact else "wrong"
    return Verdict(entry, kind, *errors, seconds=perf_counter() - began, passes=passes)


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in what takes longer, as soon as the operator at work is done. Main thread only."""

    def late(*_: object) -> None:
        raise TimeoutError

    if not seconds:
        yield
        return
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _calibrate(network: nn.Module, image: Tensor) -> None:
    """Give every batch norm the moments of what it sees, and a scale and shift that are not trivial."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.affine]
    hooks = [norm.register_forward_pre_hook(_take_moments) for norm in norms]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.7, 1.3)
        nn.init.normal_(norm.bias, 0.0, 0.2)
    sizes = [-(-n // 64) * 64 for n in image.shape[2:]]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network(nn.functional.interpolate(image, size=sizes))
    for hook in hooks:
        hook.remove()


def _take_moments(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    x = inputs[0]
    if norm.running_mean is not None and x.numel() > x.shape[1]:
        over = [d for d in range(x.dim()) if d != 1]
        norm.running_var, norm.running_mean = torch.var_mean(x, over, correction=0)


def _run(network: nn.Module, image: Tensor) -> tuple[Pixels, Pixels, int]:
    """The result on the whole image and in tiles, (c, *shape) float64 both, and the number of passes."""
    program = trace(network, tuple(image.shape), dtype=image.dtype)
    with torch.no_grad():
        whole = (network if program.divisor == 1 else Padded(network, program.divisor))(image)[0].double().numpy()
    tiled = np.full_like(whole, np.nan)
    return whole, tiled, _in_passes(program, image[0].numpy(), tiled)


def _in_passes(program: Program, pixels: Pixels, out: Pixels) -> int:
    """Compute a program tile by tile, one pass after the other, into `out`."""
    known: dict[int, Tensor] = {}
    passes = plan_passes(program)
    for part in passes:
        engine = TorchEngine(part.with_known(known), "cpu")
        grid = Grid(part.shape, tuple(min(TILE_OF[program.ndim], max(1, n // 3)) for n in part.shape))
        moments = MomentsSink([n.operation for n in part.barriers if isinstance(n.operation, Barrier)], grid)
        for cell in cells_of(Region.from_shape(grid.counts)):
            tile = engine.tile(grid.region(cell))
            found = engine.compute(tile, lambda read: pixels[(slice(None), *read.slices())], lambda: False)
            if part.barriers:
                moments.receive(tile.write, found)
            else:
                out[(..., *tile.write.slices())] = found
        if part.barriers:
            states = zip((n.output for n in part.barriers), moments.result(), strict=True)
            known = settle(program, dict(states), known)
    return len(passes)


def _reason(refusal: SeamlessError) -> str:
    text = str(refusal)
    return text.split("; got ", 1)[-1].split("; use a network")[0][:150]


def summary(kinds: list[str]) -> str:
    """One line: how many of which kind."""
    made = [k for k in kinds if k != "missing"]
    counts = ", ".join(f"{made.count(kind)} {kind}" for kind in ("refused", "wrong", "slow"))
    return f"{made.count('exact')} of {len(made)} exact, {counts}"


HEADER = ("verdict", "package", "network", "seconds", "passes", "double", "single", "rounding", "reason")


def row(verdict: Verdict) -> str:
    """A verdict as a line of a table, fields parted by tabs."""
    figures = (f"{n:.1e}" for n in (verdict.double, verdict.single, verdict.rounding))
    head = (verdict.kind, verdict.entry.package, verdict.entry.name, f"{verdict.seconds:.0f}", str(verdict.passes))
    return "\t".join((*head, *figures, verdict.reason.replace("\t", " ")))


def rows(table: Path | None) -> list[list[str]]:
    """What a table holds from earlier runs."""
    if table is None or not table.exists():
        return []
    return [line.split("\t") for line in table.read_text().splitlines()[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Which published architectures are exact?")
    parser.add_argument("packages", nargs="*", choices=[*PACKAGES, []], default=list(PACKAGES))
    parser.add_argument("--only", default="", help="a word in the name")
    parser.add_argument("--table", type=Path, help="a file of lines to add to; networks in it are left out")
    parser.add_argument("--limit", type=int, default=600, help="seconds for each network")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    done = rows(options.table)
    kinds = [fields[0] for fields in done]
    if options.table is not None and not done:
        options.table.write_text("\t".join(HEADER) + "\n")
    for entry in catalogue(tuple(options.packages)):
        if options.only.lower() not in entry.name.lower() or [entry.package, entry.name] in [f[1:3] for f in done]:
            continue
        verdict = judge(entry, options.limit)
        kinds.append(verdict.kind)
        print(verdict, flush=True)
        if options.table is not None:
            with options.table.open("a") as file:
                file.write(row(verdict) + "\n")
    print(summary(kinds))
    sys.exit("wrong" in kinds)


if __name__ == "__main__":
    main()
