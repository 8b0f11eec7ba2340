"""A network of one's own that ends in labels: known by what it gives, where nothing else says so."""

from __future__ import annotations

from dataclasses import replace

import torch

from napari_seamless.models import Model

NOTICE = (
    "the network gives whole numbers without a channel axis, so they are shown and measured as labels, of which 0 is "
    "background"
)


def with_kind_of(model: Model, dtype: torch.dtype, channels: int | None) -> Model:
    """The model as one of labels where its output is whole numbers (or bool) without an axis of channels, as after
    argmax or a comparison."""
    is_whole = not dtype.is_floating_point and not dtype.is_complex
    return replace(model, kind="labels") if is_whole and channels is None else model


def notice_of(model: Model) -> str | None:
    """What to say of labels that nobody has named."""
    return NOTICE if model.kind == "labels" and not model.classes else None
