"""Files that hold several images, and which of them is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_seamless.errors import BadRequest
from napari_seamless.interfaces import ImageInfo, Source

Scene = int | str | None
"""Number (from 0) or name of an image in its file; None for the first."""

MOST_LISTED = 20


def chosen(scene: Scene, names: Sequence[str], file: str) -> int:
    """The number of the scene that is meant. Raises BadRequest, with a list of what there is."""
    if scene is None:
        return 0
    if isinstance(scene, str) and scene in names:
        return names.index(scene)
    number = int(scene) if isinstance(scene, int) or scene.isdecimal() else -1
    if 0 <= number < len(names):
        return number
    listed = ", ".join(f"{k} '{name}'" for k, name in enumerate(names[:MOST_LISTED]))
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    raise BadRequest(f"a scene is a number or a name; got {scene!r}; {file} has {listed}{more}")


def only(scene: Scene, file: str) -> None:
    """For what holds a single image. Raises BadRequest where another one is asked for."""
    if scene not in (None, 0, "0"):
        raise BadRequest(f"a scene must exist; got {scene!r}; {file} holds a single image; leave the scene out")


def single(source: Source, scene: Scene) -> Source:
    """What holds a single image, once it is known that the file is of its kind. Raises BadRequest for another scene."""
    try:
        only(scene, source.info.name)
    except BadRequest:
        source.close()
        raise
    return source


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with their number where they would be empty or come twice."""
    return tuple(name if name and names.count(name) == 1 else f"{name} {k}".strip() for k, name in enumerate(names))


def with_scenes(info: ImageInfo, names: Sequence[str], number: int, *, is_chosen: bool) -> ImageInfo:
    """`info` of one of several images. The user is told of the others unless this one was asked for."""
    if len(names) < 2:
        return info
    this = names[number]
    another = 0 if number == 1 else 1
    notice = (
        f"{info.name} holds {len(names)} images; this is '{this}'; choose another by scene={another} "
        f"(--scene {another}), or its name"
    )
    notices = info.notices if is_chosen else (*info.notices, notice)
    return replace(info, scenes=tuple(names), scene=this, notices=notices)
