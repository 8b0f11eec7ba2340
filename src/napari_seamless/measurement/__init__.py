"""What is in a label image of any size: pixels of each class, and its objects, counted tile by tile.

    label_image.py, intensity_image.py   what is measured, and the image under it
    choices.py, roi.py                   which classes and objects count, and where
    label_counts.py                      a tile after the other: its classes, and objects by `postprocess`
    measurements.py                      areas and a table of objects, as they are told and saved

What was asked of a result, and which pixels lie inside outlines, is said in `runs`.
"""

from napari_seamless.measurement.label_counts import LabelCounts, count_labels, tile_shape_over

__all__ = ["LabelCounts", "count_labels", "tile_shape_over"]
