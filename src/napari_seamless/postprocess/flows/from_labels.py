"""The output that a perfect network would give for a label image: what networks are trained on."""

# mypy: allow-untyped-calls

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.postprocess.flows.settings import SCALE

SURE_LOGIT = 6.0


def perfect_flows(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Flow along y and x, five times as long as a step, and a logit of `SURE_LOGIT` in objects and minus that outside,
    (3, y, x), of labels (y, x), of which 0 is background.

    Raises BadRequest for arrays that are no labels.
    """
    from napari_seamless.postprocess.flows import kernels

    if labels.ndim != 2 or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise BadRequest(
            f"labels are whole numbers from 0 with axes (y, x); got {labels.dtype} from {labels.min(initial=0)} with "
            f"{labels.ndim} axes"
        )
    start = np.argwhere(labels)
    owners = labels[tuple(start.T)]
    order = np.argsort(owners, kind="stable")
    _, begins = np.unique(owners[order], return_index=True)
    output = np.zeros((3, *labels.shape), np.float32)
    kernels.perfect_flow(start[order], np.append(begins, len(start)), output)
    output *= SCALE
    output[2] = np.where(labels, SURE_LOGIT, -SURE_LOGIT)
    return output
