"""How flows are read from a network's output, and which objects are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from napari_seamless.errors import BadRequest

SCALE = 5
"""Networks are taught flows of this length."""
MOST_STEPS = 10_000
LARGEST_STEP = 16
LARGEST_REACH = 1024


@dataclass(frozen=True)
class FlowSettings:
    """What a network gives, and what is made of it.

    The output is flow along y and along x, five times the length of a step in pixels, then how sure it is of a cell (a
    logit), then scores of `classes`, if any. A pixel is in a cell where the logit is above `threshold`. `steps`: how
    many its particle makes; `largest_step` (pixels, along an axis): longer ones are cut. `reach` (pixels, along an
    axis): a particle that goes further away from where it started is lost, so that it is known how far an object can
    reach. `smallest` (pixels): smaller objects are dropped, before their holes are filled. `flow_error`: objects whose
    flow differs by more from the one that their shape would have are dropped; None keeps all. Raises BadRequest.
    """

    classes: int = 0
    threshold: float = 0.0
    steps: int = 200
    largest_step: int = 2
    reach: int = 120
    smallest: int = 15
    flow_error: float | None = 0.4

    def __post_init__(self) -> None:
        if self.classes < 0 or self.smallest < 0:
            raise BadRequest(
                "flows have 0 or more classes, and a smallest object of 0 or more pixels; got "
                f"{self.classes} and {self.smallest}"
            )
        if not isfinite(self.threshold):
            raise BadRequest(f"the threshold of a cell is a number, mostly between -6 and 6; got {self.threshold:g}")
        if not 1 <= self.steps <= MOST_STEPS:
            raise BadRequest(f"a particle makes 1 to {MOST_STEPS} steps; got {self.steps}")
        if not 1 <= self.largest_step <= LARGEST_STEP:
            raise BadRequest(f"the largest step of a particle is 1 to {LARGEST_STEP} pixels; got {self.largest_step}")
        if not 1 <= self.reach <= LARGEST_REACH:
            raise BadRequest(f"a particle reaches 1 to {LARGEST_REACH} pixels; got {self.reach}")
        if self.flow_error is not None and not self.flow_error > 0:
            raise BadRequest(
                f"the largest error of an object's flow is more than 0 (mostly 0.4), or none; got {self.flow_error:g}"
            )

    @property
    def channels(self) -> int:
        """Of the network's output: two of flow, cell, classes."""
        return 3 + self.classes

    @property
    def leap(self) -> int:
        """How many whole pixels a step can lead away, along an axis."""
        return self.largest_step + 1
