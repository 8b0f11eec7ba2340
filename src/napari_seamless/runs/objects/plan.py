"""How the cells of a network's output lie on labels, and on the slide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np

from napari_seamless.errors import BadRequest, ModelError
from napari_seamless.geometry import Grid, Interval, Region
from napari_seamless.models.preprocessing.resolution import inner_sizes
from napari_seamless.postprocess.step import CandidateStep, Domain, cells_in
from napari_seamless.runs.asked_roi import Place
from napari_seamless.runs.prepared import Prepared

LABEL_TYPE = np.dtype(np.uint32)


@dataclass(frozen=True)
class ObjectPlan:
    """A step, and the labels that it makes: of this `shape`, (y, x), in pixels of the network; label pixel p lies at
    level-0 pixel p * scale + offset of the slide, which is `place`."""

    step: CandidateStep
    shape: tuple[int, ...]
    place: Place

    @property
    def domain(self) -> Domain:
        return Domain.whole(self.shape)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Method and settings, as JSON values."""
        return {"method": self.step.method, **self.step.settings}

    def labels_of(self, cells: Region) -> Region:
        """The pixels of labels that belong to cells of the output."""
        spans = zip(cells.intervals, self.shape, strict=True)
        return Region(tuple(Interval(i.lo * self.step.grid, min(i.hi * self.step.grid, n)) for i, n in spans))

    def cells_of(self, labels: Region) -> Region:
        """The cells of the output to which pixels of labels belong."""
        return Region(tuple(Interval(i.lo // self.step.grid, -(-i.hi // self.step.grid)) for i in labels.intervals))

    def region_of(self, region: Region | None) -> Region:
        """The pixels of labels whose centres lie in a region of the slide's level 0 (None: all).

        Raises BadRequest where there are none.
        """
        if region is None:
            return Region.from_shape(self.shape)
        spans = []
        for span, scale, offset, size in zip(region.intervals, *self.place, self.shape, strict=True):
            low, high = (ceil((edge - 0.5 - offset) / scale - 1e-9) for edge in (span.lo, span.hi))
            spans.append(Interval(min(max(low, 0), size), max(min(max(low, 0), size), min(high, size))))
        found = Region(tuple(spans))
        if found.is_empty:
            raise BadRequest(
                f"a region must hold at least one pixel as the network sees them; {region!r} holds none; use a larger "
                "one"
            )
        return found

    def ring(self, chunks: Grid) -> tuple[int, ...]:
        """How many chunks of the output, one number an axis, an object and those that it may overlap can reach."""
        cells = -(-2 * self.step.reach // self.step.grid)
        return tuple(-(-cells // size) for size in chunks.cell)


def object_plan(prepared: Prepared) -> ObjectPlan | None:
    """None where the model names no post-processing. Raises ModelError where its output does not fit the method, and
    BadRequest where it cannot be used so."""
    model, step = prepared.model, prepared.model.postprocess
    if step is None:
        return None
    if not prepared.exact:
        raise BadRequest(
            f"objects are made of a network's own output; '{model.name}' would be run on overlapping, blended tiles; "
            "use statistics of the whole image, and leave approximate out"
        )
    levels = prepared.source.info.levels
    size = levels.shape(prepared.level)
    shape = size if model.ratio is None else tuple(inner_sizes(size, model.ratio))
    cells = cells_in(Region.from_shape(shape), step.grid).shape
    if prepared.output_channels != step.channels or prepared.output_shape != cells:
        raise ModelError(
            f"{step.method} of an image of {_times(shape)} pixels on a grid of {step.grid} are made of "
            f"{step.channels} channels of {_times(cells)} cells; '{model.name}' gives "
            f"{prepared.output_channels or 'no'} channels of {_times(prepared.output_shape)}; name the settings that "
            "it was trained for, or another method"
        )
    if prod(cells) > np.iinfo(LABEL_TYPE).max:
        raise BadRequest(
            f"objects have numbers of 32 bits, one for each cell; an image of {_times(shape)} pixels has "
            f"{prod(cells)} cells; work on a coarser level, or on a part of the image"
        )
    factors, starts = levels.scale(prepared.level), levels.offset(prepared.level)
    ratios = [n / inner for n, inner in zip(size, shape, strict=True)]
    scale = tuple(float(f) * r for f, r in zip(factors, ratios, strict=True))
    offset = tuple(float(o) + float(f) * (r - 1) / 2 for o, f, r in zip(starts, factors, ratios, strict=True))
    return ObjectPlan(step, shape, (scale, offset))


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
