"""A network as a program: traced at the true size of one level of one image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from napari_seamless.program.graph import Program
from napari_seamless.program.passes import barriers_of, plan_passes
from napari_seamless.runs.prepared import PreparedImage


@dataclass(frozen=True)
class TracedNetwork(PreparedImage):
    """A prepared network whose whole-image `program` is known. `reference` is the program in float32 where that one
    computes with fewer digits; the hash is that of the reference."""

    program: Program
    reference: Program | None = None

    @cached_property
    def last_pass(self) -> Program:
        """The program that makes the output from the image once all moments are known (which are not in it).

        It is the program itself where nothing has to be measured.
        """
        return plan_passes(self.program, (), {node.output for node in barriers_of(self.program)})[-1].program
