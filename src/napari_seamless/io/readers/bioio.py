"""Every other format, by bioio and whatever reader plug-ins are installed: one scene, one time point.

bioio's dask arrays have one chunk a plane, so that each region read computes its whole plane: right for ordinary
microscopy images, far too slow for slides (which the other openers read).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bioio import BioImage
from bioio_base.exceptions import UnsupportedFileFormatError

from napari_seamless.errors import InputUnreadable
from napari_seamless.io.readers.library_images import LibrarySource, write_example
from napari_seamless.io.readers.scenes import Scene

__all__ = ["BioioSource", "open_file", "write_example"]


def open_file(path: Path, axes: str | None, scene: Scene) -> BioioSource:
    """A file or folder, as `Reader.open_file` says."""
    return BioioSource(path, axes, scene)


class BioioSource(LibrarySource):
    """A file through bioio."""

    library = "bioio"

    @staticmethod
    def _opened(path: Path) -> Any:
        try:
            return BioImage(path)
        except UnsupportedFileFormatError:
            raise InputUnreadable(f"no installed bioio plug-in reads {path.name}") from None
        except ImportError as problem:
            raise InputUnreadable(f"a plug-in does not work here: {problem}") from None
