"""What every source, engine, executor and step of post-processing must do, as tests to inherit.

A third party's test file needs three lines::

    class TestMySource(SourceConformance):
        def make_source(self, tmp_path):
            return MySource(...)
"""

from napari_seamless.testing.conformance.engines import EngineConformance
from napari_seamless.testing.conformance.executors import ExecutorConformance
from napari_seamless.testing.conformance.postprocess import PostprocessConformance, StepCase
from napari_seamless.testing.conformance.sources import SourceConformance

__all__ = ["EngineConformance", "ExecutorConformance", "PostprocessConformance", "SourceConformance", "StepCase"]
