"""Objects that are flooded from markers, found tile by tile.

distances.py, hover.py   what is flooded (maps.py): markers, pixels of objects, heights, of two kinds of output
candidates.py            what a tile says: its objects, what touches its border, and pixels that are open, since
                         something that is not read could take them (kernels.py)
settler.py               tiles meet (front.py): what is one object becomes one, and open pixels are flooded again
                         (open_pixels.py)
step.py                  the steps of all this; definition.py says what they must give, pixel by pixel
"""

from napari_seamless.postprocess.flood.step import DistanceFlood, HoverFlood

__all__ = ["DistanceFlood", "HoverFlood"]
