"""The composition root: the only place where rooms meet.

    open_image --> prepare (trace) --> start / run --> Result

`models` and `sources` say what there is, `preparing` makes a program of both, `running` cuts it into tiles and starts
them, `result` hands them out, `explaining` says what would happen.
"""

from napari_seamless.models import describe as describe_model
from napari_seamless.models import names as model_names
from napari_seamless.pipeline.explaining import Explanation, explain
from napari_seamless.pipeline.preparing import Prepared, load_model, prepare
from napari_seamless.pipeline.result import Report, Result
from napari_seamless.pipeline.running import Run, parse_budget, run, start, tile_for
from napari_seamless.sources import open_image

__all__ = [
    "Explanation",
    "Prepared",
    "Report",
    "Result",
    "Run",
    "describe_model",
    "explain",
    "load_model",
    "model_names",
    "open_image",
    "parse_budget",
    "prepare",
    "run",
    "start",
    "tile_for",
]
