"""All that the dock knows and asks of the chosen image and network, before and beside a run. GUI thread."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtWidgets import QWidget

from napari_seamless._napari.layers.live_layers import key_of
from napari_seamless._napari.run.add_network import Bringing, Hooks
from napari_seamless._napari.run.backend import Backend
from napari_seamless._napari.run.controller import Controller
from napari_seamless._napari.run.estimate import Estimator, estimate
from napari_seamless._napari.run.file_drop import Dropping
from napari_seamless._napari.run.image_input import ImageInput
from napari_seamless._napari.run.loaded_networks import CachingBackend, LoadedNetworks, LoadRequest
from napari_seamless._napari.run.network_input import NetworkInput
from napari_seamless._napari.run.panel import Panel
from napari_seamless._napari.run.sections.section import tell
from napari_seamless._napari.run.state import ImageRef, Snapshot

if TYPE_CHECKING:
    from napari.layers import Image


@dataclass(frozen=True)
class Calls:
    """What the desk needs of the dock: choose anew, open a file (and a scene of it), and say what runs are made of."""

    choose: Callable[[], None]
    open: Callable[[str, str | None], None]
    controller: Callable[[], Controller]


class Inputs:
    """`pipeline` is the one to give to the controller: it loads each network once."""

    def __init__(self, pipeline: Backend, panel: Panel, parent: QWidget, calls: Calls) -> None:
        self._panel, self._calls = panel, calls
        self._shelf = LoadedNetworks(pipeline)
        self.pipeline: Any = CachingBackend(pipeline, self._shelf)
        image, model = panel.image_section, panel.model_section
        self._image = ImageInput(pipeline, image.options, image.remark, parent, calls.choose, calls.open)
        self._model = NetworkInput(self._shelf, model.card, model.match, self._report)
        self.bringing = Bringing(
            pipeline, self._shelf, model.picker, parent, Hooks(self._report, show_info, self._renew)
        )
        self._estimator = Estimator(pipeline)
        self._dropping = Dropping(parent, self.bringing.begin, lambda path: calls.open(path, None))
        model.card.keepWanted.connect(self._keep)

    def choose(self, layer: Image | None) -> ImageRef | None:
        """Looks at another image, or at the same for another network; gives it as a run is to see it."""
        name = self._panel.model.value().name
        self._model.choose(name, is_alone=layer is None)
        self._image.choose(layer, name, self._model.network)
        self._match()
        return self._image.reference()

    def poll(self, now: Snapshot, wanted: Callable[[Snapshot], tuple[int, str]]) -> None:
        """Takes what the background has found out. `wanted` says how many output pixels a run would make, and what."""
        self.bringing.poll()
        rests = now.phase in ("ready", "finished", "cancelled") and not now.queued and not self.bringing.is_busy
        if self._model.poll() or self._image.poll(rests):
            self._calls.choose()
        timing = self._estimator.poll(now.prepared, self._panel.tile.value().tile, rests)
        pixels, what = (0, "") if timing is None or now.is_active else wanted(now)
        shown = estimate(timing, pixels, what) if timing is not None and pixels else ""
        if shown != self._panel.model_section.speed.text():
            tell(self._panel.model_section.speed, shown)

    def request(self, name: str) -> LoadRequest:
        """What has to be said to load a network of this name."""
        return self._shelf.request(name)

    @property
    def tissue(self) -> float | None:
        """How much of the chosen image is tissue; None where nobody has looked."""
        return self._image.tissue

    def remark(self) -> str:
        """What is known of the image beside what its layer says."""
        return self._image.remark

    def forget(self, layer: Image) -> None:
        """Drops what is kept for a layer that is gone."""
        gone = key_of(layer)
        self._calls.controller().forget(lambda key, _model: _layer_of(key) == gone)

    def close(self) -> None:
        """Ends all background work. May be called twice."""
        for part in (self._image, self._model, self.bringing, self._estimator):
            part.close()

    def _match(self) -> None:
        self._model.match(self._image.pixel_size, self._image.info is not None)

    def _report(self, error: BaseException) -> None:
        self._calls.controller().report(error)

    def _renew(self, name: str) -> None:
        """A network was loaded anew: what was prepared with the one before is worth nothing."""
        controller = self._calls.controller()
        controller.forget(lambda _key, model: model == name)
        if self._panel.model.value().name == name:
            controller.choose(None, None)
            self._calls.choose()

    def ask_pixel_size(self) -> None:
        """Asks for the pixel size of the chosen image."""
        self._image.ask_pixel_size()

    def reload(self) -> None:
        """Loads the chosen network again, with a question to the user on the way."""
        if (name := self._panel.model.value().name) is not None:
            self.bringing.begin(name)

    def _keep(self) -> None:
        if (name := self._panel.model.value().name) is not None:
            self.bringing.keep(name)


def _layer_of(key: Hashable) -> object:
    """The layer's part of an image's key."""
    return key[0] if isinstance(key, tuple) and key else key
