"""Level-0 chunks on disk: the half of a store that may live in another process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest, OutputUnwritable
from napari_seamless.geometry import Region
from napari_seamless.store.disk_store import DiskStore
from napari_seamless.store.fence import Fence
from napari_seamless.store.journal import FOLDER
from napari_seamless.store.metadata import spec_of
from napari_seamless.store.spec import StoreSpec
from napari_seamless.store.zarr_arrays import ZarrArrays, disk_errors

Array = NDArray[Any]


class ChunkWriter:
    """Writes level 0 and nothing else. Any thread or process, each chunk by one of them."""

    def __init__(self, arrays: ZarrArrays, spec: StoreSpec, place: object) -> None:
        self._arrays = arrays
        self._spec = spec
        self._place = place

    def write(self, region: Region, pixels: Array) -> None:
        """Put (c, *region.shape) pixels of the result's dtype at `region`, which must be whole chunks.

        Raises BadRequest for anything else and OutputUnwritable when the disk says no.
        """
        check(self._spec, region)
        expected = (self._spec.channels or 1, *region.shape)
        if pixels.shape != expected or pixels.dtype != self._spec.dtype:
            raise BadRequest(
                f"a region is written with {self._spec.dtype} pixels of shape {expected}; "
                f"got {pixels.dtype} of shape {pixels.shape}; let the model's last step cast them"
            )
        with disk_errors(self._place):
            self._arrays.write(0, region, pixels)

    def written(self, region: Region) -> Array:
        """What lies on disk at a region of level 0, (c, *region.shape), 0 where nothing does."""
        with disk_errors(self._place):
            return self._arrays.read(0, region)


class RemoteWriter:
    """What a store becomes in another process: it writes, and the process that drives the run does the rest.

    It writes for as long as the run lasts whose fence has this `token`; then `write` raises OutputUnwritable.
    """

    def __init__(self, path: str, token: str) -> None:
        self._path, self._token = path, token
        place = DiskStore(path)
        try:
            group = zarr.open_group(place, mode="r+", zarr_format=3)
        except FileNotFoundError:
            raise OutputUnwritable(f"a worker writes into a result while it is there; {path} was removed") from None
        spec = spec_of(group.attrs.asdict())
        if spec is None:
            raise OutputUnwritable(f"a worker writes into a result of this package; {path} is none (any more)")
        place.fence = Fence(Path(path) / f"{spec.folder}0" / FOLDER, token, path)
        self._writer = ChunkWriter(ZarrArrays(group, spec), spec, path)

    def write(self, region: Region, pixels: Array) -> None:
        """As `ChunkWriter.write`."""
        self._writer.write(region, pixels)

    def written(self, region: Region) -> Array:
        """As `ChunkWriter.written`."""
        return self._writer.written(region)

    def commit(self, region: Region) -> NoReturn:
        """Always raises BadRequest: only the process that made the store keeps its levels and journal."""
        raise BadRequest(
            f"a region is committed in the process that drives the run; got {region!r} in a worker process"
        )

    def __reduce__(self) -> tuple[type[RemoteWriter], tuple[str, str]]:
        return RemoteWriter, (self._path, self._token)


def check(spec: StoreSpec, region: Region) -> None:
    """Raise BadRequest unless `region` is made of whole chunks of level 0."""
    if region.ndim != len(spec.shape) or region.is_empty or not spec.grid.aligned(region):
        raise BadRequest(
            f"a region that is written must be made of whole chunks of {spec.grid.cell} pixels inside {spec.shape}; "
            f"got {region!r}; align the tile to the store's grid"
        )


def owned(pixels: Array) -> Array:
    """A copy that nobody changes."""
    copy = np.array(pixels, order="C")
    copy.flags.writeable = False
    return copy


def absolute(path: Path) -> str:
    """The path as another process, with another working folder, needs it."""
    return str(path.absolute())
