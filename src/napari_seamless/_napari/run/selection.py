"""From what is chosen in the window to what a run is made of."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Shapes

from napari_seamless._napari.layers.annotation_shapes import file_layer, roi_in
from napari_seamless._napari.layers.axes import StackPlane, own_region
from napari_seamless._napari.layers.drawn_shapes import drawing_layer, polygons_over
from napari_seamless._napari.layers.live_layers import is_result, key_of
from napari_seamless._napari.layers.planes import plane_of, spatial_axes_of
from napari_seamless._napari.layers.readings import origin_of, setting_of
from napari_seamless._napari.layers.source_layer import is_edited, source_of, spatial_shape
from napari_seamless._napari.layers.view import output_region, visible_region
from napari_seamless._napari.run.copy_as import Settings
from napari_seamless._napari.run.estimate import area
from napari_seamless._napari.run.inputs import Inputs
from napari_seamless._napari.run.option_places import FORM
from napari_seamless._napari.run.panel import Panel
from napari_seamless._napari.run.shown_config import (
    channel_numbers,
    one_pixel_size,
    opened_plane,
    refuse_without_widget,
)
from napari_seamless._napari.run.state import Options, RunRequest, Snapshot
from napari_seamless._napari.widgets import Budget, Extent, ImageSetting, OutputChoice, TileSetting
from napari_seamless.errors import BadRequest, NowhereToRun
from napari_seamless.geometry import Region
from napari_seamless.runs.annotations import read_annotations
from napari_seamless.runs.config import RunConfig
from napari_seamless.runs.keywords import PREPARE
from napari_seamless.runs.option_text import TISSUE

if TYPE_CHECKING:
    import napari

    from napari_seamless.runs.prepared import Prepared


class RunSelection:
    """What is chosen in the panel, of the layers that there are. `has_budget`
    says whether somebody has set one. GUI thread."""

    def __init__(self, viewer: napari.Viewer, panel: Panel, inputs: Inputs) -> None:
        self._viewer, self._panel, self._inputs = viewer, panel, inputs
        self.has_budget = False

    def images(self) -> dict[str, Image]:
        """The layers that a network can run on, topmost first, by key."""
        found = (layer for layer in reversed(self._viewer.layers) if isinstance(layer, Image) and not is_result(layer))
        return {key_of(layer): layer for layer in found}

    def shapes(self) -> dict[str, Shapes]:
        """The layers of shapes, topmost first, by key."""
        return {key_of(layer): layer for layer in reversed(self._viewer.layers) if isinstance(layer, Shapes)}

    def image(self) -> Image | None:
        """The chosen layer."""
        return self.images().get(self._panel.source.value().key or "")

    def request(self) -> RunRequest:
        """A run of what is chosen. Raises NowhereToRun where shapes are meant and none is drawn, and BadRequest."""
        extent = self._panel.extent.value()
        roi = self._drawn_roi() if extent.kind == "shapes" else TISSUE if extent.kind == "tissue" else None
        options = self._panel.options.value()
        RunConfig.of(roi=roi, **options)  # refused here where it can be no run
        settings = {name: value for name, value in options.items() if name not in PREPARE}
        return RunRequest(self.view, self.plane, extent.whole, self._panel.output.value().path, roi, settings)

    @property
    def prepared_with(self) -> Options:
        """The options of preparing a network for an image that are not their defaults."""
        return tuple((name, value) for name, value in sorted(self._told.items()) if name in PREPARE)

    @property
    def place(self) -> dict[str, str]:
        """The device and the precision, where they are not their defaults."""
        return {name: self._told[name] for name in ("device", "precision") if name in self._told}

    @property
    def region(self) -> Region | None:
        """The box outside of which nothing is looked at."""
        return self._told.get("region")

    @property
    def _told(self) -> dict[str, Any]:
        """What the form says; what is typed and is no value is left out, and refused when Run is pressed."""
        return self._panel.options.valid()

    def plane(self, spatial: int | None) -> StackPlane:
        """The plane of the chosen layer that is looked at, for a run on an image of so many spatial axes."""
        layer = self.image()
        return StackPlane() if layer is None else plane_of(self._viewer, layer, spatial)

    def view(self, prepared: Prepared) -> Region | None:
        """What is on screen, in output pixels of a run that has no layer yet."""
        layer = self.image()
        if layer is None or (view := visible_region(self._viewer, layer)) is None:
            return None
        ndim = len(prepared.output_shape)
        own = own_region(view, spatial_axes_of(layer, ndim))
        return output_region(own, prepared.scale, prepared.offset, prepared.output_shape)

    def draw(self) -> None:
        """Makes a layer for shapes that say where to run, or takes up the chosen one; a rectangle can be drawn next."""
        image, shapes = self.image(), self._drawn()
        if image is None:
            return
        if shapes is None:
            shapes = drawing_layer(self._viewer, image)
            self._panel.extent.setValue(Extent("shapes", key_of(shapes)))
        self._viewer.layers.selection.active = shapes
        shapes.mode = "add_rectangle"

    def settings(self, approximate: bool, spatial: int | None) -> Settings:
        """What is chosen, as a value that can be put into words, for a run on an image of so many spatial axes.

        Raises BadRequest where that is no run.
        """
        image, model = self.image(), self._panel.model.value().name
        if image is None or model is None:
            raise BadRequest("a run is of a network on an image; one of the two is missing; choose both")
        request, load, said, source = (
            self.request(),
            self._inputs.request(model),
            setting_of(image, model),
            source_of(image),
        )
        path, tile = None if is_edited(image) else origin_of(image), self._panel.tile.value()
        ndim = spatial or len(spatial_shape(image))
        options = {**self._panel.options.value(), **({"approximate": True} if approximate else {})}
        if not request.whole and (view := visible_region(self._viewer, image)) is not None:
            options["region"] = _seen_of(own_region(view, spatial_axes_of(image, ndim)), options.get("region"))
        by_hand = bool(tile.tile) and not tile.follows_budget
        config = RunConfig.of(
            scene=source.info.scene if source is not None and len(source.info.scenes) > 1 else None,
            axes=said.axes or None,
            plane={**opened_plane(image), **dict(self.plane(spatial).indices)} or None,
            channels=None if said.channels is None else tuple(c for c in said.channels if c is not None),
            pixel_size=said.pixel_size,
            roi=request.roi,
            budget=self._panel.budget.value().bytes if self.has_budget else None,
            tile=tile.tile if by_hand else None,
            output=request.output or Path(f"{Path(path or image.name).stem}-{Path(load.what).stem}.ome.zarr"),
            **options,
        )
        return Settings(load.what, path, image.name, config, load.architecture, load.arguments)

    def wanted(self, now: Snapshot) -> tuple[int, str]:
        """How many output pixels a run would make, and what they are."""
        if now.prepared is None:
            return 0, ""
        everything = prod(now.prepared.output_shape)
        if (region := self.region) is not None and region.ndim == len(now.prepared.scale):
            everything = min(everything, round(region.size / prod(now.prepared.scale)))
        match self._panel.extent.value().kind:
            case "view":
                view = self.view(now.prepared)
                return (0 if view is None else view.size), "What is on screen"
            case "shapes":
                drawn = self.drawn_area() / prod(now.prepared.scale[-2:])
                return min(round(drawn), everything), "What is drawn"
            case "tissue" if self._inputs.tissue is not None:
                return round(self._inputs.tissue * everything), "The tissue"
        return everything, "The whole image" if self.region is None else "The region"

    def drawn_area(self) -> float:
        """Level-0 pixels in the chosen shapes; those that overlap count twice."""
        image, shapes = self.image(), self._drawn()
        return 0.0 if image is None or shapes is None else sum(map(area, polygons_over(shapes, image)))

    def _drawn(self) -> Shapes | None:
        return self.shapes().get(self._panel.extent.value().shapes or "")

    def show(self, config: RunConfig) -> None:
        """Puts a config into the panel, for the chosen image, which was opened with its scene, axes and plane.

        Raises BadRequest for what no widget shows, and what reading a roi raises; then nothing has changed.
        """
        image, panel = self.image(), self._panel
        if image is None:
            raise BadRequest("the options of a run are those of a run on an image; none is chosen; open one")
        refuse_without_widget(config)
        channels = None if config.image.channels is None else channel_numbers(image, config.image.channels)
        roi, before = config.part.roi, setting_of(image, panel.model.value().name)
        drawn = read_annotations(Path(roi)) if isinstance(roi, str | Path) and roi != TISSUE else ()
        said = ImageSetting(channels, one_pixel_size(config.image.pixel_size), before.axes)
        panel.options.setValue({name: value for name, value in config.non_defaults().items() if name in FORM})
        panel.image_section.options.setValue(said)
        panel.output.setValue(OutputChoice(config.output.output))
        if config.memory.budget is not None:
            panel.budget.setValue(Budget.of_bytes(config.memory.budget))
        if config.memory.tile is not None:
            panel.tile.setValue(TileSetting(config.memory.tile, follows_budget=False))
        if drawn:
            shapes = file_layer(self._viewer, image, drawn, Path(str(roi)))
            panel.extent.setValue(Extent("shapes", key_of(shapes)))
        else:
            panel.extent.setValue(Extent("whole" if roi is None else "tissue"))

    def _drawn_roi(self) -> Any:
        """What is drawn, on the pixels of the chosen image."""
        image, shapes = self.image(), self._drawn()
        found = [] if image is None or shapes is None else roi_in(shapes, image)
        if not found:
            raise NowhereToRun("where to run needs a shape; there is none yet; press Draw, and drag over the image")
        return found


def _seen_of(seen: Region, said: Region | None) -> Region:
    """What is on screen of the region of a run. Raises BadRequest where that is nothing, or no region of the image."""
    if said is None:
        return seen
    if said.ndim != seen.ndim:
        raise BadRequest(f"a region has one interval for each of the image's {seen.ndim} axes; got {said!r}")
    if (both := seen.intersect(said)).is_empty:
        raise BadRequest(f"some of the region must be on screen; {said!r} is not; pan there, or choose Everything")
    return both
