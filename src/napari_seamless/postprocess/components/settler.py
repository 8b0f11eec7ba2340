"""From the components of tiles to objects: what is decided, what is not, which tiles can be painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_seamless.geometry import Region
from napari_seamless.postprocess.components.faces import NO_PAIRS, Face, face_plane
from napari_seamless.postprocess.components.open_objects import OpenObjects
from napari_seamless.postprocess.components.open_tiles import OpenTiles
from napari_seamless.postprocess.components.settings import ComponentSettings
from napari_seamless.postprocess.components.sums import ComponentSums
from napari_seamless.postprocess.object_table import Ints, in_order
from napari_seamless.postprocess.packing import boxes_of, named, packed, part, regions_of, unpacked
from napari_seamless.postprocess.step import Candidates, Domain, SavedState, Settled, TileObjects
from napari_seamless.postprocess.unread import Unread


@dataclass(frozen=True, eq=False)
class OpenFace:
    """A face that looks at something unread; `components` are the numbers that occur on it."""

    face: Face
    components: Ints


class ComponentSettler:
    """A `Settler`. An object is settled when no component of it lies on a face that looks at something unread."""

    def __init__(self, settings: ComponentSettings, domain: Domain, saved: SavedState | None = None) -> None:
        self._settings, self._domain, self._ndim = settings, domain, domain.region.ndim
        unread, objects, tiles = (None if saved is None else part(n, saved) for n in ("unread", "objects", "tiles"))
        self._unread = Unread(domain.region, max(1, settings.reach_pixels), unread)
        self._objects = OpenObjects(self._ndim, objects)
        self._tiles = OpenTiles(self._objects, self._ndim, tiles)
        self._faces: dict[int, OpenFace] = {} if saved is None else _restored(part("faces", saved))

    @property
    def state_bytes(self) -> int:
        return sum(array.nbytes for array in self.save().values())

    @property
    def undecided(self) -> int:
        return self._objects.count

    def settle(self, candidates: Candidates) -> Settled:
        tile, columns = candidates.tile, dict(candidates.columns)
        around, complete = self._unread.add(tile)
        sums = ComponentSums.of(columns)
        faces = _faces(tile, candidates)
        touching = self._touching(faces)
        outsides = ((face, face.outside(self._settings.connectivity)) for face in faces)
        boxes = {box: face for face, outside in outsides if (box := self._unread.watch(outside)) is not None}
        open_ones = np.unique(np.concatenate([touching[:, 1], *(f.numbers.ravel() for f in boxes.values())]))
        open_ones = open_ones[open_ones > 0]
        references = np.append(0, sums.ids)
        numbers = self._objects.add(sums.take(open_ones - 1))
        references[open_ones] = -numbers
        touching[:, 1] = -references[touching[:, 1]]
        changes = self._objects.join(touching)
        self._tiles.moved(changes)
        self._open_faces(boxes, references)
        self._close_faces(complete)
        self._tiles.add_outside(columns["outside_at"], references[columns["outside_owner"]])
        paintable = self._tiles.close(complete.tolist()) + self._tiles.add(around, tile, references[1:])
        at_once = np.ones(len(sums), bool)
        at_once[open_ones - 1] = False
        return self._settled(sums.take(at_once), numbers, changes, paintable)

    def flush(self) -> Settled:
        self._objects.close_all()
        self._faces.clear()
        nothing = np.zeros(0, np.int64)
        paintable = self._tiles.close_all()
        return self._settled(ComponentSums.empty(self._ndim), nothing, np.zeros((0, 3), np.int64), paintable)

    def save(self) -> SavedState:
        state = named("unread", self._unread.save()) | named("objects", self._objects.save())
        return state | named("tiles", self._tiles.save()) | named("faces", _saved(self._faces, self._ndim))

    def _touching(self, faces: list[Face]) -> Ints:
        """(n, 2): components that came before, and those of the new tile that touch them."""
        connectivity = self._settings.connectivity
        pairs = [old.face.touching(new, connectivity) for old in self._faces.values() for new in faces]
        return np.concatenate([NO_PAIRS, *pairs])

    def _open_faces(self, boxes: dict[int, Face], references: Ints) -> None:
        """Keep faces, by the numbers of the boxes outside of them."""
        for box, face in boxes.items():
            numbers = np.maximum(-references[face.numbers], 0)
            components = np.unique(numbers[numbers > 0])
            self._objects.open_face(components)
            self._faces[box] = OpenFace(Face(face.plane, face.axis, face.side, numbers), components)

    def _close_faces(self, complete: Ints) -> None:
        for box in complete.tolist():
            if box in self._faces:
                self._objects.close_face(self._faces.pop(box).components)

    def _settled(
        self, at_once: ComponentSums, added: Ints, changes: Ints, paintable: tuple[TileObjects, ...]
    ) -> Settled:
        numbers, closed = self._objects.take_closed()
        paintable += self._tiles.settled(numbers)
        self._forget()
        changed = self._objects.sums_of(np.concatenate([added, changes[:, 2]]))
        merged = changes[~np.isin(changes[:, 0], added), 1]
        withdrawn = np.setdiff1d(merged, np.append(changed.ids, closed.ids))
        objects = in_order([at_once.objects, closed.objects], self._ndim)
        return Settled(objects, changed.objects, withdrawn, paintable)

    def _forget(self) -> None:
        """Drop what is kept of components to which nothing refers any more, now and then."""
        if self._objects.is_long:
            on_faces = [int(f.components[0]) for f in self._faces.values() if len(f.components)]
            self._objects.forget_below(self._tiles.lowest(min(on_faces, default=self._objects.next)))


def _faces(tile: Region, candidates: Candidates) -> list[Face]:
    """The faces that a tile's candidates have."""
    found = []
    for axis in range(tile.ndim):
        for side, name in ((-1, "low"), (1, "high")):
            plane = face_plane(tile, axis, side)
            found.append(Face(plane, axis, side, candidates.columns[f"face_{name}_{axis}"]))
    return found


def _saved(faces: dict[int, OpenFace], ndim: int) -> SavedState:
    kept = [opened.face for opened in faces.values()]
    state = {"boxes": np.array([*faces], np.int64), "planes": boxes_of([face.plane for face in kept], ndim)}
    state |= {"sides": np.array([(face.axis, face.side) for face in kept], np.int64).reshape(-1, 2)}
    state |= packed("numbers", [face.numbers.ravel() for face in kept])
    return state | packed("components", [opened.components for opened in faces.values()])


def _restored(saved: SavedState) -> dict[int, OpenFace]:
    numbers, components = unpacked("numbers", saved), unpacked("components", saved)
    rows = zip(saved["boxes"].tolist(), regions_of(saved["planes"]), saved["sides"].tolist(), strict=True)
    faces = {}
    for (box, plane, (axis, side)), flat, open_ones in zip(rows, numbers, components, strict=True):
        shape = plane.shape[:axis] + plane.shape[axis + 1 :]
        faces[box] = OpenFace(Face(plane, axis, side, flat.reshape(shape)), open_ones)
    return faces
