"""Every operator of torch has a verdict, and the page that lists them is the one that the tables make."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from napari_seamless.errors import NotTileable
from napari_seamless.program.ops.decomposed import DECOMPOSED
from napari_seamless.program.ops.table import OPERATORS, verdict
from napari_seamless.program.ops.verdicts import WITHOUT_RULE
from napari_seamless.program.trace import trace

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_operators_is_up_to_date() -> None:
    written = (DOCS / "operators.md").read_text()
    if f"torch {torch.__version__.partition('+')[0]} " not in written:
        pytest.skip("the page lists the operators of another version of torch")
    assert runpy.run_path(str(DOCS / "make_operators.py"))["page"]() == written


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("relu.default", "local"),
        ("sort.default", "channel-wise"),
        ("mean.dim", "barrier"),
        ("fft_fft2.default", "truly global"),
        ("nonzero.default", "not for images"),
        ("fractional_max_pool2d.default", "not yet"),
    ],
)
def test_a_verdict(name: str, said: str) -> None:
    assert verdict(f"aten.{name}") == said


def test_every_name_in_the_list_of_those_without_a_rule_is_torchs_and_has_none() -> None:
    listed = [name for entry in WITHOUT_RULE for name in entry.names]
    assert len(listed) == len(set(listed))
    assert [name for name in listed if not hasattr(torch.ops.aten, name)] == []
    ruled = {name.split(".")[1] for name in OPERATORS} | {name.split(".")[1] for name in DECOMPOSED}
    assert sorted(ruled & set(listed)) == []


def test_a_refusal_says_the_verdict_and_the_line_of_the_users_own_code() -> None:
    class Middle(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft(x).real

    network = nn.Sequential(nn.Conv2d(3, 4, 3), Middle())
    line = Middle.forward.__code__.co_firstlineno + 1
    said = rf"fft_fft\.default at layer '1' \(in line {line} of test_verdicts.py, .*\): it is truly global: every"
    with pytest.raises(NotTileable, match=said):
        trace(network, (1, 3, 32, 32))
