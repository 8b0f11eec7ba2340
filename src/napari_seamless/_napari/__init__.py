"""The napari plugin: the only room that knows Qt.

`editors/` are small widgets over frozen values, `panel.py` lays them out, `controller.py` is the life of a run without
any Qt, `layers.py`, `patcher.py` and `view.py` talk to napari, and `dock.py` connects all of them.
"""
