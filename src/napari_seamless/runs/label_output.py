"""A network of one's own that ends in labels: known by what it gives, where nothing else says so."""

from __future__ import annotations

from dataclasses import replace

import torch

from napari_seamless.models import Model
from napari_seamless.models.model import are_labels

NOTICE = "the network gives whole numbers {how}, so they are shown and measured as labels, of which 0 is background"
WITHOUT_AXIS, ONE_CHANNEL = "without a channel axis", "in one channel, as an argmax that keeps that axis does"


def with_kind_of(model: Model, dtype: torch.dtype, channels: int | None) -> Model:
    """The model as one of labels where its output is labels (`are_labels`); an axis of one channel is then left out."""
    if model.kind != "labels" and are_labels(dtype, channels):
        how = WITHOUT_AXIS if channels is None else ONE_CHANNEL
        return replace(model, kind="labels", notices=(*model.notices, NOTICE.format(how=how)))
    return model
