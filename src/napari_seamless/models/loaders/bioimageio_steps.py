"""The processing steps that bioimage.io knows, as modules of ours. A step without one is refused by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from napari_seamless.errors import ModelError
from napari_seamless.models.preprocessing.percentile import MeanStdScale, PercentileScale
from napari_seamless.models.preprocessing.scaling import Binarize, CastToInteger, Clip, FixedScale, Linear

EPS = 1e-6
"""What the zoo's own library adds to a fixed deviation."""
WHOLE = {"uint8": torch.uint8, "uint16": torch.uint16, "int16": torch.int16, "int32": torch.int32}


class ProcessingSteps(nn.Module):
    """Steps one after the other. As in the zoo's own library, all statistics are those of what comes in first."""

    def __init__(self, steps: Sequence[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        first = x
        for step in self.steps:
            x = step(x, first) if isinstance(step, PercentileScale | MeanStdScale) else step(x)
        return x


def steps_for(steps: Sequence[Any], space: Sequence[str]) -> ProcessingSteps:
    """The modules for steps, in their order. Raises ModelError."""
    return ProcessingSteps([module for step in steps for module in _modules(str(step.id), step.kwargs, space)])


def _modules(name: str, kwargs: Any, space: Sequence[str]) -> list[nn.Module]:
    axis = getattr(kwargs, "axis", "channel")
    if str(axis) != "channel" and name != "softmax":
        raise _unknown(f"{name} along {axis}")
    match name:
        case "ensure_dtype":
            return _as_type(str(kwargs.dtype))
        case "clip" if kwargs.min_percentile is None and kwargs.max_percentile is None:
            return [Clip(kwargs.min, kwargs.max)]
        case "scale_linear":
            return [Linear(kwargs.gain, kwargs.offset)]
        case "binarize":
            return [Binarize(kwargs.threshold)]
        case "sigmoid":
            return [nn.Sigmoid()]
        case "softmax" if str(axis) == "channel":
            return [nn.Softmax(dim=1)]
        case "fixed_zero_mean_unit_variance":
            std = kwargs.std
            return [FixedScale(kwargs.mean, [s + EPS for s in std] if isinstance(std, list) else std + EPS)]
        case "zero_mean_unit_variance":
            return [MeanStdScale(per_channel=_per_channel(name, kwargs.axes, space), eps=kwargs.eps)]
        case "scale_range" if kwargs.reference_tensor is None:
            each = _per_channel(name, kwargs.axes, space)
            return [PercentileScale(kwargs.min_percentile, kwargs.max_percentile, per_channel=each, eps=kwargs.eps)]
        case "stardist_postprocessing" | "cellpose_flow_dynamics":
            raise ModelError(
                f"a package is run whose output is an image or classes; this one makes objects of it by {name}; bring "
                "the folder that StarDist wrote, or the file that Cellpose wrote, for the same network"
            )
    raise _unknown(name)


def _per_channel(name: str, axes: Sequence[Any] | None, space: Sequence[str]) -> bool:
    """Whether statistics are taken over each channel alone. They must be taken over all of space."""
    if axes is None:
        return False
    named = {str(axis) for axis in axes}
    if not set(space) <= named:
        raise _unknown(f"{name} over {', '.join(sorted(named))}")
    return "channel" not in named


def _as_type(dtype: str) -> list[nn.Module]:
    """Whole numbers go on as such; all floating types as the network's own."""
    if dtype.startswith("float"):
        return []
    if dtype not in WHOLE:
        raise _unknown(f"ensure_dtype {dtype}")
    return [CastToInteger(WHOLE[dtype])]


def _unknown(what: str) -> ModelError:
    return ModelError(f"a package's processing steps must have a rule here; there is none for {what}; ask for one")
