"""Every other format, by bioio and whatever reader plug-ins are installed: one scene, first time point.

bioio's dask arrays have one chunk a plane, so that each region read computes its whole plane: right for ordinary
microscopy images, far too slow for slides (which the other openers read).
"""

from __future__ import annotations

import struct
from pathlib import Path

from bioio import BioImage
from bioio_base.exceptions import UnsupportedFileFormatError

from napari_seamless.errors import BadRequest, InputDamaged, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.seams import ImageInfo, Pixels
from napari_seamless.sources.files import identity_of_path
from napari_seamless.sources.foreign import open_bioimage
from napari_seamless.sources.scenes import Scene

DAMAGE = (ValueError, RuntimeError, OSError, EOFError, KeyError, IndexError, TypeError, AttributeError, struct.error)


class BioioSource:
    """A file through bioio. Any thread; picklable (opened again from its path)."""

    def __init__(self, path: Path, axes: str | None = None, scene: Scene = None) -> None:
        self._path = path
        self._axes = axes
        self._scene = scene
        try:
            image = BioImage(path)
            self._inner = open_bioimage(image, axes, scene=scene, name=path.name, identity=identity_of_path(path))
        except UnsupportedFileFormatError:
            raise InputUnreadable(f"no installed bioio plug-in reads {path.name}") from None
        except ImportError as problem:
            raise InputUnreadable(f"a plug-in does not work here: {problem}") from None
        except (BadRequest, InputUnreadable):
            raise
        except DAMAGE as problem:
            raise InputDamaged(f"bioio could not read {path.name}: {problem}; export it again") from problem

    @property
    def info(self) -> ImageInfo:
        return self._inner.info

    def read(self, region: Region, level: int = 0) -> Pixels:
        try:
            return self._inner.read(region, level)
        except BadRequest:
            raise
        except DAMAGE as problem:
            raise InputDamaged(
                f"bioio could not read {self._path.name}, {region!r}: {problem}; copy or export the file again"
            ) from problem

    def close(self) -> None:
        """Nothing to give back: bioio opens the file for each plane."""

    def __reduce__(self) -> tuple[type[BioioSource], tuple[Path, str | None, Scene]]:
        return BioioSource, (self._path, self._axes, self._scene)
