"""An error says what to do in words, and carries it as a value, too."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from napari_seamless.errors import (
    BudgetTooSmall,
    NameArchitecture,
    NotTileable,
    NotTrusted,
    OutputExists,
    PassModule,
    PixelSizeUnknown,
    Remedy,
    RunApproximately,
    SeamlessError,
    UseBudget,
    WeightsMismatch,
)

REFUSED = NotTileable("attention looks at the whole plane", remedies=(RunApproximately(),))
ONE_SIZE = NotTileable("attention looks at the whole plane", remedies=(RunApproximately("224 x 224"),))
WEIGHTS = WeightsMismatch("net.pt: the names differ", remedies=(PassModule(), NameArchitecture()))
SIZE = PixelSizeUnknown("the pixel size must be known", model="m", image="i", works_at=(0.5, 0.5))
TRUST = NotTrusted("a model may run code only if you say so", file=Path("a.pt"), runs="it", sha256="0")


@pytest.mark.parametrize(
    ("error", "said", "in_window"),
    [
        (
            REFUSED,
            "attention looks at the whole plane; or run it approximately with approximate=True (--approximate)",
            "attention looks at the whole plane; or run it approximately",
        ),
        (
            ONE_SIZE,
            "attention looks at the whole plane; it takes an input of 224 x 224 only: run it approximately with "
            "approximate=True (--approximate) on tiles of that",
            "attention looks at the whole plane; it takes an input of 224 x 224 only: run it approximately on tiles of "
            "that",
        ),
        (
            WEIGHTS,
            "net.pt: the names differ; pass the module itself if it is another network; name its architecture with "
            'architecture="unet" (--architecture unet), or package.module:factory',
            "net.pt: the names differ",
        ),
        (
            SIZE,
            "the pixel size must be known; say it with pixel_size=0.25 (--pixel-size 0.25), in um per pixel",
            "the pixel size must be known",
        ),
        (
            TRUST,
            "a model may run code only if you say so; if you trust where it comes from say so with trust=True "
            "(--trust), which is remembered for this file",
            "a model may run code only if you say so",
        ),
        (BudgetTooSmall("use 80 MB or more", needed=80), "use 80 MB or more", "use 80 MB or more"),
        (OutputExists("the path is taken"), "the path is taken", "the path is taken"),
    ],
)
def test_what_to_do_ends_the_message_and_a_window_leaves_out_how_to_type_it(
    error: SeamlessError, said: str, in_window: str
) -> None:
    assert str(error) == said
    assert error.in_window == in_window


@pytest.mark.parametrize("error", [REFUSED, WEIGHTS, OutputExists("taken"), BudgetTooSmall("more", needed=5)])
def test_an_error_comes_whole_from_another_process(error: SeamlessError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.message, copy.remedies) == (str(error), error.message, error.remedies)


def test_a_remedy_is_a_value() -> None:
    assert BudgetTooSmall("more", needed=5).remedies == (UseBudget(5),)
    assert BudgetTooSmall("more").remedies == ()
    assert isinstance(SIZE.remedies[0], Remedy)
