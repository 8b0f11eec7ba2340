"""Every step of the table is held to the conformance checks, with each of its example settings."""

from __future__ import annotations

from functools import partial

import pytest

from napari_seamless.postprocess.steps import STEPS
from napari_seamless.testing.conformance import PostprocessConformance, StepCase

CASES = [
    pytest.param((kind, settings), id=f"{kind.name}-{number}")
    for kind in STEPS
    for number, settings in enumerate(kind.examples)
]


class TestStepsByName(PostprocessConformance):
    """All of the table, so that a new line needs no test of its own here."""

    @pytest.fixture(params=CASES)
    def case(self, request: pytest.FixtureRequest) -> StepCase:
        kind, settings = request.param
        step = kind.make(**settings)
        return StepCase(step, partial(kind.whole_image_labels, step), partial(kind.example_output, step))

    def make_case(self) -> StepCase:
        kind, step = STEPS[0], STEPS[0].make()
        return StepCase(step, partial(kind.whole_image_labels, step), partial(kind.example_output, step))


def test_names_of_steps_are_not_given_twice() -> None:
    names = [kind.name for kind in STEPS]
    assert len(set(names)) == len(names)
    assert names[0] == "components"
