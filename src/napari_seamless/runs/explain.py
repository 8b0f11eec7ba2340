"""What would happen, and why, before anything is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

from napari_seamless.errors import ModelError, TraceFailed
from napari_seamless.geometry import Grid, Region
from napari_seamless.interfaces import Source
from napari_seamless.io.readers import open_image
from napari_seamless.models import Model, load_model
from napari_seamless.program.analysis import halo, operators, redundancy, stride
from napari_seamless.program.graph import Program
from napari_seamless.program.passes import barriers_of, count_passes
from napari_seamless.program.region_program import RegionPrograms
from napari_seamless.program.saved_activations import ActivationPlan
from napari_seamless.program.trace import trace
from napari_seamless.runs.approximation import approximation
from napari_seamless.runs.channels import by_name
from napari_seamless.runs.exact_passes import plan_activations
from napari_seamless.runs.pixel_size import PixelSize, at_resolution
from napari_seamless.runs.precision import in_precision, place_for
from napari_seamless.runs.prepare import AnyModel, check_fit, on_cpu, prepared_from
from napari_seamless.runs.roi import output_region
from napari_seamless.runs.tiling import choice_for, parse_budget
from napari_seamless.runtime.engine import TorchEngine
from napari_seamless.runtime.planning import TileChoice, readable

WHERE = {"device": "on the device", "host": "in host memory", "disk": "on disk"}


@dataclass(frozen=True)
class Explanation:
    """How a model would be run on an image; `str()` is a text for a terminal.

    `halo` is (before, after) in input pixels and `stride` in output pixels, one an axis. `redundancy` is the
    multiply-adds of a tile per output pixel, as a multiple of the whole image's (`macs_per_pixel`). `tiles` are those
    that touch the `region`, in output pixels, that was asked about (None: everything). A model with `refusals` is not
    run exactly; `instead` says what would be run if one asks for an approximate result, and the rest is None or empty
    then.
    """

    model: str
    image: str
    input_shape: tuple[int, ...]
    operators: dict[str, int]
    refusals: tuple[str, ...]
    instead: tuple[str, ...] = ()
    output_shape: tuple[int, ...] = ()
    region: Region | None = None
    output_dtype: str = ""
    divisor: int = 1
    halo: tuple[tuple[int, int], ...] = ()
    stride: tuple[int, ...] = ()
    choice: TileChoice | None = None
    tiles: int = 0
    passes: int = 0
    barriers: dict[str, int] = field(default_factory=dict)
    kept: str = ""
    macs_per_pixel: float = 0.0
    redundancy: float = 0.0
    device: str = ""
    precision: str = "float32"
    notices: tuple[str, ...] = ()

    @property
    def is_exact(self) -> bool:
        """Whether it can be run, exactly, tile by tile."""
        return not self.refusals

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        axes = "zyx"[-(len(self.input_shape) - 2) :]
        yield f"model        {self.model}"
        _, channels, *sizes = self.input_shape
        yield f"image        {self.image}, {_times(tuple(sizes))} ({' x '.join(axes)}), {channels} channels"
        if self.operators:
            yield f"operators    {', '.join(f'{_short(name)} {count}' for name, count in self.operators.items())}"
        if self.refusals:
            yield "refused      it cannot be computed exactly tile by tile:"
            yield from (f"             {r}" for r in self.refusals)
            yield from (
                f"{name:<13}{line}"
                for name, line in zip(chain(["approximate"], repeat("")), self.instead, strict=False)
            )
            return
        yield f"output       {_times(self.output_shape)} {self.output_dtype}"
        if self.region is not None:
            yield f"region       {_times(self.region.shape)} of it, {self.region!r}"
        if self.precision != "float32":
            yield f"precision    {self.precision}: rounded, not exact; a run says how far it is from float32"
        yield from (f"notice       {notice}" for notice in self.notices)
        if self.divisor > 1:
            yield (
                f"padding      the network wants sizes divisible by {self.divisor}: the far edges are padded by "
                "reflection and the output is cropped"
            )
        sides = ", ".join(
            f"{a} {before} before and {after} after" for a, (before, after) in zip(axes, self.halo, strict=True)
        )
        yield f"halo         {sides} (input pixels)"
        yield f"stride       {_times(self.stride)} output pixels"
        assert self.choice is not None
        depth = f" x {self.choice.depth} deep" if self.choice.depth else ""
        yield (
            f"tile         {self.choice.tile} x {self.choice.tile}{depth}: {readable(self.choice.bytes)} of a budget "
            f"of {readable(self.choice.budget)} on {self.device}; {self.tiles} tiles"
        )
        if self.barriers:
            norms = ", ".join(f"{_short(name)} {count}" for name, count in self.barriers.items())
            yield f"barriers     {norms}: measured over the whole image first"
            yield f"passes       {self.passes}; between them {self.kept}"
        else:
            yield "passes       1"
        yield (
            f"arithmetic   {self.macs_per_pixel:,.0f} multiply-adds per output pixel, "
            f"{self.redundancy:.2f} times that in tiles"
        )


def explain(
    model: AnyModel,
    image: Any,
    *,
    region: Region | None = None,
    level: int = 0,
    budget: int | str | None = None,
    tile: int | None = None,
    device: str = "auto",
    axes: str | None = None,
    plane: Mapping[str, int] | None = None,
    pixel_size: PixelSize | None = None,
    precision: str = "float32",
) -> Explanation:
    """Trace a model at the size of an image and say how it would be run, or what stands against it.

    `region` is in level-0 pixels of the image (default: all). Raises BadRequest, and what opening and tracing raise.
    """
    loaded = load_model(model)
    source = by_name(open_image(image, axes=axes, plane=plane), loaded.input_names)
    check_fit(loaded, source.info)
    loaded = at_resolution(loaded, source.info, level, pixel_size)
    shape = (1, source.info.channels, *source.info.levels.shape(level))
    try:
        program = trace(on_cpu(loaded.module), shape, refuse=False)
    except TraceFailed as failure:
        instead = _instead(loaded, source, level, (str(failure),))
        if not instead:
            raise
        return Explanation(loaded.name, source.info.name, shape, {}, (str(failure),), instead)
    reasons = tuple(str(r) for r in program.refusals)
    if reasons:
        instead = _instead(loaded, source, level, reasons)
        return Explanation(loaded.name, source.info.name, shape, operators(program), reasons, instead)
    prepared = prepared_from(loaded, source, level, program)
    wanted = output_region(prepared, region)
    place, told = place_for(prepared, device)
    prepared, settled = in_precision(prepared, precision, place)
    engine = TorchEngine(prepared.last_pass, str(place))
    size = parse_budget(budget) if isinstance(budget, str) else budget
    choice = choice_for(prepared, engine, size, tile)
    cell = (choice.tile, choice.tile) if choice.depth is None else (choice.depth, choice.tile, choice.tile)
    edges = tuple(min(e, n) for e, n in zip(cell, prepared.output_shape, strict=True))
    last = prepared.last_pass
    macs, times = redundancy(RegionPrograms(last), edges)
    keeping = (
        plan_activations(prepared, engine.device, budget=size) if last is not prepared.program else ActivationPlan()
    )
    return Explanation(
        model=loaded.name,
        image=source.info.name,
        input_shape=shape,
        operators=operators(program),
        refusals=(),
        output_shape=prepared.output_shape,
        region=None if region is None else wanted,
        output_dtype=str(prepared.output_dtype),
        divisor=program.divisor,
        halo=tuple(halo(last, a, edges[a]) for a in range(program.ndim)),
        stride=tuple(stride(last, a) for a in range(program.ndim)),
        choice=choice,
        tiles=Grid(prepared.output_shape, edges).covering(wanted).size,
        passes=count_passes(program),
        barriers=_barriers(program),
        kept=_kept(keeping),
        macs_per_pixel=macs,
        redundancy=times,
        device=str(engine.device),
        precision=settled.precision,
        notices=tuple(notice for notice in (told, settled.notice) if notice),
    )


def _instead(model: Model, source: Source, level: int, reasons: tuple[str, ...]) -> tuple[str, ...]:
    """What an approximate run would do; empty where there can be none."""
    try:
        found = approximation(model, on_cpu(model.module), source, level, reasons)
    except ModelError:
        return ()
    return (*found.lines(), "only if you ask for it, with approximate=True (--approximate), and marked so")


def _barriers(program: Program) -> dict[str, int]:
    return dict(Counter(node.operator for node in barriers_of(program)).most_common())


def _kept(keeping: ActivationPlan) -> str:
    """What the planner chose, in words."""
    if not keeping.after:
        return "nothing is kept: each pass begins at the image"
    tiers = " and ".join(f"{readable(size)} {WHERE[tier]}" for tier, size in keeping.most.items())
    return f"at most {tiers} are kept"


def _times(sizes: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in sizes)


def _short(name: str) -> str:
    return name.removeprefix("aten.").removesuffix(".default")
