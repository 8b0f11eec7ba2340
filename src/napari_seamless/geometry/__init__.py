"""Where: intervals, regions, grids and levels. Pure integers, standard library only."""

from napari_seamless.geometry.grid import Cell, Grid, cells_of
from napari_seamless.geometry.levels import Levels, fraction, halved
from napari_seamless.geometry.region import Interval, Region, hull_of, subtract
from napari_seamless.geometry.slide_position import SlidePosition
from napari_seamless.geometry.tile import Tile

__all__ = [
    "Cell",
    "Grid",
    "Interval",
    "Levels",
    "Region",
    "SlidePosition",
    "Tile",
    "cells_of",
    "fraction",
    "halved",
    "hull_of",
    "subtract",
]
