"""What is in a label image of any size: pixels of each class, and its objects, counted tile by tile.

    label_image.py, intensity_image.py   what is measured, and the image under it
    choices.py, roi.py                   which classes and objects count, and where
    label_counts.py                      a tile after the other: its classes, and objects by `postprocess`
    measurements.py                      areas and a table of objects, as they are told and saved

`polygons.py` says which pixels lie inside outlines, `geojson_polygons.py` reads these.
"""

from napari_seamless.measurement.geojson_polygons import polygons_of_geojson, read_geojson
from napari_seamless.measurement.label_counts import LabelCounts, count_labels, tile_shape_over
from napari_seamless.measurement.polygons import Polygons

__all__ = ["LabelCounts", "Polygons", "count_labels", "polygons_of_geojson", "read_geojson", "tile_shape_over"]
