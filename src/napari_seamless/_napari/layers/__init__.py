"""Images and live results as napari layers, and where they lie."""
