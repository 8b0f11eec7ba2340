"""Written regions: a multiscale OME-Zarr that fills while it is shown, and goes on where a run was cut off."""

from napari_seamless.store.joint_store import JointStore
from napari_seamless.store.open_or_create import (
    create_store,
    images_at,
    open_store,
    resume_or_create,
    resume_or_create_images,
)
from napari_seamless.store.spec import StoreSpec
from napari_seamless.store.store import Store

__all__ = [
    "JointStore",
    "Store",
    "StoreSpec",
    "create_store",
    "images_at",
    "open_store",
    "resume_or_create",
    "resume_or_create_images",
]
