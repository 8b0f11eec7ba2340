"""The dock that measures labels: areas of classes, objects, and how the labels look.

`classes.py`, `areas.py`, `objects.py` and `histogram.py` are small widgets over frozen values, `panel.py` lays them
out, `controller.py` does slow work in the background without any Qt, `appearance.py` and `object_layers.py` talk to
layers and camera, `dock.py` connects all of them.
"""
