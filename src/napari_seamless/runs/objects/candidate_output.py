"""What of a network's output is kept to make objects of: the likely cells, the rest is 0, which takes no room on disk.

It is a part of the traced program, so that what is exact for the network is exact for it.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from napari_seamless.models import Model
from napari_seamless.postprocess.step import KeptOutput


class CandidateOutput(nn.Module):
    """`network`, with 0 in all channels where the first one is at most `kept.above`."""

    def __init__(self, network: nn.Module, kept: KeptOutput) -> None:
        super().__init__()
        self.network, self.kept = network, kept

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(1, c, y, x) -> (1, k, y, x) on the network's grid; what is no number stays none."""
        output = self.network(x)
        if not isinstance(output, torch.Tensor) or output.dim() != x.dim():
            found: torch.Tensor = output  # several images, or labels: refused by those who know what was asked
            return found
        unlikely = output[:, :1] <= self.kept.above
        return torch.where(unlikely, 0.0, output.clamp(-self.kept.limit, self.kept.limit))


def with_candidates(model: Model) -> Model:
    """The model whose output is what is kept for its post-processing; the same one where it names none."""
    if model.postprocess is None:
        return model
    return replace(model, module=CandidateOutput(model.module, model.postprocess.kept).eval())
