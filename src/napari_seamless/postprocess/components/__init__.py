"""Objects as the connected pixels of a class, found tile by tile and joined across borders.

candidates.py   what a tile says: sums of its components (sums.py), its faces, pixels of the boundary class around
                it that belong to them (boundary.py)
settler.py      components that touch across faces (faces.py) become one object (open_objects.py); which tiles can
                be painted (open_tiles.py)
step.py         the step of all this; definition.py says what it must give, by scipy on the whole array
"""

from napari_seamless.postprocess.components.candidates import whole_numbers
from napari_seamless.postprocess.components.step import Components

__all__ = ["Components", "whole_numbers"]
