"""Written regions: a multiscale OME-Zarr that fills while it is shown, and goes on where a run was cut off."""

from napari_seamless.store.open_or_create import create_store, open_store, resume_or_create
from napari_seamless.store.spec import StoreSpec
from napari_seamless.store.store import Store

__all__ = ["Store", "StoreSpec", "create_store", "open_store", "resume_or_create"]
