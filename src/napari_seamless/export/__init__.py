"""A finished store as something else."""

from napari_seamless.export.ome_zarr import save_ome_zarr

__all__ = ["save_ome_zarr"]
