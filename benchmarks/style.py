"""Style transfer over a plane: in passes, against the whole image in plain torch.

    python benchmarks/style.py                               2000 x 2000, median of 3 rounds, and the memory of both
    python benchmarks/style.py --size 10000 --budget 2GB     ours alone, from a TIFF to an OME-Zarr, with its time split
    python benchmarks/style.py --size 10000 --device cuda    the same on a GPU, in float32, with TF32 and in bfloat16

The network is that of Johnson et al. 2016 with instance norm, which looks at the whole plane 15 times. Every way runs
in a process of its own: peak memory is what the kernel (on a GPU its allocator) says at the end. Ways are timed in
turn, round after round; look at the ratios. On CPUs the C library of the others is told by environment variables to
keep large buffers, as our engine asks for it by itself. Seconds of the processor are given beside those of the clock,
for machines on which other work goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

KEPT = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
OURS = ("ours, kept", "ours, recomputed")
WHOLE = ("whole image", "whole image, channels last")
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
Pixels = np.ndarray[tuple[int, ...], np.dtype[Any]]


class Painted(nn.Module):
    """The network up to its last convolution: its 8 bits would hide small differences."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.paint(x)  # type: ignore[no-any-return, operator]


def painted(style: str | None) -> nn.Module:
    """A style by name or file of weights, or seeded random weights."""
    from napari_seamless.models.networks.style_transfer import StyleNetwork

    torch.manual_seed(0)
    if style is None:
        return Painted(StyleNetwork()).eval()
    from napari_seamless import load_model

    return Painted(load_model(style).module).eval()


def picture(size: int) -> Pixels:
    """(3, size, size) uint8: smooth colours with grain, uneven on purpose."""
    torch.manual_seed(1)
    coarse = torch.rand(1, 3, size // 64 + 2, size // 64 + 2)
    out = np.empty((3, size, size), np.uint8)
    for channel in range(3):
        smooth = F.interpolate(coarse[:, channel : channel + 1], size=(size, size), mode="bilinear")[0, 0]
        out[channel] = (200 * smooth + 50 * torch.rand(smooth.shape)).to(torch.uint8).numpy()
    out[:, : size // 8, : size // 3] = 245
    return out


@dataclass
class Split:
    """Seconds by what they were spent on. With several threads parts overlap, and their sum exceeds the clock."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        began = perf_counter()
        yield
        self.seconds[part] += perf_counter() - began


def peak(device: str) -> int:
    """Bytes at the worst moment: of this process, or of the GPU's allocator."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def whole(options: argparse.Namespace) -> Pixels:
    """Plain torch on everything at once."""
    order = torch.channels_last if "channels last" in options.way else torch.contiguous_format
    network = painted(options.style).to(options.device, memory_format=order)  # type: ignore[call-overload]
    torch.backends.cudnn.allow_tf32 = False
    with torch.inference_mode():
        image = torch.from_numpy(picture(options.size))[None].float().to(options.device, memory_format=order)
        return timed(lambda: network(image)[0].cpu().contiguous().numpy(), options)


def ours(options: argparse.Namespace) -> Pixels:
    """In passes, with dask, the result's pyramid in memory and the self-check."""
    import napari_seamless as ns

    prepared = ns.prepare(painted(options.style), ns.open_image(picture(options.size), axes="cyx"))
    keep = "recompute" if "recomputed" in options.way else "auto"
    budget = None if options.budget is None else parsed(options.budget)

    def go() -> Pixels:
        handle = ns.start(prepared, device=options.device, keep=keep, tile=options.tile, budget=budget)  # type: ignore[arg-type]
        handle.wait()
        result = handle.result()
        report = result.report
        options.said = (
            f"tile {report.tile[-1]}, kept {report.kept}, {report.self_check}, predicted {report.bytes / 1e6:.0f} MB"
        )
        return np.asarray(result)

    return timed(go, options)


def timed(go: Any, options: argparse.Namespace) -> Pixels:
    """Run once, or as often as rounds are wanted; the times are put into the options."""
    options.times = []
    for _ in range(options.rounds):
        began, worked = perf_counter(), process_time()
        found = go()
        options.times.append((perf_counter() - began, process_time() - worked))
    return found  # type: ignore[no-any-return]


def parsed(budget: str) -> int:
    from napari_seamless.runs.option_text import parse_budget

    return parse_budget(budget)


def one(options: argparse.Namespace) -> None:
    """A way in this process: its times, its memory, and its pixels in a file."""
    found = ours(options) if options.way in OURS else whole(options)
    np.save(options.keep_at, found)
    print(json.dumps({"times": options.times, "peak": peak(options.device), "said": getattr(options, "said", "")}))


def asked(options: argparse.Namespace, way: str, folder: Path) -> tuple[dict[str, Any], Pixels]:
    """A way in another process."""
    file = folder / f"{way}.npy"
    given = ["--way", way, "--keep-at", str(file), "--rounds", "1"]
    for name in ("size", "style", "device", "threads", "tile", "budget"):
        value = getattr(options, name)
        given += [] if value is None else [f"--{name}", str(value)]
    tuned = {} if way in OURS else KEPT
    done = subprocess.run(
        [sys.executable, __file__, *given], env={**os.environ, **tuned}, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1]), np.load(file)


def compare(options: argparse.Namespace) -> None:
    """All ways in turn, and a table."""
    ways = [way for way in (*WHOLE, *OURS) if options.only in way or way == WHOLE[0]]
    took: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    errors: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        expected: Pixels | None = None
        for turn in range(options.rounds):
            for way in ways:
                answer, found = asked(options, way, Path(folder))
                expected = found if expected is None else expected
                errors[way] = float(np.abs(found - expected).max() / expected.std())
                took[way].append(answer)
            print(f"round {turn + 1} of {options.rounds}", file=sys.stderr)
    print(
        f"style network, {options.size} x {options.size}, {options.device}, {options.threads} threads, torch "
        f"{torch.__version__}, median of {options.rounds}; error in output standard deviations"
    )
    print(f"{'':28}{'clock':>9}{'':>7}{'processor':>11}{'':>7}{'peak memory':>13}{'error':>10}")
    middle = {way: [statistics.median(a["times"][0][k] for a in took[way]) for k in (0, 1)] for way in ways}
    for way in ways:
        clock, work = middle[way]
        times = f"{clock:7.1f} s{clock / middle[WHOLE[0]][0]:6.2f}x{work:9.1f} s{work / middle[WHOLE[0]][1]:6.2f}x"
        most = max(a["peak"] for a in took[way]) / 1e6
        print(f"{way:28}{times}{most:10.0f} MB{errors[way]:10.1e}  {took[way][0]['said']}")


def end_to_end(options: argparse.Namespace) -> None:
    """From a TIFF to an OME-Zarr, with what the time went to."""
    import tifffile

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        image = Path(folder) / "picture.tif"
        pixels = np.moveaxis(picture(options.size), 0, -1)
        tifffile.imwrite(image, pixels, tile=(512, 512), photometric="rgb", compression="zlib")
        del pixels
        on_gpu = options.device.startswith("cuda")
        expected: Pixels | None = None
        for precision in PRECISIONS if on_gpu else PRECISIONS[:1]:
            found = written(options, image, Path(folder) / f"{precision}.ome.zarr", precision)
            expected = found if expected is None else expected
            error = np.abs(found.astype(np.float32) - expected.astype(np.float32))
            print(
                f"    against float32: largest {error.max():.3g}, mean {error.mean():.3g} (pixel values 0 to 255)",
                flush=True,
            )


def written(options: argparse.Namespace, image: Path, output: Path, precision: str) -> Pixels:
    """One run with its split: reading, each pass, writing. Gives the pixels of a part of the result."""
    import napari_seamless as ns
    from napari_seamless.interfaces import Progress

    split = Split()
    watched(split)
    began, worked = perf_counter(), process_time()
    if options.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    with split.of("tracing"):
        prepared = ns.prepare(painted(options.style), ns.open_image(image))
    passes: dict[int, float] = {}
    last: list[Any] = [0, perf_counter()]

    def follow(now: Progress) -> None:
        if now.pass_number != last[0]:
            passes[last[0]] = passes.get(last[0], 0.0) + perf_counter() - last[1]
            last[:] = [now.pass_number, perf_counter()]
            print(
                f"    pass {now.pass_number} of {now.passes} after {perf_counter() - began:.1f} s",
                file=sys.stderr,
                flush=True,
            )

    budget = None if options.budget is None else parsed(options.budget)
    handle = ns.start(
        prepared,
        budget=budget,
        tile=options.tile,
        device=options.device,
        output=output,
        keep=options.keep,
        precision=precision,
    )
    while handle.progress().state in ("waiting", "running"):
        follow(handle.progress())
        handle.wait(0.02)
    handle.wait()
    passes[last[0]] = perf_counter() - last[1]
    report = handle.result().report
    seconds, work = perf_counter() - began, process_time() - worked
    memory = f"peak resident memory {peak('cpu') / 1e6:.0f} MB"
    if options.device.startswith("cuda"):
        memory += f", on the device {peak(options.device) / 1e6:.0f} MB"
    print(
        f"{options.size} x {options.size}, {precision}, {options.device}, {options.threads} threads: {seconds:.1f} s "
        f"(processor {work:.1f} s), {options.size**2 / seconds / 1e6:.2f} megapixels a second; {memory}, predicted "
        f"{report.bytes / 1e6:.0f} MB; tile {report.tile[-1]}, {report.passes} passes, kept {report.kept}; "
        f"{report.self_check}"
    )
    print("    " + ", ".join(f"{part} {took:.1f} s" for part, took in split.seconds.items()))
    print("    passes " + " ".join(f"{passes[k]:.1f}" for k in sorted(passes) if k), flush=True)
    edge = min(options.size, 2048)
    return np.asarray(handle.result().store.read(ns.Region.of((0, edge), (0, edge))))


def watched(split: Split) -> None:
    """Note what reading, writing and kept values take, in the threads that do it."""
    from napari_seamless.runtime.engine.activation_store import ActivationStore
    from napari_seamless.runtime.executor.job import TileJob
    from napari_seamless.store.store import Store

    for owner, name, part in (
        (TileJob, "read", "reading"), (Store, "write", "writing"), (ActivationStore, "put", "keeping"),
        (ActivationStore, "get", "fetching"),
    ):  # fmt: skip
        plain = getattr(owner, name)
        plain = getattr(plain, "plain", plain)

        def noted(*given: Any, plain: Any = plain, part: str = part) -> Any:
            with split.of(part):
                return plain(*given)

        noted.plain = plain  # type: ignore[attr-defined]
        setattr(owner, name, noted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--style", help="a shipped style or a file of weights (default: random weights)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tile", type=int)
    parser.add_argument("--budget", help="as 2GB")
    parser.add_argument("--keep", default="auto")
    parser.add_argument("--folder", help="where the large files go (default: the temporary folder)")
    parser.add_argument("--only", default="", help="ways with this in their name, and the whole image")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--keep-at", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.way:
        one(options)
    elif options.size > 4000:
        end_to_end(options)
    else:
        compare(options)


if __name__ == "__main__":
    main()
