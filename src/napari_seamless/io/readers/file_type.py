"""What a path is, by its first bytes or the names in it; nothing heavy is loaded for that."""

from __future__ import annotations

from pathlib import Path

from napari_seamless.errors import InputUnreadable

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ZARR_METADATA = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


def not_tiff(path: Path) -> str:
    """Why a path is no TIFF file; "" where it begins as one."""
    if reason := not_a_file(path):
        return reason
    with path.open("rb") as file:
        return "" if file.read(4) in TIFF_MAGIC else "it does not begin as a TIFF file"


def not_zarr(path: Path) -> str:
    """Why a path is no zarr folder; "" where it has zarr metadata in it."""
    return "" if path.is_dir() and zarr_metadata(path) else "not a folder with zarr metadata in it"


def not_a_file(path: Path) -> str:
    """Why a path is no file with bytes in it; "" where it is one."""
    if not path.is_file():
        return "not a file"
    return "" if path.stat().st_size else "the file is empty"


def require_file(path: Path) -> None:
    """Raises InputUnreadable for what is no file with bytes in it."""
    if reason := not_a_file(path):
        raise InputUnreadable(reason)


def zarr_metadata(path: Path) -> tuple[Path, ...]:
    """The metadata files of a zarr folder."""
    return tuple(path / name for name in ZARR_METADATA if (path / name).exists())
