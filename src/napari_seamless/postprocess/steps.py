"""All steps of post-processing, by name. A new step is its own file, or folder, and a line here.

The table is what tests go over: each entry brings what its step must give on a whole image, and outputs to try it on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from napari_seamless.interfaces import Pixels
from napari_seamless.postprocess.components import definition as components
from napari_seamless.postprocess.components.step import Components
from napari_seamless.postprocess.flood import definition as flood
from napari_seamless.postprocess.flood.step import DistanceFlood, HoverFlood
from napari_seamless.postprocess.flows import definition as flows
from napari_seamless.postprocess.flows.step import Flows
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.polygons import definition as polygons
from napari_seamless.postprocess.polygons.step import StarPolygons
from napari_seamless.postprocess.step import PostprocessStep


@dataclass(frozen=True)
class StepKind:
    """A kind of step.

    `make` takes its settings as keywords. `whole_image_labels(step, output, shape)` defines what it gives: dense labels
    of this shape, ([z,] y, x), of an output (c, [z,] y, x) that fits into memory. `example_output(step, shape, seed)`
    is such an output as a network could give; `examples` are settings that are worth trying on it.
    """

    name: str
    make: Callable[..., PostprocessStep]
    whole_image_labels: Callable[[Any, Pixels, Sequence[int]], Ints]
    example_output: Callable[[Any, Sequence[int], int], Pixels]
    examples: tuple[dict[str, Any], ...] = ({},)


STEPS = (
    StepKind(
        "components",
        Components,
        components.whole_image_labels,
        components.example_output,
        ({}, {"connectivity": 2}, {"classes": frozenset({1, 2}), "boundary": 3, "reach": 2.5}),
    ),
    StepKind(
        "polygons",
        StarPolygons,
        polygons.whole_image_labels,
        polygons.example_output,
        (
            {"largest_radius": 12},
            {"rays": 11, "grid": 3, "classes": 2, "overlap": 0.1, "border": 0, "largest_radius": 9},
        ),
    ),
    StepKind(
        "distances",
        DistanceFlood,
        flood.whole_image_labels,
        flood.example_distances,
        (
            {"boundary": 0.7, "center": 0.8, "smoothing": 0.8},
            {"center": None, "boundary": 0.3, "smoothing": 0, "highest_inside": True, "connectivity": 2, "classes": 2},
        ),
    ),
    StepKind(
        "hover",
        HoverFlood,
        flood.whole_image_labels,
        flood.example_hover,
        ({"smallest": 4, "largest_hole": 4, "types": 3},),
    ),
    StepKind(
        "flows",
        Flows,
        flows.whole_image_labels,
        flows.example_output,
        (
            {"reach": 12, "steps": 40, "flow_error": None, "smallest": 8},
            {"reach": 9, "steps": 25, "classes": 2, "threshold": 0.5, "largest_step": 1, "flow_error": 1.1},
        ),
    ),
)
"""In the order in which they are offered."""
