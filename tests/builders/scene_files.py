"""Files and folders that hold several images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tifffile
import zarr

from ome_zarr_images import ome_zarr
from sources_oracle import texture

IMAGES = (texture(30, 40), texture(2, 50, 20, dtype="uint16"), texture(25, 25, seed=3))


def several(path: Path) -> Path:
    """An OME-TIFF of three images of different size, type and pixel size."""
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for k, (name, image) in enumerate(zip(("left", "right", "left"), IMAGES, strict=True)):
            about = {"axes": "YX" if image.ndim == 2 else "CYX", "Name": name}
            about |= {"PhysicalSizeX": 0.5 + k, "PhysicalSizeY": 0.5 + k}
            tiff.write(image, tile=(16, 16), metadata=about, photometric="minisblack")
    return path


def raw_folder(path: Path, zarr_format: Any, *, listed: bool) -> Path:
    """What bioformats2raw makes of a file of two images."""
    root = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    layout = {"bioformats2raw.layout": 3}
    root.attrs.update({"ome": {"version": "0.5", **layout}} if zarr_format == 3 else layout)
    for key, image in (("0", texture(30, 40)), ("1", texture(20, 10))):
        ome_zarr(path / key, [image], "yx", "0.5" if zarr_format == 3 else "0.4")
    if listed:
        series = {"series": ["1", "0"]}
        root.create_group("OME").attrs.update({"ome": series} if zarr_format == 3 else series)
    return path
