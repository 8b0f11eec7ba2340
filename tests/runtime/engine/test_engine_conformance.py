"""The engine, and the fake one, keep what `interfaces.Engine` promises."""

from __future__ import annotations

import torch

import napari_seamless as ns
from napari_seamless.interfaces import Engine, Source
from napari_seamless.runtime.engine import TorchEngine
from napari_seamless.runtime.engine.oom_retry import OutOfMemoryRetry
from napari_seamless.testing.conformance import EngineConformance
from napari_seamless.testing.fakes import BoxBlurEngine, GradientSource


class TestBoxBlurEngine(EngineConformance):
    def make_engine(self) -> Engine:
        return BoxBlurEngine((41, 37))

    def make_source(self) -> Source:
        return GradientSource((41, 37))

    def output_shape(self) -> tuple[int, ...]:
        return (41, 37)


class TestTorchEngine(EngineConformance):
    tolerance = 1e-5

    def make_engine(self) -> Engine:
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 5), torch.nn.ReLU(), torch.nn.MaxPool2d(2))
        return TorchEngine(ns.prepare(network, self.make_source()).program, "cpu")

    def make_source(self) -> Source:
        return GradientSource((64, 50), channels=2)

    def output_shape(self) -> tuple[int, ...]:
        return (30, 23)


class TestOutOfMemoryRetry(TestTorchEngine):
    def make_engine(self) -> Engine:
        return OutOfMemoryRetry(super().make_engine())
