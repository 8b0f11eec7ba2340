"""What is missing when torch loses something that is not public: one sentence, or a slower way."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from napari_seamless.errors import ModelError, TraceFailed
from napari_seamless.program import _compat
from napari_seamless.program.trace import trace
from napari_seamless.runtime.engine.tile_probe import look

FAKE = import_module(_compat.FAKE_MODULE)


class UsesData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.data * 2


class UsesNoGrad(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            scale = self.gain * 2
        return x * scale


def test_without_fake_tensors_nothing_can_be_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(FAKE, "FakeTensorMode")
    with pytest.raises(TraceFailed, match=r"tracing needs torch's fake tensors .*FakeTensorMode.*install a version"):
        trace(nn.Identity(), (1, 1, 8, 8))


def test_without_fake_tensors_weights_cannot_be_told_from_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(FAKE, "FakeTensor")
    with pytest.raises(TraceFailed, match=r"FakeTensor\); torch .* has none"):
        _compat.is_fake(torch.ones(1))


def test_without_their_exceptions_a_network_whose_shapes_depend_on_pixels_says_what_torch_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DataDependentOutputException", "DynamicOutputShapeException"):
        monkeypatch.delattr(FAKE, name)
    assert len(_compat.needs_values()) == 2
    monkeypatch.setattr(_compat, "FAKE_MODULE", "torch.no_such_module")
    assert _compat.needs_values() == ()


def test_the_getter_of_data_is_known_and_without_it_data_is_what_torch_makes_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not trace(UsesData(), (1, 1, 8, 8)).refusals
    assert _compat.is_data_of(torch.Tensor.data.__get__)
    monkeypatch.setattr(_compat, "torch", SimpleNamespace(Tensor=SimpleNamespace()))
    assert not _compat.is_data_of(torch.Tensor.data.__get__)


def test_what_is_under_no_grad_is_found_and_under_another_name_gradients_flow_through_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stops() -> bool:
        program = trace(UsesNoGrad(), (1, 1, 8, 8), training=True)
        assert program.training is not None
        return any("detach" in derived.target for derived in program.training.derived)

    assert stops()
    monkeypatch.setattr(_compat, "NO_GRADIENT", "another name")
    assert not stops()


def test_a_size_that_does_not_fit_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with _compat.without_fake_log():
        _compat.getLogger(_compat.FAKE_MODULE).error("does not fit")
    assert not caplog.records
    with pytest.raises(ModelError, match="it says"):
        look(nn.Conv2d(3, 1, 3).eval(), 1, (16, 16))
    assert not caplog.records
