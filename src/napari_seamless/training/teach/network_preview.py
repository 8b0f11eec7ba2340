"""Previews of a network that is learning, again and again without tracing it anew each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_seamless.errors import NotTileable, RunCancelled
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Source, StopFlag
from napari_seamless.models import Model
from napari_seamless.program.graph import Program
from napari_seamless.program.passes import barriers_of
from napari_seamless.runs.exact import ExactPrepared
from napari_seamless.runs.prepare import trace_exactly
from napari_seamless.runtime.engine import TorchEngine

TILE = 512


class NetworkPreview:
    """What `network` makes of parts of a source, with weights that change between two previews. One thread at a time.

    `model_of` puts scaling and classes around a network. A program whose constants are the network's own tensors sees
    their new values; one for which tensors were combined (a norm folded into a convolution) is traced again.
    """

    def __init__(self, source: Source, network: nn.Module, model_of: Callable[[nn.Module], Model], device: str) -> None:
        self._source, self._network, self._model_of, self._device = source, network.eval(), model_of, device
        self._prepared: ExactPrepared | None = None

    def require_local(self, stop: StopFlag) -> None:
        """Raises NotTileable where a pixel depends on the whole plane: each preview would have to measure all of it."""
        if found := barriers_of(self._traced(stop).program):
            raise NotTileable(
                f"a network is taught in places, so no layer of it may look at the whole plane; '{found[0].path}' "
                f"({found[0].operator}) does; begin with a new network, or train this one on whole images with "
                "'napari-seamless train'"
            )

    def labels(self, region: Region, weights: Mapping[str, Tensor], stop: StopFlag) -> NDArray[np.uint8]:
        """Labels (y, x) of a region of level 0, exact. Raises RunCancelled once `stop` says True."""
        if self._prepared is not None and not _is_made_of(self._prepared.last_pass, self._prepared.model.module):
            self._prepared = None
        self._network.load_state_dict(weights)
        engine = TorchEngine(self._traced(stop).last_pass, self._device)
        found = np.zeros(region.shape, np.uint8)
        for write in _tiles(region):
            if stop():
                raise RunCancelled("the look at the image was stopped")
            computed = engine.compute(engine.tile(write), lambda part: self._source.read(part, 0), stop)
            found[write.shift([-n for n in region.start]).slices()] = computed[0]
        return found

    def _traced(self, stop: StopFlag) -> ExactPrepared:
        if self._prepared is None:
            self._prepared = trace_exactly(self._model_of(self._network), self._source, cancelled=stop)
        return self._prepared


def _is_made_of(program: Program, module: nn.Module) -> bool:
    """Whether all constants of a program lie in the memory of the module's own tensors."""
    own = {_memory(tensor) for tensors in (module.parameters(), module.buffers()) for tensor in tensors}
    return all(_memory(tensor) in own for tensor in program.constants.values())


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _tiles(region: Region) -> Iterator[Region]:
    """The tiles of a grid anchored at the image's corner, cut to a region."""
    (y0, x0), (y1, x1) = region.start, region.stop
    for y in range(y0 // TILE * TILE, y1, TILE):
        for x in range(x0 // TILE * TILE, x1, TILE):
            yield Region.of((max(y, y0), min(y + TILE, y1)), (max(x, x0), min(x + TILE, x1)))
