"""What is known of the chosen image, and what has to be asked about it. GUI thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from napari_seamless._napari.background import Background, Task
from napari_seamless._napari.layers.live_layers import key_of, source_of
from napari_seamless._napari.layers.readings import origin_of, readings_of, remember, setting_of
from napari_seamless._napari.run.backend import Backend, Network
from napari_seamless._napari.run.channels import mapping_of, numbers_of
from napari_seamless._napari.run.state import ImageRef, Plane
from napari_seamless._napari.widgets.dialogs import PixelSizeDialog
from napari_seamless._napari.widgets.image_options import ImageOptions, ImageQuestions, ImageSetting
from napari_seamless._napari.widgets.remark import Remark, RemarkLabel
from napari_seamless.errors import BadRequest, InputMismatch
from napari_seamless.interfaces import ImageInfo, Source
from napari_seamless.runs.channels import channel_names

if TYPE_CHECKING:
    from napari.layers import Image

SMALL_LEVEL = 16_000_000
"""Pixels of a coarsest level that is looked at for tissue without being asked."""
SCENE_HINT = "scene="
"""In notices that tell how to choose another scene in Python; here a list does it."""


@dataclass(frozen=True)
class Seen:
    """What was found out about an image: how it is stored, and the size of its pixels (um; None: it does not say)."""

    source: Source
    pixel_size: tuple[float, ...] | None = None


class ImageInput:
    """Owns the options of the chosen image. `changed` is called when they are, `scene` with a path and a scene."""

    def __init__(
        self,
        pipeline: Backend,
        options: ImageOptions,
        notices: RemarkLabel,
        parent: QWidget,
        changed: Callable[[], None],
        scene: Callable[[str, str], None],
    ) -> None:
        self._pipeline, self._options, self._notices, self._parent = pipeline, options, notices, parent
        self._changed, self._open_scene = changed, scene
        self._background = Background(threads=1)
        self._layer: Image | None = None
        self._model: str | None = None
        self._network: Network | None = None
        self._key: object = None
        self._seen: Seen | None = None
        self._tissue: float | None = None
        self._looking: Task[Seen] | None = None
        self._measuring: Task[float] | None = None
        options.valueChanged.connect(self._take)
        options.pixelSizeRequested.connect(self.ask_pixel_size)
        options.sceneChosen.connect(self._take_scene)

    @property
    def info(self) -> ImageInfo | None:
        """What the image is; None until it was looked at, and where it cannot be read."""
        return None if self._seen is None else self._seen.source.info

    @property
    def pixel_size(self) -> tuple[float, ...] | None:
        """Micrometres per pixel, as said by a person or else by the image."""
        said = self._options.value().pixel_size
        if self._seen is None:
            return None
        return self._seen.pixel_size if said is None else (said,) * self._seen.source.info.ndim

    @property
    def tissue(self) -> float | None:
        """The share of the image that is tissue; None where it was not looked for."""
        return self._tissue

    @property
    def remark(self) -> str:
        """What was found out beside what the layer says."""
        return "" if self._tissue is None else f"tissue on about {self._tissue:.0%}"

    def choose(self, layer: Image | None, model: str | None, network: Network | None) -> None:
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
        opened = partial(open_as, self._pipeline, self._layer, setting)
        return ImageRef((key_of(self._layer), setting), opened)

    def poll(self, rests: bool) -> bool:
        """Takes what was found out; True if that is news. Tissue is looked for when all else `rests`."""
        if self._looking is not None and self._looking.is_done:
            task, self._looking = self._looking, None
            found = task.outcome()
            self._seen = found if isinstance(found, Seen) else None
            self._show()
            return True
        if self._measuring is not None and self._measuring.is_done:
            share = self._measuring.outcome()
            if self._tissue is None and not isinstance(share, BaseException):
                self._tissue = share
                return True
        elif rests and self._measuring is None and self._seen is not None and _is_quick(self._seen.source.info):
            source = self._seen.source
            self._measuring = self._background.begin(lambda _stop: float(self._pipeline.tissue_mask(source).mean()))
        return False

    def ask_pixel_size(self) -> None:
        """Opens the dialog; what is said there is remembered for the layer."""
        layer = self._layer
        if layer is None:
            return
        before = self._options.value().pixel_size
        dialog = PixelSizeDialog(layer.name, _scale_hint(layer), before, self._parent)
        dialog.answered.connect(lambda size: self._take_size(layer, size))
        dialog.open()

    def close(self) -> None:
        """Stops looking. May be called twice."""
        self._background.close()

    def _look(self, layer: Image) -> None:
        axes = self._options.value().axes
        key = key_of(layer), axes
        if key == self._key:
            return
        self._forget(key)
        setting = ImageSetting(axes=axes)
        self._looking = self._background.begin(lambda _stop: _seen(self._pipeline, layer, setting))

    def _forget(self, key: object) -> None:
        """Begins anew with another image."""
        for task in (self._looking, self._measuring):
            if task is not None:
                task.cancel()
        self._key, self._seen, self._tissue, self._looking, self._measuring = key, None, None, None, None

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
        told = [] if info is None else [n for n in info.notices if SCENE_HINT not in n]
        self._notices.setValue(Remark("\n".join(map(_sentence, told)), "caution") if told else None)

    def _take(self, setting: ImageSetting) -> None:
        if self._layer is not None:
            remember(self._layer, self._model, setting)
            self._look(self._layer)
            self._show()
            self._changed()

    def _take_size(self, layer: Image, size: float) -> None:
        if layer is self._layer:
            self._options.setValue(replace(self._options.value(), pixel_size=size))
        else:
            remember(layer, self._model, replace(setting_of(layer, self._model), pixel_size=size))

    def _take_scene(self, name: str) -> None:
        path = None if self._layer is None else origin_of(self._layer)
        if path is not None:
            self._open_scene(path, name)


def open_as(
    pipeline: Backend, layer: Image, setting: ImageSetting, spatial: int | None = None, plane: Plane = ()
) -> Source:
    """A layer's image with what was said of it, as `ImageRef` has it. Any thread. Raises what opening it raises, and
    InputMismatch."""
    source = source_of(layer)
    if source is None:
        try:
            source = pipeline.open_image(layer, axes=setting.axes)
        except BadRequest as error:
            raise InputMismatch(
                f"which axis of an image is which must be known; {layer.name} has {layer.ndim} axes that can be read "
                "in more than one way; choose how to read them under the image"
            ) from error
    wanted = dict(plane)
    if spatial == 2 and source.info.ndim == 3:
        wanted.setdefault("z", 0)
    if wanted:
        source = pipeline.open_image(source, plane=wanted)
    return pipeline.select(source, channels=numbers_of(setting.channels), pixel_size=setting.pixel_size)


def _seen(pipeline: Backend, layer: Image, setting: ImageSetting) -> Seen:
    """In the background."""
    source = open_as(pipeline, layer, setting)
    return Seen(source, pipeline.in_micrometres(source.info))


def _is_quick(info: ImageInfo) -> bool:
    """Whether tissue can be told from a coarsest level that is read in no time."""
    coarsest = info.levels.shapes[-1]
    return info.rgb and info.ndim == 2 and coarsest[0] * coarsest[1] <= SMALL_LEVEL


def _scale_hint(layer: Image) -> str:
    scale = [float(s) for s in layer.scale[-2:]]
    if scale == [1.0, 1.0]:
        return ""
    unit: Any = layer.units[-1]
    return f"The layer's scale is {scale[0]:g} × {scale[1]:g} {unit}."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
