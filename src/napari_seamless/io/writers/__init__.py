"""A finished store as something else."""

from napari_seamless.io.writers.geojson import save_geojson
from napari_seamless.io.writers.ome_tiff import save_ome_tiff
from napari_seamless.io.writers.ome_zarr import save_ome_zarr

__all__ = ["save_geojson", "save_ome_tiff", "save_ome_zarr"]
