"""Where a result lies among the axes of a stack that it was made of in an earlier session. GUI thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_seamless._napari.layers.axes import Axes
from napari_seamless._napari.layers.live_layers import is_result, placed_over
from napari_seamless._napari.layers.planes import axes_on, letters_of
from napari_seamless._napari.layers.readings import readings_of, setting_of
from napari_seamless._napari.layers.source_layer import source_of, spatial_shape

if TYPE_CHECKING:
    import napari

    from napari_seamless.runs.origin import Origin


@dataclass(frozen=True)
class StackPosition:
    """Where a layer goes: over which one, settings that place it there, and its axes where they are not the result's
    own."""

    over: Image
    placed: dict[str, Any]
    axes: Axes


def stack_position(viewer: napari.Viewer, origin: Origin, shape: Sequence[int]) -> StackPosition | None:
    """The place of a result of this level-0 shape, (z,) y, x, over what it was made of: of a stack, on its own plane.

    None where no layer can be that image: by its axes and its size, and of several by its name; one that has no other
    axes than the result must have that name. A layer of which nobody has said what its axes are is read as a result of
    a plane needs it, where there is one way to.
    """
    layers = [layer for layer in reversed(viewer.layers) if isinstance(layer, Image) and not is_result(layer)]
    for layer in sorted(layers, key=lambda layer: origin.image not in _names(layer)):
        found = [letters for letters in _readings(layer, origin) if _fits(layer, letters, origin, shape)]
        if len(found) == 1:
            own = "zyx"[-len(shape) :]
            plane = {letter: origin.plane.get(letter, 0) for letter in found[0] if letter in "tz" and letter not in own}
            axes = axes_on(layer, found[0], own, plane)
            if axes or origin.image in _names(layer):
                return StackPosition(layer, placed_over(layer, origin.scale, origin.offset, axes), axes)
    return None


def _names(layer: Image) -> Iterator[str]:
    source = source_of(layer)
    yield layer.name
    if source is not None:
        yield source.info.name


def _readings(layer: Image, origin: Origin) -> list[str]:
    """What the letters of a layer's axes may be: time that nobody speaks of is not looked for."""
    ways = readings_of(layer)
    if not ways or setting_of(layer, None).axes is not None:
        return [letters_of(layer)]
    return [letters for letters, _ in ways if origin.plane and ("t" in origin.plane or "t" not in letters)]


def _fits(layer: Image, letters: str, origin: Origin, shape: Sequence[int]) -> bool:
    """Whether a layer so read has that plane, and is as large as what the result was made of."""
    lengths = dict(zip(letters, spatial_shape(layer), strict=False))
    own = "zyx"[-len(shape) :]
    if not set(own) <= lengths.keys() or ("z" in letters and "z" not in {*own, *origin.plane}):
        return False
    if any(number >= lengths.get(letter, 1 if letter == "t" else 0) for letter, number in origin.plane.items()):
        return False
    # a network without padding leaves out as much at either side, up to one step of its own
    sides = zip(origin.scale, origin.offset, shape, own, strict=True)
    return all(abs(lengths[letter] - 1 - (o + s * (n - 1)) - o) <= s + 1 for s, o, n, letter in sides)
