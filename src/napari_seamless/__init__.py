"""Run convolutional networks on images of any size, exactly as if the whole image fitted in memory.

>>> import napari_seamless as ns
>>> ns.Region.of((0, 512), (256, 768))
y[0, 512) x[256, 768)

Names are loaded when they are first used: importing this package loads neither torch, dask, zarr nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_seamless.errors import SeamlessError
    from napari_seamless.geometry import Region
    from napari_seamless.pipeline import (
        Explanation,
        Measurements,
        Moments,
        Result,
        StreamedGradient,
        describe_model,
        explain,
        load_model,
        measure,
        model_names,
        open_image,
        prepare,
        run,
        start,
        tile_for,
        tissue_mask,
        train,
    )

__version__ = "0.1.0"

__all__ = [
    "Explanation",
    "Measurements",
    "Moments",
    "Region",
    "Result",
    "SeamlessError",
    "StreamedGradient",
    "__version__",
    "describe_model",
    "explain",
    "load_model",
    "measure",
    "model_names",
    "open_image",
    "prepare",
    "run",
    "start",
    "tile_for",
    "tissue_mask",
    "train",
]


if not TYPE_CHECKING:  # a type checker would take it to know every name

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        room = {"Region": "geometry", "SeamlessError": "errors"}.get(name, "pipeline")
        return getattr(import_module(f"{__name__}.{room}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
