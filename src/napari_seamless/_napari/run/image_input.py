"""What is known of the chosen image, and what has to be asked about it. GUI thread."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from napari_seamless._napari.backend import Backend
from napari_seamless._napari.background import BackgroundJob, BackgroundJobs, ignore
from napari_seamless._napari.layers.axes import Plane
from napari_seamless._napari.layers.live_layers import key_of
from napari_seamless._napari.layers.readings import origin_of, readings_of, remember, setting_of
from napari_seamless._napari.layers.source_layer import source_of
from napari_seamless._napari.run.channels import mapping_of, numbers_of
from napari_seamless._napari.run.sections.image import ImageSection
from napari_seamless._napari.run.state import ImageRef
from napari_seamless._napari.widgets.dialogs import PixelSizeDialog
from napari_seamless._napari.widgets.image_options import ImageQuestions, ImageSetting
from napari_seamless.errors import BadRequest, InputMismatch, SeamlessError
from napari_seamless.interfaces import ImageInfo, Source
from napari_seamless.runs.channels import channel_names

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_seamless.models import Model

SMALL_LEVEL = 16_000_000
"""Pixels of a coarsest level that is looked at for tissue without being asked."""


@dataclass(frozen=True)
class OpenedImage:
    """What was found out about an image: how it is stored, and the size of its pixels (um; None: it does not say)."""

    source: Source
    pixel_size: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ImageHandlers:
    """Called when options have changed, when something was found out, and with a path and the scene wanted of it."""

    changed: Callable[[], object]
    found_out: Callable[[], object]
    open_scene: Callable[[str, str], object]


class ImageInput:
    """Owns the options of the chosen image."""

    def __init__(
        self,
        backend: Backend,
        jobs: BackgroundJobs,
        section: ImageSection,
        parent: QWidget,
        handlers: ImageHandlers,
    ) -> None:
        self._backend, self._jobs, self._parent, self._handlers = backend, jobs, parent, handlers
        self._options = section.options
        self._layer: Image | None = None
        self._model: str | None = None
        self._network: Model | None = None
        self._key: object = None
        self._opened: OpenedImage | None = None
        self._tissue: float | None = None
        self._opening: BackgroundJob[OpenedImage] | None = None
        self._masking: BackgroundJob[float] | None = None
        self._options.valueChanged.connect(self._take)
        self._options.pixelSizeRequested.connect(self.ask_pixel_size)
        self._options.sceneChosen.connect(self._take_scene)

    @property
    def info(self) -> ImageInfo | None:
        """What the image is; None until it was looked at, and where it cannot be read."""
        return None if self._opened is None else self._opened.source.info

    @property
    def pixel_size(self) -> tuple[float, ...] | None:
        """Micrometres per pixel, as said by a person or else by the image."""
        said = self._options.value().pixel_size
        if self._opened is None:
            return None
        return self._opened.pixel_size if said is None else (said,) * self._opened.source.info.ndim

    @property
    def tissue(self) -> float | None:
        """The share of the image that is tissue; None where it was not looked for."""
        return self._tissue

    @property
    def summary(self) -> str:
        """What was found out beside what the layer says."""
        is_plain = self._layer is not None and source_of(self._layer) is None
        size = self.pixel_size if is_plain else None
        parts = [] if size is None else [f"{size[-1]:.3g}\u00a0\N{MICRO SIGN}m/\N{WORD JOINER}px"]
        parts += [] if self._tissue is None else [f"tissue on about {self._tissue:.0%}"]
        return "\N{NO-BREAK SPACE}\u00b7 ".join(parts)

    def choose(self, layer: Image | None, model: str | None, network: Model | None) -> None:
        """Takes another image or model, and begins to look at the image if it has not been looked at yet."""
        self._layer, self._model, self._network = layer, model, network
        self._options.blockSignals(True)
        self._options.setValue(ImageSetting() if layer is None else setting_of(layer, model))
        self._options.blockSignals(False)
        if layer is None:
            self._forget(None)
        else:
            self._look(layer)
        self._show()

    def reference(self) -> ImageRef | None:
        """The image as it is to be used, with what was said of it."""
        if self._layer is None:
            return None
        said = self._options.value()
        # a choice that is not complete is as good as none: nothing is prepared anew for it
        setting = replace(said, channels=numbers_of(said.channels))
        opened = partial(open_as, self._backend, self._layer, setting)
        return ImageRef((key_of(self._layer), setting, _size_of(self._layer)), opened, partial(_place_of, self._layer))

    def look_for_tissue(self) -> None:
        """Finds the share of tissue, once, where that is quick. For when nothing else goes on."""
        if self._masking is None and self._opened is not None and _is_quick(self._opened.source.info):
            source = self._opened.source
            self._masking = self._jobs.begin(
                lambda _stop: float(self._backend.tissue_mask(source).mean()), self._take_tissue, ignore, lane="image"
            )

    def ask_pixel_size(self) -> None:
        """Opens the dialog; what is said there is remembered for the layer."""
        layer = self._layer
        if layer is None:
            return
        before = self._options.value().pixel_size
        dialog = PixelSizeDialog(layer.name, _scale_hint(layer), before, self._parent)
        dialog.answered.connect(lambda size: self._take_size(layer, size))
        dialog.open()

    def _look(self, layer: Image) -> None:
        axes = self._options.value().axes
        key = key_of(layer), axes, _size_of(layer)
        if key == self._key:
            return
        self._forget(key)
        setting = ImageSetting(axes=axes)
        self._opening = self._jobs.begin(
            lambda _stop: _opened(self._backend, layer, setting),
            self._take_opened,
            lambda _error: self._take_opened(None),
            lane="image",
        )

    def _take_opened(self, opened: OpenedImage | None) -> None:
        self._opened = opened
        self._show()
        self._handlers.found_out()

    def _take_tissue(self, share: float) -> None:
        self._tissue = share
        self._handlers.found_out()

    def _forget(self, key: object) -> None:
        """Begins anew with another image."""
        for job in (self._opening, self._masking):
            if job is not None:
                job.cancel()
        self._key, self._opened, self._tissue, self._opening, self._masking = key, None, None, None, None

    def _show(self) -> None:
        info, layer = self.info, self._layer
        mapping = None
        if info is not None and self._network is not None:
            mapping = mapping_of(self._network.channels, self._network.input_names, channel_names(info))
        can_choose = layer is not None and info is not None and origin_of(layer) is not None
        self._options.setQuestions(
            ImageQuestions(
                mapping=mapping,
                scenes=info.scenes if info is not None and can_choose else (),
                scene="" if info is None else info.scene,
                axes=() if layer is None else readings_of(layer),
            )
        )

    def _take(self, setting: ImageSetting) -> None:
        if self._layer is not None:
            remember(self._layer, self._model, setting)
            self._look(self._layer)
            self._show()
            self._handlers.changed()

    def _take_size(self, layer: Image, size: float) -> None:
        if layer is self._layer:
            self._options.setValue(replace(self._options.value(), pixel_size=size))
        else:
            remember(layer, self._model, replace(setting_of(layer, self._model), pixel_size=size))

    def _take_scene(self, name: str) -> None:
        path = None if self._layer is None else origin_of(self._layer)
        if path is not None:
            self._handlers.open_scene(path, name)


def open_as(
    backend: Backend, layer: Image, setting: ImageSetting, spatial: int | None = None, plane: Plane = ()
) -> Source:
    """A layer's image with what was said of it, as `ImageRef` has it. Any thread. Raises what opening it raises, and
    InputMismatch."""
    source = source_of(layer)
    said: float | tuple[float, ...] | None = setting.pixel_size
    told: tuple[str, ...] = ()
    if source is None:
        try:
            source = backend.open_image(layer, axes=setting.axes)
            if said is None and backend.in_micrometres(source.info) is None:
                said, told = _said_by_file(backend, layer, source.info)
        except BadRequest as error:
            raise InputMismatch(
                f"which axis of an image is which must be known; {layer.name} has {layer.ndim} axes that can be read "
                "in more than one way; choose how to read them under the image"
            ) from error
    wanted = dict(plane)
    if spatial == 2 and source.info.ndim == 3:
        wanted.setdefault("z", 0)
    if wanted:
        source = backend.open_image(source, plane=wanted)
    if isinstance(said, tuple):
        said = said[-source.info.ndim :]  # of a plane of it
    return backend.select(source, channels=numbers_of(setting.channels), pixel_size=said, notices=told)


def _said_by_file(backend: Backend, layer: Image, info: ImageInfo) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
    """The pixel size that the file of a layer states, of which another reader gave the pixels alone, and a notice.

    Nothing where that file is no image of the same size that states one.
    """
    path = origin_of(layer)
    if path is None:
        return None, ()
    try:
        file = backend.open_image(path)
    except SeamlessError:
        return None, ()
    with closing(file):
        size, shape = backend.in_micrometres(file.info), info.levels.shape(0)
        if size is None or file.info.levels.shape(0)[-len(shape) :] != shape:
            return None, ()
    size = size[-len(shape) :]
    numbers = " x ".join(f"{one:.4g}" for one in (size if len(set(size)) > 1 else size[:1]))
    return size, (f"the layer of '{layer.name}' does not state its pixel size: {numbers} um is taken from its file",)


def _opened(backend: Backend, layer: Image, setting: ImageSetting) -> OpenedImage:
    """In the background."""
    source = open_as(backend, layer, setting)
    return OpenedImage(source, backend.in_micrometres(source.info))


def _is_quick(info: ImageInfo) -> bool:
    """Whether tissue can be told from a coarsest level that is read in no time."""
    coarsest = info.levels.shapes[-1]
    return info.rgb and info.ndim == 2 and coarsest[0] * coarsest[1] <= SMALL_LEVEL


def _size_of(layer: Image) -> Hashable:
    """What a layer says of the size of its pixels, where no source says it."""
    return () if source_of(layer) is not None else (tuple(layer.scale), tuple(map(str, layer.units)))


def _place_of(layer: Image) -> Hashable:
    """Where a layer lies, where no source says it."""
    return () if source_of(layer) is not None else tuple(layer.translate)


def _scale_hint(layer: Image) -> str:
    scale = [float(s) for s in layer.scale[-2:]]
    if scale == [1.0, 1.0]:
        return ""
    unit: Any = layer.units[-1]
    return f"The layer's scale is {scale[0]:g} × {scale[1]:g} {unit}."
