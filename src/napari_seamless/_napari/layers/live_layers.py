"""A live result as layers that fill while one looks at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.layers.asked_pixels import AskedPixels, asked_pixels
from napari_seamless._napari.layers.axes import Axes, own_axes, starts_along, steps_along
from napari_seamless._napari.layers.object_hover import ObjectHover
from napari_seamless._napari.layers.object_keys import KeyedObjects, key_colours, keyed_objects
from napari_seamless._napari.layers.pixels import (
    OWN_LOADER,
    ArrayLike,
    ChannelLevel,
    ColourLevel,
    LiveLevel,
    aligned_level,
    rgba,
    written,
)
from napari_seamless._napari.layers.texture_patch import TexturePatch, ThrottledRefresh
from napari_seamless.geometry import Region
from napari_seamless.interfaces import FreshPixels, ImageInfo, LabelClass, LiveImage, Pixels

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels, Layer

RESULT, KEEPS = "napari-seamless result", "napari-seamless keeps"
PLACE = "napari-seamless place"
"""Where on disk the result of a layer is."""
AXES = "napari-seamless axes"
"""Which axes of a layer are those of the image that it shows, counted from its last one."""
FACTS = "napari_seamless"
"""Under this name the metadata of a layer say what its pixels are: {"preview": bool, "exact": bool, ...}."""
PREVIEW = " (preview)"
TRANSPARENT = (0.0, 0.0, 0.0, 0.0)
CHANNEL_COLOURS = ("magenta", "green", "cyan", "yellow", "red", "blue")


def is_result(layer: Layer) -> bool:
    """Whether a layer shows the result of a run."""
    return bool(layer.metadata.get(RESULT))


def layers_of(viewer: napari.Viewer, place: Path) -> list[Layer]:
    """The layers that show the result at a place, in the order in which they were made."""
    return [layer for layer in viewer.layers if layer.metadata.get(PLACE) == str(place)]


def is_colour(image: LiveImage) -> bool:
    """Whether a live image is shown in its own colours, in one layer that hides what is below it."""
    info = image.info
    named = [name.lower() for name in info.channel_names] == ["red", "green", "blue"]
    return image.kind == "image" and info.channels == 3 and (info.rgb or named)


def axes_of(layer: Layer, ndim: int) -> tuple[int, ...]:
    """Which axes of a layer are the last `ndim` ones of the image that it shows, counted from the layer's last one."""
    found: tuple[int, ...] = layer.metadata.get(AXES, ())
    return found[-ndim:] if len(found) >= ndim else tuple(range(-ndim, 0))


def key_of(layer: Layer) -> str:
    """A key that no other layer has, and that stays when the layer is renamed."""
    return str(layer.unique_id)


def placed_over(
    source: Image | Labels, scale: Sequence[float], offset: Sequence[float], axes: Axes = ()
) -> dict[str, Any]:
    """Settings that put a result over its source, whatever transform the source has.

    Result pixel o lies at source pixel `o * scale + offset` (spatial axes; the source may have others before them).
    `axes` are those that the result's layer gets: the source's last ones.
    """
    steps, first = steps_along(axes, scale), starts_along(axes, offset)
    ndim = len(steps)
    if source.ndim == ndim:
        start = np.asarray(source.affine.inverse(source.data_to_world(tuple(first))))
        return {
            "scale": np.asarray(source.scale) * steps,
            "rotate": source.rotate,
            "shear": source.shear,
            "translate": start,
            "affine": source.affine,
            "units": source.units,
        }
    front = (0.0,) * (source.ndim - ndim)
    start = np.asarray(source.data_to_world((*front, *first)))[-ndim:]
    affine = np.eye(ndim + 1)
    affine[:-1, -1] = start
    for axis in range(ndim):
        step = first.copy()
        step[axis] += steps[axis]
        affine[:-1, axis] = np.asarray(source.data_to_world((*front, *step)))[-ndim:] - start
    return {"affine": affine, "units": source.units[-ndim:]}


@dataclass
class ChannelLayer:
    """One layer of a result: how its pixels come out of a piece, and where the live coarsest level lies."""

    layer: Image | Labels
    pick: Callable[[Pixels], Pixels]
    patcher: TexturePatch
    refresher: ThrottledRefresh
    coarsest: NDArray[Any] | None = None


class ResultLayers:
    """The layers of one live result. `tick` is called by the GUI timer and shows what has come in since.

    A tick stops after `PATIENCE` seconds, so that a flood of pieces cannot hold up the window; the rest waits.
    `keeps` (the folder of the pixels) stays alive as long as a layer does. `facts` go to the layers' metadata. The
    layers lie on top, or directly `below` another one. Layers of an earlier run on the same result (`onto`) are used
    again, with all that the user has set in them. `axes` are those of the layers, where the image's are others.
    """

    PATIENCE = 0.004

    def __init__(
        self,
        viewer: napari.Viewer,
        image: LiveImage,
        name: str,
        placed: dict[str, Any],
        keeps: object = None,
        place: Path | None = None,
        facts: Mapping[str, Any] = MappingProxyType({}),
        below: Layer | None = None,
        onto: Sequence[Layer] = (),
        axes: Axes = (),
    ) -> None:
        self._keyed = keyed_objects(image)
        self._asked = asked_pixels(image if self._keyed is None else self._keyed)
        self._image, self._below, self._onto = image, below, list(onto)
        self.axes = axes
        self._pieces = image.watch()
        shown = ImageInfo.titled(name, image.info.exact)
        shows = {RESULT: image, KEEPS: keeps, PLACE: str(place), AXES: own_axes(axes, image.info.ndim)}
        said = {"preview": False, "exact": image.info.exact, **facts}
        self._settings = {
            "name": shown,
            "metadata": {**OWN_LOADER, **shows, FACTS: said},
            **placed,
        }
        self.name = shown
        self.planes = self._labels(viewer) if image.kind == "labels" else self._images(viewer)

    @property
    def layers(self) -> list[Image | Labels]:
        return [plane.layer for plane in self.planes]

    @property
    def image(self) -> LiveImage:
        """What the layers show."""
        return self._image

    @property
    def is_up_to_date(self) -> bool:
        """Whether all that has come in is shown."""
        return not self._pieces

    @property
    def _seen(self) -> LiveImage:
        """The image without pixels beyond what was asked for, objects with their colour keys."""
        keyed = self._image if self._keyed is None else self._keyed
        return keyed if self._asked is None else self._asked

    @property
    def _filters(self) -> list[KeyedObjects | AskedPixels]:
        """What pieces go through before they are shown."""
        return [one for one in (self._keyed, self._asked) if one is not None]

    def update_metadata(self, facts: Mapping[str, Any]) -> None:
        """Adds these to the metadata of every layer."""
        for layer in self.layers:
            layer.metadata[FACTS] = {**layer.metadata[FACTS], **facts}

    def tick(self) -> None:
        """Shows pieces that have arrived, for at most a few milliseconds."""
        start = perf_counter()
        if self._pieces.maxlen is not None and len(self._pieces) >= self._pieces.maxlen:
            self._each(ThrottledRefresh.soon)
        while self._pieces and perf_counter() - start < self.PATIENCE:
            piece = self._pieces.popleft()
            for filtered in self._filters:
                piece = filtered.take(piece)
            self._show(piece)
        self._each(ThrottledRefresh.tick)

    def finish(self) -> None:
        """Shows the final state of everything; called once when the run has ended."""
        self._pieces.clear()
        for filtered in self._filters:
            filtered.finish()
        for plane in self.planes:
            if plane.coarsest is not None:
                plane.coarsest[...] = _coarsest(self._seen)
        self._each(ThrottledRefresh.now)

    def _each(self, do: Callable[[ThrottledRefresh], None]) -> None:
        for plane in self.planes:
            do(plane.refresher)

    def _show(self, piece: FreshPixels) -> None:
        for plane in self.planes:
            pixels = plane.pick(piece.pixels)
            if self._asked is not None and plane.coarsest is not None:
                pixels[~self._asked.shown(piece.level, piece.region)] = 0  # transparent
            if plane.coarsest is not None and piece.level == len(self._image.levels) - 1:
                plane.coarsest[piece.region.slices()] = pixels
            shown = piece.region.ndim == 2 and plane.patcher.patch(piece.level, piece.region, pixels)
            if not shown:
                plane.refresher.soon()
            plane.refresher.eventually()

    def _labels(self, viewer: napari.Viewer) -> list[ChannelLayer]:
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap

        colours: dict[Any, Any] = {c.value: c.colour for c in self._image.classes if c.value}
        named: Any = DirectLabelColormap(color_dict={None: TRANSPARENT, 0: TRANSPARENT, **colours}) if colours else None
        if self._keyed is not None:
            named = key_colours()
        layer = Labels(
            self._data(_live(self._seen.levels)),
            multiscale=len(self._image.levels) > 1,
            colormap=named,  # napari's own colours where nothing is named
            features=_class_names(self._image.classes) if self._keyed is None else None,
            opacity=0.6,
            **self._settings,
        )
        plane = self._plane(viewer, layer, lambda pixels: pixels[0])
        result: Any = self._image
        if self._keyed is not None and hasattr(result, "kept"):
            ObjectHover(plane.layer, result, self.axes)
        return [plane]

    def _images(self, viewer: napari.Viewer) -> list[ChannelLayer]:
        info, levels = self._image.info, self._seen.levels
        if is_colour(self._image):
            return [self._colour(viewer)]
        grey = self._settings | {"colormap": "gray"}
        if len(_like(levels[0]).shape) == info.ndim:
            return [self._grey(viewer, _live(levels), 0, grey)]
        planes = []
        for channel in range(info.channels):
            named = info.channel_names[channel] if channel < len(info.channel_names) else f"channel {channel}"
            colour = CHANNEL_COLOURS[channel % len(CHANNEL_COLOURS)]
            settings = self._settings | {"name": f"{self._settings['name']}: {named}", "colormap": colour}
            parts = [*(ChannelLevel(_like(level), channel) for level in levels[:-1]), _array(levels[-1])[channel]]
            planes.append(self._grey(viewer, parts, channel, grey if info.channels == 1 else settings))
        return planes

    def _colour(self, viewer: napari.Viewer) -> ChannelLayer:
        from napari.layers import Image

        levels = self._seen.levels
        coarsest = _coarsest(self._seen)
        data = [*(ColourLevel(self._seen, number) for number in range(len(levels) - 1)), coarsest]
        layer = Image(self._data(data), multiscale=len(data) > 1, rgb=True, **self._settings)
        return self._plane(viewer, layer, rgba, coarsest)

    def _grey(
        self, viewer: napari.Viewer, levels: Sequence[object], channel: int, settings: dict[str, Any]
    ) -> ChannelLayer:
        from napari.layers import Image

        layer = Image(
            self._data(levels),
            multiscale=len(levels) > 1,
            rgb=False,
            blending="additive",
            contrast_limits=_contrast(self._image.info.dtype),
            **settings,
        )
        return self._plane(viewer, layer, lambda pixels: pixels[channel])

    def _data(self, levels: Sequence[object]) -> Any:
        shown = [aligned_level(level, self.axes) for level in levels] if self.axes else list(levels)
        return shown if len(shown) > 1 else shown[0]

    def _plane(
        self,
        viewer: napari.Viewer,
        layer: Image | Labels,
        pick: Callable[[Pixels], Pixels],
        coarsest: NDArray[Any] | None = None,
    ) -> ChannelLayer:
        layer = self._placed(viewer, layer)
        patcher = TexturePatch(viewer, layer, axes_of(layer, self._image.info.ndim)[-2:])
        return ChannelLayer(layer, pick, patcher, ThrottledRefresh(layer), coarsest)

    def _placed(self, viewer: napari.Viewer, layer: Image | Labels) -> Image | Labels:
        """The layer in the viewer that shows this result: an old one with new data, or this one."""
        layers = viewer.layers
        old: Any = self._onto.pop(0) if self._onto else None
        if old is None:
            layers.insert(len(layers) if self._below is None else layers.index(self._below), layer)
            return layer
        old.data = layer.data
        old.metadata.update(layer.metadata)
        kept: Image | Labels = old
        return kept


def _live(levels: Sequence[object]) -> list[object]:
    return [*(LiveLevel(_like(level)) for level in levels[:-1]), levels[-1]]


def _like(level: object) -> ArrayLike:
    return level  # type: ignore[return-value]


def _array(level: object) -> NDArray[Any]:
    """The coarsest level, which is a plain array already and must not be copied."""
    return np.asarray(level)


def _coarsest(image: LiveImage) -> NDArray[Any]:
    """The coarsest level in colours, transparent where nothing is written."""
    level = len(image.levels) - 1
    everything = Region.from_shape(image.info.levels.shape(level))
    return rgba(_array(image.levels[-1]), written(image, level, everything))


def _contrast(dtype: np.dtype[Any]) -> tuple[float, float]:
    return (0.0, float(np.iinfo(dtype).max)) if np.issubdtype(dtype, np.integer) else (0.0, 1.0)


def _class_names(classes: Sequence[LabelClass]) -> dict[str, list[Any]]:
    """A table that makes napari's status bar name the class under the pointer."""
    return {"index": [c.value for c in classes], "class": [c.name for c in classes]}
