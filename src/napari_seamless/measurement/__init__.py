"""What is in a label image of any size: pixels of each class, and its objects, found piece by piece.

    read a piece --> count its classes, label its parts (parts.py), give rims to their nearest parts (rims.py)
                 --> join parts that touch across pieces (joining.py) --> one table of whole objects (streaming.py)

`polygons.py` says which pixels lie inside outlines, `annotations.py` reads these.
"""

from napari_seamless.measurement.annotations import outlines_of, read_annotations
from napari_seamless.measurement.polygons import Polygons
from napari_seamless.postprocess.components.parts import Parts
from napari_seamless.postprocess.components.streaming import Found, Sought, pieces_over, stream

__all__ = ["Found", "Parts", "Polygons", "Sought", "outlines_of", "pieces_over", "read_annotations", "stream"]
