"""What napari's manifest names besides the dock: the reader for slides, and sample data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from napari_seamless._napari.layers.source_layer import LayerTuple, source_layer
from napari_seamless.io.readers.urls import is_url

Reader = Callable[[str], list[LayerTuple]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """A reader for one image file; a list of files is none of its business (None)."""
    return read_slide if isinstance(path, str) else None


def read_slide(path: str) -> list[LayerTuple]:
    """A slide as one multiscale layer that reads what is on screen. Raises what `ns.open_image` raises."""
    import napari_seamless as ns

    source = ns.open_image(path)
    tell((*source.info.notices, *_stored(path)))
    return [source_layer(source)]


def tell(notices: Sequence[str]) -> None:
    """Shows what an image has to say of itself, as one notification of napari's."""
    from napari.utils.notifications import show_info

    if notices:
        show_info("\n".join(notices))


def _stored(path: str) -> tuple[str, ...]:
    """Of a result of ours, what the runs that made it told."""
    from napari_seamless.runs.origin import notices_at

    return () if is_url(path) else notices_at(path)


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
