"""What napari's manifest names besides the dock: the reader for slides, and the sample slide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import as_file, files

from napari_seamless._napari.layers import LayerTuple, source_layer

SAMPLE = "CMU-1-Small-Region.svs"
Reader = Callable[[str], list[LayerTuple]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """A reader for one image file; a list of files is none of its business (None)."""
    return read_slide if isinstance(path, str) else None


def read_slide(path: str) -> list[LayerTuple]:
    """A slide as one multiscale layer that reads what is on screen. Raises what `pipeline.open_image` raises."""
    from napari_seamless import pipeline

    return [source_layer(pipeline.open_image(path))]


def sample_slide() -> list[LayerTuple]:
    """The slide that comes with this package: stained tissue, 2220 x 2967 pixels."""
    with as_file(files("napari_seamless") / "sources" / "data" / SAMPLE) as path:
        return read_slide(str(path))
