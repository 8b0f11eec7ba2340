"""A network of one's own that ends in labels: known by what it gives, where nothing else says so."""

from __future__ import annotations

from dataclasses import replace

import torch

from napari_seamless.models import Model

NOTICE = "the network gives whole numbers {how}, so they are shown and measured as labels, of which 0 is background"
WITHOUT_AXIS, ONE_CHANNEL = "without a channel axis", "in one channel, as an argmax that keeps that axis does"
INDICES = (torch.int64, torch.bool)
"""The types of an argmax and of a comparison; other whole numbers of one channel may be a grey picture."""


def with_kind_of(model: Model, dtype: torch.dtype, channels: int | None) -> Model:
    """The model as one of labels where its output is labels, as after argmax or a comparison: whole numbers (or bool)
    without an axis of channels, or one channel of those types that these two give. That axis is then left out."""
    is_whole = not dtype.is_floating_point and not dtype.is_complex
    if model.kind != "labels" and is_whole and (channels is None or (channels == 1 and dtype in INDICES)):
        how = WITHOUT_AXIS if channels is None else ONE_CHANNEL
        return replace(model, kind="labels", notices=(*model.notices, NOTICE.format(how=how)))
    return model
