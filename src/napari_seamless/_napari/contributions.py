"""What napari's manifest names besides the dock: the reader for slides, and sample data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from napari_seamless._napari.layers.live_layers import LayerTuple, source_layer
from napari_seamless.interfaces import ImageInfo

Reader = Callable[[str], list[LayerTuple]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """A reader for one image file; a list of files is none of its business (None)."""
    return read_slide if isinstance(path, str) else None


def read_slide(path: str) -> list[LayerTuple]:
    """A slide as one multiscale layer that reads what is on screen. Raises what `ns.open_image` raises."""
    import napari_seamless as ns

    source = ns.open_image(path)
    tell(source.info)
    return [source_layer(source)]


def tell(info: ImageInfo) -> None:
    """Shows what an image has to say of the way it is stored, as napari's own notifications."""
    from napari.utils.notifications import show_info

    for notice in info.notices:
        show_info(notice)


def sample_slide() -> list[LayerTuple]:
    """The slide that comes with this package: stained tissue, 2220 x 2967 pixels."""
    return _sample("slide")


def sample_ihc() -> list[LayerTuple]:
    """scikit-image's immunohistochemistry: 512 x 512 pixels."""
    return _sample("ihc")


def sample_gigapixel() -> list[LayerTuple]:
    """The sample slide mirrored to 50 000 x 50 000 pixels, made where one looks."""
    return _sample("gigapixel")


def _sample(name: str) -> list[LayerTuple]:
    import napari_seamless as ns

    return [source_layer(ns.open_sample(name))]
