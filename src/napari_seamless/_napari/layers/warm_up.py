"""What napari makes once in the life of a process, made before somebody waits for it."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap


def warm_labels() -> None:
    """Makes what a first layer of labels imports for a third of a second. Any thread; no Qt, and nothing is shown."""
    colours = DirectLabelColormap(color_dict={None: (0.0, 0.0, 0.0, 0.0), 1: "#ff0000"})
    Labels(np.zeros((2, 2), np.uint8), colormap=colours, features={"index": [1], "class": ["one"]})
