"""All steps of post-processing, by name. A new step is its own file, or folder, and a line here.

The table is what tests go over: each entry brings what its step must give on a whole image, and outputs to try it on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from napari_seamless.interfaces import Pixels
from napari_seamless.postprocess.components.definition import example_output, whole_image_labels
from napari_seamless.postprocess.components.step import Components
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.step import PostprocessStep


@dataclass(frozen=True)
class StepKind:
    """A kind of step.

    `make` takes its settings as keywords. `whole_image_labels(step, output)` defines what it gives: dense labels
    ([z,] y, x) of an output (c, [z,] y, x) that fits into memory. `example_output(shape, seed)` is such an output as a
    network could give; `examples` are settings that are worth trying on it.
    """

    name: str
    make: Callable[..., PostprocessStep]
    whole_image_labels: Callable[[Any, Pixels], Ints]
    example_output: Callable[[Sequence[int], int], Pixels]
    examples: tuple[dict[str, Any], ...] = ({},)


STEPS = (
    StepKind(
        "components",
        Components,
        whole_image_labels,
        example_output,
        ({}, {"connectivity": 2}, {"classes": frozenset({1, 2}), "boundary": 3, "reach": 2.5}),
    ),
)
"""In the order in which they are offered."""
