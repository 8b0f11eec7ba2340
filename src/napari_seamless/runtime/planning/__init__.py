"""How to cut: which tiles, how large, in which order."""

from napari_seamless.runtime.planning.budget import TileChoice, choose_tile, chunk_of, readable
from napari_seamless.runtime.planning.order import view_first

__all__ = ["TileChoice", "choose_tile", "chunk_of", "readable", "view_first"]
