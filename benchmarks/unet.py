"""A U-Net over a plane: on demand in tiles, against the whole image, usual haloed tiles and MONAI's sliding window.

    python benchmarks/unet.py                               2048 x 2048, depth 4, base 16, median of 5 rounds
    python benchmarks/unet.py --device cuda --base 64 --size 8192
    python benchmarks/unet.py --profile                     where the time of our tiles goes

Every way gets the image as a numpy array and gives one back. Ways are timed in turn, round after round, so that a
noisy machine is noisy for all; look at the ratios. The C library matters as much as the method on CPUs: glibc gives
large buffers back to the kernel and has it clear them again. `default` is how anybody's Python is, `tuned` is told by
environment variables to keep them. Our engine asks for that itself, by mallopt, so that it is `tuned` always; in the
column `default` that call is left out. Each column has processes of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROI = 512
STRIDE = 16
KEPT = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
OURS = ("engine, tile 512", "engine, tile 1024", "run, tile 512", "run, tile 1024")
THEIRS = ("whole image", "whole image, channels last", "haloed, tile 512", "haloed, tile 1024", "MONAI 0.25 constant",
          "MONAI 0.5 gaussian")  # fmt: skip
Pixels = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def twice(inputs: int, outputs: int) -> nn.Sequential:
    """Two times convolution, batch norm and ReLU."""
    layers: list[nn.Module] = []
    for first in (inputs, outputs):
        layers += [nn.Conv2d(first, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Ronneberger et al. 2015 with padding and batch norm: depth 4, `base` channels at the top, resized by nearest."""

    def __init__(self, base: int) -> None:
        super().__init__()
        widths = [base * 2**k for k in range(5)]
        self.down = nn.ModuleList(twice(i, o) for i, o in zip([3, *widths], widths, strict=False))
        self.back = nn.ModuleList(twice(widths[k] + widths[k + 1], widths[k]) for k in range(4))
        self.head = nn.Conv2d(base, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for layer in self.down[:-1]:
            skips.append(layer(x))
            x = F.max_pool2d(skips[-1], 2)
        x = self.down[-1](x)
        for k in reversed(range(4)):
            x = self.back[k](torch.cat([skips.pop(), F.interpolate(x, scale_factor=2)], 1))
        return self.head(x)  # type: ignore[no-any-return]


def network(base: int) -> nn.Module:
    """Seeded, with batch norms that hold the moments of what they see: an untrained one's output is all but flat."""
    torch.manual_seed(0)
    model = UNet(base)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(torch.randn(1, 3, 128, 128))
    return model.eval()


@dataclass
class Bench:
    """All ways on one image, (3, size, size) float32 in [0, 1)."""

    size: int
    base: int
    device: str

    def __post_init__(self) -> None:
        self.model = network(self.base)
        coarse = torch.rand(1, 3, self.size // 32 + 1, self.size // 32 + 1)
        smooth = F.interpolate(coarse, size=(self.size, self.size), mode="bilinear")
        self.image = (0.7 * smooth + 0.3 * torch.rand(smooth.shape))[0].numpy()
        self.placed = self.model.to(self.device)
        torch.backends.cudnn.allow_tf32 = False  # all ways in true single precision
        self.made: dict[str, Callable[[], Pixels]] = {}

    def way(self, name: str) -> Callable[[], Pixels]:
        """What to time, made ready at the first call."""
        if name not in self.made:
            kind, _, tile = name.partition(", tile ")
            makers: dict[str, Callable[[], Callable[[], Pixels]]] = {
                "whole image": lambda: self.whole(self.placed, torch.contiguous_format),
                "whole image, channels last": self.whole_channels_last,
                "haloed": lambda: self.haloed(int(tile)),
                "engine": lambda: self.engine(int(tile)),
                "run": lambda: self.run(int(tile)),
                "MONAI 0.25 constant": lambda: self.monai(0.25, "constant"),
                "MONAI 0.5 gaussian": lambda: self.monai(0.5, "gaussian"),
            }
            self.made[name] = makers[kind]()
        return self.made[name]

    def whole(self, model: nn.Module, order: torch.memory_format) -> Callable[[], Pixels]:
        def go() -> Pixels:
            with torch.inference_mode():
                image = torch.from_numpy(self.image)[None].to(self.device, memory_format=order)
                return model(image)[0].cpu().contiguous().numpy()  # type: ignore[no-any-return]

        return go

    def whole_channels_last(self) -> Callable[[], Pixels]:
        model = network(self.base).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self.whole(model, torch.channels_last)

    def haloed(self, tile: int) -> Callable[[], Pixels]:
        """The whole network on each tile and its halo, the smallest one that is exact, and the middle of the result."""
        from napari_seamless.program.analysis import halo

        program = self.program()
        reach = max(halo(program, 0, tile))
        reach = -(-reach // STRIDE) * STRIDE
        size = self.size

        def go() -> Pixels:
            out = np.empty((2, size, size), np.float32)
            with torch.inference_mode():
                for y, x in corners(size, tile):
                    top, left = max(0, y - reach), max(0, x - reach)
                    piece = self.image[:, top : y + tile + reach, left : x + tile + reach]
                    done = self.placed(torch.from_numpy(piece)[None].to(self.device))[0]
                    done = done[:, y - top : y - top + tile, x - left : x - left + tile]
                    out[:, y : y + tile, x : x + tile] = done.cpu().numpy()
            return out

        return go

    def program(self) -> Any:
        from napari_seamless.program.trace import trace

        return trace(network(self.base), (1, 3, self.size, self.size))

    def engine(self, tile: int) -> Callable[[], Pixels]:
        """Our region programs, one after the other, without scheduler and store."""
        from napari_seamless.geometry import Region
        from napari_seamless.runtime.engine import TorchEngine

        engine = TorchEngine(self.program(), self.device)
        size = self.size

        def go() -> Pixels:
            out = np.empty((2, size, size), np.float32)
            for y, x in corners(size, tile):
                write = Region.of((y, min(y + tile, size)), (x, min(x + tile, size)))
                made = engine.compute(
                    engine.tile(write), lambda read: self.image[(slice(None), *read.slices())], lambda: False
                )
                out[(slice(None), *write.slices())] = made
            return out

        return go

    def run(self, tile: int) -> Callable[[], Pixels]:
        """What a user calls: dask, the result's pyramid in memory, and the self-check, too."""
        import napari_seamless as ns

        prepared = ns.prepare(network(self.base), ns.open_image(self.image, axes="cyx"))

        def go() -> Pixels:
            handle = ns.start(prepared, tile=tile, device=self.device)
            handle.wait()
            return np.asarray(handle.result())

        return go

    def monai(self, overlap: float, mode: str) -> Callable[[], Pixels]:
        from monai.inferers import sliding_window_inference

        def go() -> Pixels:
            with torch.inference_mode():
                image = torch.from_numpy(self.image)[None]
                done: Any = sliding_window_inference(
                    image, ROI, 1, self.placed, overlap=overlap, mode=mode, sw_device=self.device, device="cpu"
                )
            return done[0].numpy()  # type: ignore[no-any-return]

        return go


def corners(size: int, tile: int) -> Iterator[tuple[int, int]]:
    return ((y, x) for y in range(0, size, tile) for x in range(0, size, tile))


def serve(bench: Bench, without_mallopt: bool) -> None:
    """In a process of its own: read the name of a way from a line, answer with its seconds, or "error NAME"."""
    if without_mallopt:
        from napari_seamless.runtime.engine import torch_engine

        buffers = torch_engine.LargeBuffers
        torch_engine.LargeBuffers = lambda **_: buffers(reuse=False)
    expected: Pixels | None = None
    for line in sys.stdin:
        command, _, name = line.strip().partition(":")
        way = bench.way(name)
        if command == "error":
            expected = bench.way("whole image")() if expected is None else expected
            answer = float(np.abs(way() - expected).max() / expected.std())
        else:
            began = perf_counter()
            way()
            answer = perf_counter() - began
        print(json.dumps(answer), flush=True)


class Served:
    """The other end of `serve`."""

    def __init__(self, options: argparse.Namespace, environment: dict[str, str], *flags: str) -> None:
        given = ["--size", str(options.size), "--base", str(options.base), "--device", options.device]
        given += ["--threads", str(options.threads)]
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", *given, *flags],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, command: str, name: str) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(f"{command}:{name}", file=self._process.stdin, flush=True)
        return float(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def compare(options: argparse.Namespace) -> None:
    """Time everything and print a table."""
    on_cpu = options.device == "cpu"
    columns: dict[str, dict[str, Served]] = {"default": {}, "tuned": {}} if on_cpu else {"default": {}}
    started = []
    for column, environment in (("default", {}), ("tuned", KEPT))[: len(columns)]:
        theirs = Served(options, environment)
        ours = Served(options, {}, *(["--without-mallopt"] if column == "default" and on_cpu else []))
        started += [theirs, ours]
        columns[column] = {name: theirs for name in THEIRS} | {name: ours for name in OURS}
    names = [name for name in (*THEIRS, *OURS) if options.only in name or name == "whole image"]
    pairs = [(name, column) for name in names for column in columns]
    errors = {name: columns[column][name].ask("error", name) for name, column in pairs}  # which warms up, too
    seconds: dict[tuple[str, str], list[float]] = {pair: [] for pair in pairs}
    for turn in range(options.rounds):
        for name, column in pairs:
            seconds[name, column].append(columns[column][name].ask("time", name))
        print(f"round {turn + 1} of {options.rounds}", file=sys.stderr)
    for served in started:
        served.close()
    report(options, names, list(columns), errors, {k: statistics.median(v) for k, v in seconds.items()})


def report(
    options: argparse.Namespace,
    names: list[str],
    columns: list[str],
    errors: dict[str, float],
    middle: dict[tuple[str, str], float],
) -> None:
    print(
        f"U-Net depth 4, base {options.base}, {options.size} x {options.size}, {options.device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, median of {options.rounds}"
    )
    print("seconds, and as a multiple of the whole image in the same column; error in output standard deviations")
    print(f"{'':28}" + "".join(f"{c:>18}" for c in columns) + f"{'error':>10}")
    for name in names:
        cells = (f"{middle[name, c]:9.2f} {middle[name, c] / middle['whole image', c]:7.2f}x" for c in columns)
        print(f"{name:28}" + "".join(f"{cell:>18}" for cell in cells) + f"{errors[name]:10.1e}")


def profile(options: argparse.Namespace) -> None:
    """Which operators our tiles and the whole image spend their time in."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    bench = Bench(options.size, options.base, options.device)
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if options.device != "cpu" else [])
    for name in ("engine, tile 512", "engine, tile 1024", "whole image"):
        way = bench.way(name)
        way()
        with profiled(activities=kinds) as profiler:
            way()
        print(name)
        by = "self_cpu_time_total" if options.device == "cpu" else "self_device_time_total"
        print(profiler.key_averages().table(sort_by=by, row_limit=12, max_name_column_width=40))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--base", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="ways with this in their name, and the whole image")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--without-mallopt", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.serve:
        serve(Bench(options.size, options.base, options.device), options.without_mallopt)
    elif options.profile:
        profile(options)
    else:
        compare(options)


if __name__ == "__main__":
    main()
