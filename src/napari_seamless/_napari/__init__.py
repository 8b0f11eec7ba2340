"""The napari plugin: the only layer that knows Qt.

`widgets/` are small editors over frozen values, which know no viewer. `layers/` shows a store as live layers. `run/`,
`measure/` and `teach/` are one dock each: a panel of widgets, a controller without any Qt, and the dock, which connects
both with the viewer on what all docks share (`dock.py`, `background.py`). `backend.py` is the library as they call it,
`_compat.py` has every private name of napari.
"""
