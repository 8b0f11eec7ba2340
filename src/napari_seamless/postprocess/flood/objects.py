"""The table of flooded objects."""

from __future__ import annotations

import numpy as np

from napari_seamless.postprocess.components.sums import ComponentSums
from napari_seamless.postprocess.flood.candidates import NO_PLACE
from napari_seamless.postprocess.flood.maps import SCORE_PARTS
from napari_seamless.postprocess.object_table import ObjectTable


def objects_of(sums: ComponentSums) -> ObjectTable:
    """Rows of those of which a marker pixel is known. The sums' intensity has the votes of pixels: score, classes.

    The label is the class that most pixels have, the first of equals, counted from 1; 0 if none has one, 1 where there
    are no classes.
    """
    sums = sums.take(sums.first < NO_PLACE)
    scores, classes = sums.intensity[:, :1].sum(axis=1), sums.intensity[:, 1:]
    label = np.ones(len(sums), np.int64)
    if classes.shape[1]:
        label = np.where(classes.any(axis=1), 1 + classes.argmax(axis=1), 0)
    area = np.maximum(sums.area, 1)
    extra = {"score": scores / (area * SCORE_PARTS), "marker_area": sums.core, "at_edge": sums.at_edge}
    return ObjectTable(sums.ids, label, sums.area, sums.coordinates / area[:, None], sums.low, sums.high, extra)
