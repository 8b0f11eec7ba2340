"""What would happen, and why, before anything is run."""

from __future__ import annotations

from collections import Counter
from typing import Any, Unpack

from napari_seamless.errors import ModelError, TraceFailed
from napari_seamless.geometry import Grid
from napari_seamless.interfaces import Source
from napari_seamless.models import Model
from napari_seamless.program.analysis import halo, operators, redundancy, stride
from napari_seamless.program.passes import barriers_of
from napari_seamless.program.region_program import RegionPrograms
from napari_seamless.program.trace import trace
from napari_seamless.runs.approximation import approximation, on_cpu
from napari_seamless.runs.chunk_mask import touched
from napari_seamless.runs.config import RunConfig
from napari_seamless.runs.exact import ExactPrepared, exact_from
from napari_seamless.runs.explanation import Explanation, kept_in_words
from napari_seamless.runs.keywords import RUN, RunKeywords, config_of
from napari_seamless.runs.prepare import AnyModel, fit, with_one_output
from napari_seamless.runs.start import Layout, lay_out
from napari_seamless.runs.statistics import LOCAL, StatisticsDomain


def explain(
    model: AnyModel, image: Any, *, config: RunConfig | None = None, **options: Unpack[RunKeywords]
) -> Explanation:
    """Trace a model at the size of an image and say how it would be run, or what stands against it.

    Model, image and `options` are those of `run`: what is said is about that very run. Nothing is written. Raises
    BadRequest, and what opening and tracing raise.
    """
    given = config_of("explain", config, options, RUN)

    def explained(fitted: Model, source: Source, level: int) -> Explanation:
        return _of_one_output(fitted, source, level, given)

    return with_one_output(explained, fit(model, image, given.image), given)


def _of_one_output(loaded: Model, source: Source, level: int, given: RunConfig) -> Explanation:
    fitted = loaded, source, level
    shape = (1, source.info.channels, *source.info.levels.shape(level))
    try:
        program = trace(on_cpu(loaded.module), shape, refuse=False)
    except TraceFailed as failure:
        instead = _instead(*fitted, (str(failure),))
        if not instead:
            raise
        return Explanation(loaded.name, source.info.name, shape, {}, (str(failure),), instead)
    found, reasons = operators(program), tuple(str(r) for r in program.refusals)
    if reasons:
        return Explanation(loaded.name, source.info.name, shape, found, reasons, _instead(*fitted, reasons))
    prepared = exact_from(*fitted, program)
    layout = lay_out(prepared, given)
    words = _statistics(layout.settings.domain)
    if not layout.prepared.exact:
        instead = tuple(layout.prepared.lines())
        return Explanation(
            loaded.name, source.info.name, shape, found, (), instead, statistics=words, notices=layout.notices
        )
    return _explained(prepared, layout, given, words)


def _explained(prepared: ExactPrepared, layout: Layout, config: RunConfig, statistics: str) -> Explanation:
    """An exact run in figures."""
    program, last, choice, info = prepared.program, prepared.last_pass, layout.plan.choice, prepared.source.info
    edges = _edges(layout)
    macs, work = redundancy(RegionPrograms(last), edges)
    return Explanation(
        model=prepared.model.name,
        image=info.name,
        input_shape=(1, info.channels, *info.levels.shape(prepared.level)),
        operators=operators(program),
        refusals=(),
        output_shape=prepared.output_shape,
        region=None if config.part.region is None else layout.region,
        output_dtype=str(prepared.output_dtype),
        divisor=program.divisor,
        halo=tuple(halo(last, a, edges[a]) for a in range(program.ndim)),
        stride=tuple(stride(last, a) for a in range(program.ndim)),
        choice=choice,
        tiles=_tiles(layout, edges),
        passes=layout.plan.number_of_passes,
        barriers=dict(Counter(node.operator for node in barriers_of(program)).most_common()),
        kept=kept_in_words(layout.plan.activations),
        macs_per_pixel=macs,
        redundancy=work,
        device=str(layout.settings.device),
        precision=layout.settings.precision,
        notices=layout.notices,
        statistics=statistics,
    )


def _edges(layout: Layout) -> tuple[int, ...]:
    choice = layout.plan.choice
    cell = (choice.tile, choice.tile) if choice.depth is None else (choice.depth, choice.tile, choice.tile)
    return tuple(min(e, n) for e, n in zip(cell, layout.prepared.output_shape, strict=True))


def _tiles(layout: Layout, edges: tuple[int, ...]) -> int:
    """How many are made: those that touch the region and the roi, or have tissue in them."""
    grid = Grid(layout.prepared.output_shape, edges)
    wanted, only = grid.covering(layout.region), layout.settings.domain.only
    if layout.roi is not None:
        return int(layout.roi.chunks(layout.prepared, grid)[wanted.slices()].sum())
    return wanted.size if only is None else int(touched(grid, only)[wanted.slices()].sum())


def _statistics(domain: StatisticsDomain) -> str:
    """What those of norms over the plane are of; "" for the whole image."""
    if domain.mask is not None:
        return f"measured over the tissue first, {domain.mask.mean():.0%} of the image"
    if domain.moments is not None:
        return "as given, nothing is measured"
    return "of each input tile alone, as other tools take them" if domain.name == LOCAL.name else ""


def _instead(model: Model, source: Source, level: int, reasons: tuple[str, ...]) -> tuple[str, ...]:
    """What an approximate run would do; empty where there can be none."""
    try:
        found = approximation(model, on_cpu(model.module), source, level, reasons)
    except ModelError:
        return ()
    return (*found.lines(), "only if you ask for it, with approximate=True (--approximate), and marked so")
