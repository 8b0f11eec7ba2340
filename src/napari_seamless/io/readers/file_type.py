"""What a path is, by its first bytes or the names in it; nothing heavy is loaded for that."""

from __future__ import annotations

from pathlib import Path

OPENSLIDE_SUFFIXES = (".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu")
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ZARR_METADATA = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


def is_tiff(path: Path) -> bool:
    """Whether `path` is a file that begins as TIFF files do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in TIFF_MAGIC


def is_zarr(path: Path) -> bool:
    """Whether `path` is a folder with zarr metadata in it."""
    return path.is_dir() and bool(zarr_metadata(path))


def zarr_metadata(path: Path) -> tuple[Path, ...]:
    """The metadata files of a zarr folder."""
    return tuple(path / name for name in ZARR_METADATA if (path / name).exists())


def is_openslide_format(path: Path) -> bool:
    """Whether the name promises a slide that only OpenSlide puts together rightly (some begin as TIFF files)."""
    return path.suffix.lower() in OPENSLIDE_SUFFIXES
