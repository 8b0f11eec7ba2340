"""What is slower when this torch lacks something that is not public: nothing is missing, and nothing is inexact."""

from __future__ import annotations

import runpy
import sys
from types import SimpleNamespace

import pytest
import torch

from napari_seamless.errors import TraceFailed
from napari_seamless.runtime.engine import _compat
from networks import CASES, image_for, made
from oracle import Tiled, relative_error, whole

ONEDNN = ("_convolution_pointwise", "_reorder_convolution_weight")


@pytest.mark.parametrize("missing", ONEDNN)
def test_without_the_fused_convolution_a_cpu_computes_the_same_in_two_steps(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    case = CASES[0]
    network, image = made(case), image_for(case, (48, 40))
    others = {name: getattr(torch.ops.mkldnn, name) for name in ONEDNN if name != missing}
    monkeypatch.setattr(_compat, "_onednn", lambda: SimpleNamespace(**others))
    assert not _compat.has_fused_convolution()
    tiled = Tiled.of(network, image)
    assert not any("Fused" in type(n.operation).__name__ for n in tiled.engine._program.nodes)
    assert relative_error(tiled.in_tiles(32), whole(network, image)) <= 1e-5


def test_where_torch_does_not_say_what_a_processor_can_it_counts_as_not_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compat, "_onednn", SimpleNamespace)
    assert _compat.has_instructions(torch.float32)
    assert not _compat.has_instructions(torch.bfloat16)


def test_without_a_look_at_every_operator_memory_cannot_be_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils._python_dispatch", None)
    without = SimpleNamespace(**runpy.run_path(_compat.__file__))
    with (
        pytest.raises(TraceFailed, match=r"to predict memory, every operator .* install a version"),
        without.TorchDispatchMode(),
    ):
        pass
