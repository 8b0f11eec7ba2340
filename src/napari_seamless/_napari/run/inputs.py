"""All that the dock knows and asks of the chosen image and network, before and beside a run. GUI thread."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtWidgets import QWidget

from napari_seamless._napari.backend import Backend
from napari_seamless._napari.background import BackgroundJobs
from napari_seamless._napari.layers.live_layers import key_of
from napari_seamless._napari.run.estimate import Estimator, estimate
from napari_seamless._napari.run.file_drop import FileDrop
from napari_seamless._napari.run.image_input import ImageHandlers, ImageInput
from napari_seamless._napari.run.network_cache import CachingBackend, LoadRequest, NetworkCache
from napari_seamless._napari.run.network_input import NetworkInput
from napari_seamless._napari.run.network_loader import LoaderCallbacks, NetworkLoader
from napari_seamless._napari.run.panel import Panel
from napari_seamless._napari.run.sections.section import set_text
from napari_seamless._napari.run.state import ImageRef, Snapshot
from napari_seamless.runs.option_groups import ImageOptions

if TYPE_CHECKING:
    from napari.layers import Image


SCENE_HINT = "scene="
"""In notices that tell how to choose another scene in Python; here a list does it."""


@dataclass(frozen=True)
class DockActions:
    """What is needed of the dock: choose anew, open a file (a scene of it), report an error, take up a network that
    was loaded anew, and forget what was prepared with images and models that are gone."""

    choose: Callable[[], None]
    open: Callable[[str, ImageOptions | None], None]
    report: Callable[[BaseException], None]
    renew: Callable[[str], None]
    forget: Callable[[Callable[[Hashable, str], bool]], None]


class Inputs:
    """`backend` is the one to give to the controller: it loads each network once."""

    def __init__(
        self, backend: Backend, jobs: BackgroundJobs, panel: Panel, parent: QWidget, actions: DockActions
    ) -> None:
        self._panel, self._actions = panel, actions
        self._networks = NetworkCache(backend)
        self.backend: Any = CachingBackend(backend, self._networks)
        image, model, choose = panel.image_section, panel.model_section, actions.choose
        handlers = ImageHandlers(choose, choose, lambda path, scene: actions.open(path, ImageOptions(scene=scene)))
        self._image = ImageInput(backend, jobs, image, parent, handlers)
        self._model = NetworkInput(self._networks, jobs, model.card, model.match, choose, actions.report)
        self.loader = NetworkLoader(
            backend,
            jobs,
            self._networks,
            model.picker,
            parent,
            LoaderCallbacks(actions.report, show_info, actions.renew),
        )
        self._estimator = Estimator(backend, jobs)
        self._drop = FileDrop(parent, self.loader.begin, lambda path: actions.open(path, None))
        model.card.keepWanted.connect(self._keep)

    def choose(self, layer: Image | None) -> ImageRef | None:
        """Looks at another image, or at the same for another network; gives it as a run is to see it."""
        name = self._panel.model.value().name
        self._model.choose(name, is_alone=layer is None)
        self._image.choose(layer, name, self._model.network)
        self._match()
        return self._image.reference()

    def look(self, now: Snapshot, wanted: Callable[[Snapshot], tuple[int, str]], device: str) -> None:
        """Finds out more when nothing else goes on, and shows how long a run may take on a device. `wanted` says how
        many output pixels a run would make, and what they are."""
        rests = now.phase in ("ready", "finished", "cancelled") and not now.queued and not self.loader.is_busy
        if rests:
            self._image.look_for_tissue()
        timing = self._estimator.timing(now.prepared, self._panel.tile.value().tile, device, rests)
        pixels, what = (0, "") if timing is None or now.is_active else wanted(now)
        shown = estimate(timing, pixels, what) if timing is not None and pixels else ""
        if shown != self._panel.model_section.speed.text():
            set_text(self._panel.model_section.speed, shown)

    def request(self, name: str) -> LoadRequest:
        """What has to be said to load a network of this name."""
        return self._networks.request(name)

    def told(self, now: Snapshot) -> list[str]:
        """What should be known: of the chosen image as soon as it was looked at, and of the network and the run."""
        image = () if self._image.info is None else self._image.info.notices
        return [notice for notice in (*image, *now.notices) if SCENE_HINT not in notice]

    @property
    def tissue(self) -> float | None:
        """How much of the chosen image is tissue; None where nobody has looked."""
        return self._image.tissue

    def summary(self) -> str:
        """What is known of the image beside what its layer says."""
        return self._image.summary

    def forget(self, layer: Image) -> None:
        """Drops what is kept for a layer that is gone."""
        gone = key_of(layer)
        self._actions.forget(lambda key, _model: _layer_of(key) == gone)

    def _match(self) -> None:
        self._model.match(self._image.pixel_size, self._image.info is not None)

    def ask_pixel_size(self) -> None:
        """Asks for the pixel size of the chosen image."""
        self._image.ask_pixel_size()

    @property
    def outdated(self) -> str | None:
        """The name of the chosen network where its file was written to since it was loaded."""
        name = self._panel.model.value().name
        return name if name is not None and self._networks.is_outdated(name) else None

    def reload(self) -> None:
        """Loads the chosen network again, with a question to the user on the way."""
        if (name := self._panel.model.value().name) is not None:
            self.loader.begin(name)

    def _keep(self) -> None:
        if (name := self._panel.model.value().name) is not None:
            self.loader.keep(name)


def _layer_of(key: Hashable) -> object:
    """The layer's part of an image's key."""
    return key[0] if isinstance(key, tuple) and key else key
